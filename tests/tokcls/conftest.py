"""One trained bundle for all tests of one model."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.tokcls.inference.made import make_bundle


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_bundle(tmp_path_factory.mktemp("made"))
