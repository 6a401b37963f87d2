"""What moves the alias: a better score on the same text, or a champion that no longer works."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from sweeps.outcome.registry import CHAMPION, NEEDED, Registered, register, score_bundle
from tests.sweeps.run_made import environment
from tests.sweeps.search.cluster_two_nodes import bare_python, without_project
from tests.tiny import examples
from tests.tokcls.inference.made import make_bundle
from tokcls.data.corpus import Sentence
from tokcls.inference.predictor import Predictor
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


def test_mlflow_predicts_the_same_where_the_project_is_not_installed(
    registers: Registers, bundle: Path, tmp_path: Path
) -> None:
    registers(0.5)
    python = bare_python(tmp_path / "bare")  # fails if it finds the project
    empty = tmp_path / "empty"
    empty.mkdir()
    texts = [" ".join(words) for words, _ in examples(20)]
    (tmp_path / "in.json").write_text(json.dumps({"inputs": texts}))
    files = ("--input-path", str(tmp_path / "in.json"), "--output-path", str(tmp_path / "out.json"))
    predict = ("-m", "mlflow", "models", "predict", "--model-uri", "models:/ner/1")
    done = subprocess.run(
        [python, *predict, "--env-manager", "local", "--content-type", "json", *files],
        cwd=empty,
        env=without_project(environment(MLFLOW_TRACKING_URI=f"sqlite:///{tmp_path / 'mlflow.db'}")),
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "out.json").read_text())["predictions"]
    wanted = [
        [entity.as_dict() for entity in each]
        for each in Predictor.from_bundle(bundle).predict_texts(texts)
    ]
    assert sum(map(len, wanted)) > len(texts) // 2
    assert found == [[one | {"score": pytest.approx(one["score"])} for one in e] for e in wanted]
    assert not list(empty.iterdir())


def test_a_registered_model_asks_for_no_package_of_ours(
    registers: Registers, tmp_path: Path
) -> None:
    registers(0.5)
    (requirements,) = (tmp_path / "artifacts").rglob("requirements.txt")
    named = {re.split(r"[=<>]", line)[0] for line in requirements.read_text().splitlines()}
    assert named == {"mlflow", *NEEDED}
    for file in requirements.parent.glob("*.y*ml"):
        assert not re.search(r"ner.sweeps|tokcls[=<>]|- tokcls", file.read_text()), file
