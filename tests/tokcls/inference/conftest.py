"""One predictor and one server for all tests of inference."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.tokcls.inference.made import RunningServer, served
from tokcls.inference.predictor import Predictor


@pytest.fixture(scope="session")
def predictor(bundle: Path) -> Predictor:
    return Predictor.from_bundle(bundle, threads=1)


@pytest.fixture(scope="session")
def server(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    # In a process of its own, so that its Ray and the one of other tests do not meet.
    with served(bundle, tmp_path_factory.mktemp("served")) as running:
        yield running
