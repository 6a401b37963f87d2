"""Which cluster a command uses, and what its processes are told of it."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from benchmarks._made import free_port
from sweeps.errors import ResourceError
from sweeps.search.cluster import cluster_address
from tests.sweeps.run_made import environment
from tests.sweeps.search.cluster_two_nodes import run_process


def test_the_address_given_wins_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        monkeypatch.setenv("RAY_ADDRESS", f"127.0.0.1:{free_port()}")
        assert cluster_address(address) == address
        monkeypatch.setenv("RAY_ADDRESS", address)
        assert cluster_address(None) == address
        assert cluster_address("auto") == "auto"


def test_without_an_address_ray_starts_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    assert cluster_address(None) is None
    monkeypatch.setenv("RAY_ADDRESS", "local")
    assert cluster_address(None) is None


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("ray://127.0.0.1:10001", "Ray Client"),
        ("http://127.0.0.1:8265", "a dashboard takes jobs"),
        ("https://127.0.0.1:8265", "a dashboard takes jobs"),
    ],
)
def test_an_address_that_no_driver_can_join_is_refused_with_what_works(
    address: str, reason: str
) -> None:
    with pytest.raises(ResourceError, match=f"cannot use the Ray cluster at {address}: ") as caught:
        cluster_address(address)
    for part in (reason, "ray job submit", "leave --address and RAY_ADDRESS out"):
        assert part in str(caught.value)


@pytest.mark.alone
def test_a_controller_that_is_killed_gives_its_group_back_beside_another_ray(
    ray_cluster: None, tmp_path: Path
) -> None:
    # Ray's cleaner, which frees the group, must not ask the other cluster, nor give up.
    found = run_process(tmp_path, "killed_controller", str(tmp_path), env=environment())
    assert found == {"taken": 1.0, "ended": ["ActorDiedError"], "left": {}}
