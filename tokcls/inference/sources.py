"""Where a model comes from: a bundle's folder, or a version in MLflow's model registry.

Only here does this package import mlflow, and only when a registered model is asked for.
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tokcls.errors import BundleError, without_keys
from tokcls.inference import fetched
from tokcls.inference.bundle import MANIFEST
from tokcls.patience import patience

DEFAULT_REGISTRY = "sqlite:///mlflow.db"
CHAMPION = "champion"
BUNDLE = "bundle"  # in a sweep's folder
PATIENCE = {"MLFLOW_HTTP_REQUEST_TIMEOUT": "20", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2"}
BAR = "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR"
FLUENT = ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI")  # what MLflow sets beside its globals
NOT_THERE = "RESOURCE_DOES_NOT_EXIST"  # MLflow's code
_GLOBALS = threading.RLock()
_MODEL_URI = re.compile(r"models:/(?P<name>[^/@]+)(@(?P<alias>[^/@]+)|/(?P<version>[0-9]+))")


def version_of(alias: str) -> str:
    """Ask which version a models:/NAME@ALIAS names now; nothing is fetched.

    Raises:
        NoSuchAlias: no version has it.
        Unanswered: the registry does not answer.
        BundleError: there is no such model.
    """
    match = _MODEL_URI.fullmatch(alias)
    if match is None or not match["alias"]:
        raise BundleError(f"{alias!r} must be models:/NAME@ALIAS")
    with _registry() as registry:
        return registry.version_of(match["name"], match["alias"])


def is_alias(model: str) -> bool:
    """Whether a model is named by an alias, which may come to name another version."""
    match = _MODEL_URI.fullmatch(model)
    return match is not None and match["alias"] is not None


def challenger(followed: str | None, alias: str | None) -> str | None:
    """Give the whole name, models:/NAME@ALIAS, of what is compared with an alias that is followed.

    Raises:
        BundleError: none is followed, or `alias` is no alias.
    """
    if alias is None:
        return None
    name = f"{(followed or '').partition('@')[0]}@{alias}"
    if not is_alias(name) or name == followed:
        raise BundleError(
            f"{alias!r} cannot be compared: that takes a model which is served by an alias "
            "(models:/NAME@champion, or none named), and another alias, such as challenger"
        )
    return name


def is_foreign(model: str) -> bool:
    """Whether a model is neither a bundle nor registered: a folder of `transformers`, a Hub id."""
    folder = Path(model).expanduser()
    if model.startswith("models:") or (folder / MANIFEST).is_file():
        return False
    return (folder / "config.json").is_file() or (not folder.exists() and model.count("/") == 1)


class NoSuchAlias(BundleError):
    """The registry answers, and no version of the model has the alias."""


class Unanswered(BundleError):
    """The registry, or the store that holds its files, does not answer; it may do so later."""


class NothingToServe(BundleError):
    """No model was named, and none is there that could be meant."""


class SeveralToServe(NothingToServe):
    """No model was named, and more than one could be meant."""


@dataclass(frozen=True)
class Located:
    """A bundle on this machine's disk; `version` is the registry's, empty for a plain folder."""

    folder: Path
    name: str
    version: str = ""


def locate(model: str | None = None) -> Located:
    """Find the bundle of `FOLDER`, `models:/NAME@ALIAS` or `models:/NAME/VERSION`.

    The folder may be that of a sweep, which stands for the bundle in it. Without a name it is the
    only registered model that has the alias `champion`.

    Raises:
        NothingToServe: no name was given, and there is no champion, or more than one.
        Unanswered: the registry or its store does not answer.
        BundleError: there is nothing of that name; the message says what there is.
    """
    if model is None:
        with _registry(NothingToServe) as registry:
            name = registry.only_champion()
            return registry.fetch(name, registry.version_of(name, CHAMPION))
    if not model.startswith("models:"):
        return _in_folder(model)
    with _registry() as registry:
        match = _MODEL_URI.fullmatch(model)
        if match is None:
            raise BundleError(f"{model!r} must be models:/NAME@ALIAS or models:/NAME/VERSION")
        version = match["version"] or registry.version_of(match["name"], match["alias"])
        return registry.fetch(match["name"], version)


def _in_folder(model: str) -> Located:
    folder = Path(model).expanduser()
    if (folder / BUNDLE / MANIFEST).is_file():
        folder = folder / BUNDLE
    if not (folder / MANIFEST).is_file():
        raise BundleError(
            f"{model!r} is not a bundle: there is no {folder / MANIFEST}; give a bundle's "
            "folder, models:/NAME@ALIAS or models:/NAME/VERSION"
        )
    return Located(folder.resolve(), folder.resolve().name)


class _Registry:
    """The questions asked of MLflow's model registry."""

    def __init__(self, mlflow: Any, uri: str) -> None:
        self._mlflow, self._uri = mlflow, uri
        self._client = mlflow.MlflowClient(tracking_uri=uri, registry_uri=uri)
        self._shown = without_keys(uri)

    def only_champion(self) -> str:
        names = [name for name, aliases in self._models().items() if CHAMPION in aliases]
        if len(names) == 1:
            return names[0]
        if not names:
            raise NothingToServe(
                f"no registered model in {self._shown} has the alias {CHAMPION!r}; run a sweep "
                "with output.register_as first, or name a bundle's folder"
            )
        choices = ", ".join(f"models:/{name}@{CHAMPION}" for name in names)
        raise SeveralToServe(f"several models could be meant; name one of: {choices}")

    def version_of(self, name: str, alias: str) -> str:
        aliases = self._aliases(name)
        if alias not in aliases:
            there = ", ".join(f"{each} (version {n})" for each, n in sorted(aliases.items()))
            raise NoSuchAlias(
                f"models:/{name}@{alias}: {name!r} in {self._shown} has no alias {alias!r}; "
                f"its aliases: {there or 'none'}"
            )
        return str(aliases[alias])

    def fetch(self, name: str, version: str) -> Located:
        uri = f"models:/{name}/{version}"
        # A store of this machine is read where it is.
        local = urlsplit(self._place(name, version)).scheme in ("", "file")
        own = None if local else fetched.make_folder()
        try:
            manifests = sorted(self._download(uri, own).rglob(MANIFEST))
            if len(manifests) != 1:
                raise BundleError(
                    f"{uri}: one bundle ({MANIFEST}) is expected among its files, found "
                    f"{len(manifests)}; register the model again from a bundle"
                )
        except BaseException:
            if own is not None:
                fetched.remove(own)
            raise
        return Located(manifests[0].parent.resolve(), f"models:/{name}", version)

    def _place(self, name: str, version: str) -> str:
        """Say where the store has a version's files."""
        try:
            return str(self._client.get_model_version_download_uri(name, version))
        except self._mlflow.exceptions.MlflowException as error:
            if error.error_code != NOT_THERE:
                raise
        self._aliases(name)
        found = self._client.search_model_versions(f"name='{name}'")
        there = ", ".join(sorted(str(each.version) for each in found)) or "none"
        raise BundleError(
            f"models:/{name}/{version}: {name!r} in {self._shown} has no version {version}; "
            f"its versions: {there}"
        )

    def _download(self, uri: str, folder: Path | None) -> Path:
        download = self._mlflow.artifacts.download_artifacts
        with using(self._mlflow, self._uri):
            try:
                return Path(download(artifact_uri=uri, dst_path=folder and str(folder)))
            except Exception as error:  # every kind of store has its own
                said = without_keys(f"{uri} cannot be fetched from {self._uri}: {error}")
                raise Unanswered(said) from error

    def _aliases(self, name: str) -> dict[str, Any]:
        try:
            return dict(self._client.get_registered_model(name).aliases)
        except self._mlflow.exceptions.MlflowException as error:
            if error.error_code != NOT_THERE:
                raise
        raise BundleError(
            f"no model {name!r} is registered in {self._shown}; "
            f"registered are: {', '.join(sorted(self._models())) or 'none'}"
        )

    def _models(self) -> dict[str, dict[str, Any]]:
        """Map every registered model's name to its aliases, which map to version numbers."""
        models: dict[str, dict[str, Any]] = {}
        token = None
        while True:
            page = self._client.search_registered_models(max_results=100, page_token=token)
            models |= {model.name: dict(model.aliases) for model in page}
            token = page.token
            if not token:
                return models


