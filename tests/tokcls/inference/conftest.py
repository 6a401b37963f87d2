"""One predictor and one server for all tests of inference."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.tokcls.inference.made import RunningServer, resealed, served
from tokcls.inference.parity import KEY, TEXTS, record
from tokcls.inference.predictor import Predictor


@pytest.fixture(scope="session")
def predictor(bundle: Path) -> Predictor:
    return Predictor.from_bundle(bundle, threads=1)


@pytest.fixture(scope="session")
def server(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    # In a process of its own, so that its Ray and the one of other tests do not meet.
    with served(bundle, tmp_path_factory.mktemp("served")) as running:
        yield running


@pytest.fixture
def registry(bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A real registry: versions 1 and 2 work, 3 finds other than it should, 4 is cut off."""
    import mlflow

    uri = f"sqlite:///{tmp_path / 'registry.db'}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    client = mlflow.MlflowClient(uri, uri)
    client.create_registered_model("ner")
    good = record(Predictor.from_bundle(bundle))
    told = [{KEY: good}, {}, {KEY: good | {"found": [[]] * len(TEXTS)}}, {}]
    for number, receipt in enumerate(told, 1):
        top = tmp_path / f"model-{number}"
        resealed(bundle, top / "artifacts" / "bundle", **receipt)
        client.create_model_version("ner", str(top))
    cut = tmp_path / "model-4" / "artifacts" / "bundle" / "model.onnx"
    cut.write_bytes(cut.read_bytes()[:-1])
    client.set_registered_model_alias("ner", "champion", "1")
    return client
