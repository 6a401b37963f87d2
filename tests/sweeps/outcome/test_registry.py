"""What moves the alias: a better score on the same text, or a champion that no longer works."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from sweeps.outcome.registry import CHAMPION, Registered, register, score_bundle
from tests.tiny import examples
from tests.tokcls.inference.made import make_bundle
from tokcls.data.corpus import Sentence
from tokcls.labels.spans import Span
from tokcls.labels.types import TypeMap

pytestmark = pytest.mark.slow

Registers = Callable[[float], Registered]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_bundle(tmp_path_factory.mktemp("registry"))


@pytest.fixture(scope="module")
def gold() -> list[Sentence]:
    right = [
        Sentence(tuple(words), tuple(Span(*span) for span in spans), number)
        for number, (words, spans) in enumerate(examples(40))
    ]
    return [*right, Sentence(("nobody", "sees", "this"), (Span(1, 2, "LOC"),), 40)]


@pytest.fixture
def registers(
    bundle: Path, gold: list[Sentence], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Registers:
    """Register the bundle in a store of its own, as one that scored so much."""
    from mlflow.tracking import MlflowClient

    monkeypatch.chdir(tmp_path)
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    client = MlflowClient(tracking_uri=uri)
    experiment = client.create_experiment("e", artifact_location=str(tmp_path / "artifacts"))

    def call(f1: float) -> Registered:
        run = client.create_run(experiment).info.run_id
        return register(
            bundle,
            name="ner",
            uri=uri,
            run_id=run,
            f1=f1,
            gold=gold,
            scored=TypeMap(),
            tags={"a": "b"},
        )

    return call


def champion(folder: Path) -> str:
    from mlflow.tracking import MlflowClient

    client = MlflowClient(tracking_uri=f"sqlite:///{folder / 'mlflow.db'}")
    return str(client.get_model_version_by_alias("ner", CHAMPION).version)


def test_a_better_score_on_the_same_text_moves_the_alias_and_a_tie_does_not(
    registers: Registers, bundle: Path, gold: list[Sentence], tmp_path: Path
) -> None:
    present = score_bundle(bundle, gold, TypeMap())
    assert 0.0 < present < 1.0
    first = registers(0.0)
    assert (first.version, first.champion) == ("1", True)
    assert "first version" in first.why
    tie = registers(present)
    assert (tie.version, tie.champion) == ("2", False)
    assert "version 1 has as much on the same text" in tie.why
    assert champion(tmp_path) == "1"
    better = registers(present + 1e-6)
    assert (better.version, better.champion) == ("3", True)
    assert champion(tmp_path) == "3"


def test_registering_leaves_no_store_behind_for_others(
    registers: Registers, monkeypatch: pytest.MonkeyPatch
) -> None:
    import mlflow

    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///theirs.db")
    registers(0.5)
    assert os.environ["MLFLOW_TRACKING_URI"] == "sqlite:///theirs.db"
    assert "MLFLOW_REGISTRY_URI" not in os.environ
    assert mlflow.get_tracking_uri() == mlflow.get_registry_uri() == "sqlite:///theirs.db"


def cut_off(artifacts: Path) -> None:
    (model,) = artifacts.rglob("model.onnx")
    model.write_bytes(model.read_bytes()[:-1])


def take_away(artifacts: Path) -> None:
    artifacts.rename(artifacts.with_name("elsewhere"))


@pytest.mark.parametrize("spoil", [cut_off, take_away])
def test_a_champion_that_does_not_work_any_more_gives_way(
    registers: Registers, tmp_path: Path, spoil: Callable[[Path], None]
) -> None:
    registers(0.9)
    spoil(tmp_path / "artifacts")
    next_one = registers(0.1)
    assert next_one.champion
    assert "version 1 cannot be used any more" in next_one.why
    assert champion(tmp_path) == "2"