@contextmanager
def _registry(without: type[BundleError] = BundleError) -> Iterator[_Registry]:
    """Open the registry of MLFLOW_TRACKING_URI, else the file mlflow.db in this folder.

    `without` is what is raised where MLflow is not installed.
    """
    uri = os.environ.get("MLFLOW_TRACKING_URI") or DEFAULT_REGISTRY
    check_registry(uri)
    try:
        import mlflow
    except ImportError as error:
        raise without(
            "registered models need MLflow: pip install 'mlflow>=3,<4'; or name a bundle's folder"
        ) from error
    try:
        with patience(PATIENCE):
            yield _Registry(mlflow, uri)
    except mlflow.exceptions.MlflowException as error:
        said = without_keys(f"the model registry {uri} did not answer: {error}")
        raise Unanswered(said) from error


def check_registry(uri: str) -> None:
    """Refuse a database that is not there: MLflow would make a new, empty one.

    Raises:
        NothingToServe: with what to do.
    """
    file = Path(uri.removeprefix("sqlite:///"))
    if uri.startswith("sqlite:///") and not file.is_file():
        raise NothingToServe(
            f"there is no MLflow database at {file}; run a sweep first, set MLFLOW_TRACKING_URI, "
            "or name a bundle's folder"
        )


@contextmanager
def using(mlflow: Any, uri: str) -> Iterator[None]:
    """Let MLflow's fluent calls use a store; they know it from global state, put back behind us.

    One thread at a time: the others wait.
    """
    with _GLOBALS:
        kept = {name: os.environ.get(name) for name in (*FLUENT, BAR)}
        os.environ[BAR] = "false"
        mlflow.set_tracking_uri(uri)
        mlflow.set_registry_uri(uri)
        try:
            yield
        finally:
            mlflow.set_tracking_uri(None)
            mlflow.set_registry_uri("")
            for name, value in kept.items():
                os.environ.pop(name, None)
                if value is not None:
                    os.environ[name] = value
