"""From a bundle to a version in MLflow's model registry, and the alias that serving follows."""

from __future__ import annotations

import logging
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import tokcls
from sweeps.errors import RegistryError
from sweeps.outcome.aliases import crown, roll_back, version_of
from tokcls.data.corpus import Sentence
from tokcls.errors import BundleError, TokclsError, without_keys
from tokcls.inference.bundle import MANIFEST
from tokcls.inference.parity import check_parity
from tokcls.inference.predictor import Predictor
from tokcls.inference.sources import CHAMPION, using
from tokcls.labels.scoring import count
from tokcls.labels.spans import Span
from tokcls.labels.types import TypeMap
from tokcls.patience import patience

MODEL_CODE = Path(__file__).with_name("mlflow_model.py")
NEEDED = ("numpy", "onnxruntime", "tokenizers", "pydantic")  # what the code that travels imports
PROMOTIONS = "promotions"  # the experiment of bundles that no sweep registered
PATIENCE = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2"}  # by itself it tries for minutes
EXAMPLE = ["London is the capital of the United Kingdom."]


@dataclass(frozen=True)
class Registered:
    """A version in the registry; `champion` says whether the alias points to it now, `why` why."""

    name: str
    version: str
    champion: bool
    why: str

    @property
    def uri(self) -> str:
        return f"models:/{self.name}/{self.version}"


def register(
    bundle: Path,
    *,
    name: str,
    uri: str,
    run_id: str,
    f1: float,
    gold: Sequence[Sentence],
    scored: TypeMap,
    tags: Mapping[str, str],
) -> Registered:
    """Log `bundle` to a run as a model from code, register it, and let the better one be champion.

    The new version becomes champion if `f1` beats the present one's on the same `gold`
    sentences, by the types that `scored` makes of theirs. Again for the same run and tags it is the
    same version. Raises RegistryError when MLflow refuses or does not answer.
    """
    with _answering(name, uri) as client:
        number = _registered(client, name, run_id, tags) or _log(bundle, name, uri, run_id)
        for key, value in tags.items():
            client.set_model_version_tag(name, number, key, value)
        present = version_of(client, name, CHAMPION)
        if present == number:
            return Registered(name, number, True, "it is that already")
        beaten, why = _compare(present, name, uri, f1, gold, scored)
        if beaten:
            crown(client, name, number)
    return Registered(name, number, beaten, why)


def promote(name: str, version: str, *, uri: str) -> str:
    """Make a registered version the champion, if its bundle works here; gives the one before.

    Raises RegistryError when MLflow refuses or does not answer, and BundleError as `_gate` does.
    """
    with _answering(name, uri) as client:
        _gate(name, version, uri)
        before = version_of(client, name, CHAMPION)
        crown(client, name, version)
    return before


def promote_bundle(bundle: Path, name: str, *, uri: str) -> tuple[Registered, str]:
    """Register a bundle as a version of `name` and make it the champion, if it works here.

    Gives the version before as well, empty if there was none.

    Raises as `promote`.
    """
    check_parity(Predictor.from_bundle(bundle))
    with _answering(name, uri) as client:
        experiment = client.get_experiment_by_name(PROMOTIONS)
        number = experiment.experiment_id if experiment else client.create_experiment(PROMOTIONS)
        run = client.create_run(number, run_name=bundle.name).info.run_id
        version = _log(bundle, name, uri, run)
        before = version_of(client, name, CHAMPION)
        crown(client, name, version)
    return Registered(name, version, True, "promoted by hand"), before


def demote(name: str, *, uri: str) -> tuple[str, str]:
    """Make the champion before this one the champion again; gives both versions.

    Raises as `promote`.
    """
    with _answering(name, uri) as client:
        return roll_back(client, name, lambda version: _gate(name, version, uri))


@contextmanager
def _answering(name: str, uri: str) -> Iterator[Any]:
    """Lend a client; what the registry says no to, or does not answer, is a RegistryError."""
    with _quiet(), patience(PATIENCE):
        import mlflow
        from mlflow.exceptions import MlflowException

        try:
            yield mlflow.MlflowClient(tracking_uri=uri, registry_uri=uri)
        except (MlflowException, OSError) as error:
            said = without_keys(f"{name} cannot be registered or promoted in {uri}: {error}")
            raise RegistryError(said) from error


