"""The cluster file: what Ray's launcher accepts, and our own points on top."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def prepared() -> dict[str, Any]:
    """The file as `ray up` reads it: Ray's defaults filled in, then validated by its schema."""
    from ray.autoscaler._private.util import prepare_config, validate_config

    config: dict[str, Any] = yaml.safe_load((ROOT / "ray_cluster.yaml").read_text(encoding="utf-8"))
    filled: dict[str, Any] = prepare_config(config)
    validate_config(filled)
    return filled


def commands(prepared: dict[str, Any], suffix: str) -> str:
    """Join the commands of all the lists whose key ends so."""
    return "\n".join(
        line for key, lines in prepared.items() if key.endswith(suffix) for line in lines
    )


def test_every_key_is_one_that_ray_knows(prepared: dict[str, Any]) -> None:
    assert prepared["provider"]["type"] == "aws"


def test_gpu_nodes_come_from_zero_and_stop_at_four(prepared: dict[str, Any]) -> None:
    workers = {**prepared["available_node_types"]}
    del workers[prepared["head_node_type"]]
    [gpu] = workers.values()
    assert (gpu["min_workers"], gpu["max_workers"], prepared["max_workers"]) == (0, 4, 4)
    assert gpu["resources"]["GPU"] == 1


def test_every_node_type_says_what_it_has_and_what_it_is(prepared: dict[str, Any]) -> None:
    for name, node in prepared["available_node_types"].items():
        assert node["resources"].get("CPU"), name
        assert node["node_config"]["InstanceType"], name


def test_nodes_install_the_pinned_versions_of_this_project(prepared: dict[str, Any]) -> None:
    installs = [line for line in prepared["setup_commands"] if "pip install" in line]
    assert installs
    assert all("-c ~/ner-sweeps/constraints.txt" in line for line in installs)
    assert prepared["file_mounts"]["~/ner-sweeps"] == "."
    assert "venv" in " ".join(prepared["rsync_exclude"])


def test_nothing_runs_in_a_container(prepared: dict[str, Any]) -> None:
    assert not prepared["docker"].get("image")


def test_the_dashboard_is_not_exposed(prepared: dict[str, Any]) -> None:
    starts = commands(prepared, "start_ray_commands")
    assert "--dashboard-host=127.0.0.1" in starts
    assert "0.0.0.0" not in starts


def test_every_ray_process_wants_the_token(prepared: dict[str, Any]) -> None:
    starts = [
        line
        for line in commands(prepared, "start_ray_commands").splitlines()
        if "ray start" in line
    ]
    assert len(starts) == 2
    assert all("RAY_AUTH_MODE=token ray start" in line for line in starts)
    assert "RAY_AUTH_MODE=token" in commands(prepared, "setup_commands")
    assert "~/.ray/auth_token" in prepared["file_mounts"]
