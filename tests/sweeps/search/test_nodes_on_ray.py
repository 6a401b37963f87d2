"""Clusters of several nodes: one is killed with the trial on it, others are started on demand."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import RAY_ENVIRONMENT
from tests.sweeps.run_made import environment

pytestmark = pytest.mark.alone

ROOT = Path(__file__).resolve().parents[3]


def story(name: str, folder: Path) -> dict[str, Any]:
    """Run a story of `nodes_processes`, whose clusters are not the one that other tests share."""
    module = "tests.sweeps.search.nodes_processes"
    done = subprocess.run(
        [sys.executable, "-m", module, name, str(folder)],
        cwd=ROOT,
        env=environment(**RAY_ENVIRONMENT),
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return told


def test_a_node_that_is_killed_takes_no_trial_with_it(tmp_path: Path) -> None:
    told = story("lost", tmp_path)
    whole = ["finished", [1, 2, 3, 4], ""]
    assert told["slots"] == 1
    assert told["trials"] == {"t001": whole, "t002": whole}
    assert told["retries"] == 0
    waited, *later = told["said"]
    assert waited.startswith("waiting for 1 worker with 1 CPU each; the cluster has 0 CPU")
    assert "slots: 1 -> 2 (a node joined)" in later
    assert told["held"] == {}


def test_a_cluster_without_a_worker_node_is_made_to_start_them(tmp_path: Path) -> None:
    told = story("from_zero", tmp_path)
    assert told["before"] == 0
    assert told["slots"] == 2
    assert list(told["trials"].values()) == [["finished", [1], ""]] * 2
    assert told["held"] == {}
