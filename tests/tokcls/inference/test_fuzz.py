"""The server does what its description says: for what that allows, and for what it forbids."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.fuzz import fuzz
from tests.tokcls.inference.made import RunningServer

REQUESTS = 100
"""at least; `python -m benchmarks.fuzz` sends 2,000"""


@pytest.mark.alone
def test_every_answer_to_made_up_requests_is_as_described(
    server: RunningServer, tmp_path: Path
) -> None:
    done = fuzz(server.url, tmp_path, requests=REQUESTS)
    assert done.wrong == [], done.said
    assert done.requests >= REQUESTS
    assert done.operations["POST /predict"]["accepted"] > 10
    assert done.operations["POST /predict"]["rejected"] == 0