def _gate(name: str, version: str, uri: str) -> None:
    """Fetch a version's bundle and try it; raise BundleError if it is not whole, or finds else."""
    with _fetched(name, version, uri) as bundle:
        check_parity(Predictor.from_bundle(bundle))


@contextmanager
def _fetched(name: str, version: str, uri: str) -> Iterator[Path]:
    """Lend a copy of a version's bundle; raise BundleError if it holds none."""
    import mlflow

    with tempfile.TemporaryDirectory() as folder:
        with using(mlflow, uri):
            found = mlflow.artifacts.download_artifacts(
                artifact_uri=f"models:/{name}/{version}", dst_path=folder
            )
        manifest = next(Path(found).rglob(MANIFEST), None)
        if manifest is None:
            raise BundleError(f"models:/{name}/{version} holds no bundle")
        yield manifest.parent


def _registered(client: Any, name: str, run_id: str, tags: Mapping[str, str]) -> str:
    """Find the version that an earlier attempt made of this run, whose answer was lost."""
    where = f"name = '{name}' and run_id = '{run_id}'"
    found = [
        int(version.version)
        for version in client.search_model_versions(where)
        # It is tagged behind its making.
        if all(version.tags.get(key, value) == value for key, value in tags.items())
    ]
    return str(max(found, default=""))


def _log(bundle: Path, name: str, uri: str, run_id: str) -> str:
    import mlflow

    with using(mlflow, uri), mlflow.start_run(run_id=run_id):
        info = mlflow.pyfunc.log_model(
            name="bundle",
            python_model=str(MODEL_CODE),
            artifacts={"bundle": str(bundle)},
            code_paths=[str(Path(tokcls.__file__).parent)],
            registered_model_name=name,
            input_example=EXAMPLE,
            pip_requirements=[f"{package}=={version(package)}" for package in NEEDED],
        )
    return str(info.registered_model_version)


def _compare(
    present: str, name: str, uri: str, f1: float, gold: Sequence[Sentence], scored: TypeMap
) -> tuple[bool, str]:
    """Score the present champion on the same gold as the new version was scored on."""
    if not present:
        return True, "the first version of this model"
    from mlflow.exceptions import MlflowException

    try:
        with _fetched(name, present, uri) as bundle:
            present_f1 = score_bundle(bundle, gold, scored)
    except TokclsError as error:
        return True, f"version {present} cannot be used any more ({error})"
    except (MlflowException, OSError) as error:
        return False, f"version {present} cannot be read ({error}); move the alias by hand"
    theirs = "as much" if f1 == present_f1 else f"{present_f1:.3f}"
    comparison = f"validation f1 {f1:.3f}, version {present} has {theirs} on the same text"
    return f1 > present_f1, comparison


def score_bundle(folder: Path, gold: Sequence[Sentence], scored: TypeMap) -> float:
    """Span F1 of a bundle on gold sentences, by the types that `scored` makes of the corpus's.

    The sentences are read in the context that the bundle was trained with. What its own types are
    is read off its receipt; without one they are the corpus's.
    """
    predictor = Predictor.from_bundle(folder)
    config = predictor.manifest.receipt.get("config", {})
    learned = TypeMap(config.get("labels", {}).get("types", {}))
    judged = learned.onward(scored, {span.type for sentence in gold for span in sentence.spans})
    found = predictor.predict_words(
        [sentence.words for sentence in gold], documents=[sentence.document for sentence in gold]
    )
    predicted = [
        judged.apply([Span(each.start, each.end, each.entity_group) for each in entities])
        for entities in found
    ]
    spans = [scored.apply(sentence.spans) for sentence in gold]
    types = sorted({span.type for each in (*spans, *predicted) for span in each})
    return count(spans, predicted, [len(s.words) for s in gold], types).scores().f1


@contextmanager
def _quiet() -> Iterator[None]:
    """MLflow tells of every step on stderr; what matters of it we say ourselves."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
