"""What a killed actor has reserved comes back while its driver runs on."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

pytestmark = pytest.mark.alone


class Maker:
    """Reserves room, as the controller of a worker group does before its workers are there."""

    def __init__(self) -> None:
        from ray.util.placement_group import placement_group

        self._group = placement_group([{"CPU": 1}])

    def made(self) -> tuple[str, int]:
        return self._group.id.hex(), os.getpid()


@contextmanager
def reserved() -> Iterator[Any]:
    from ray.util.placement_group import placement_group, remove_placement_group

    group = placement_group([{"CPU": 1}])
    try:
        yield group
    finally:
        remove_placement_group(group)


def test_the_room_of_a_killed_maker_is_given_back_and_no_other(ray_cluster: None) -> None:
    import ray
    from ray.util import placement_group_table

    from sweeps.search.orphans import Orphans, orphans

    alive, dead = (ray.remote(num_cpus=0)(Maker).remote() for _ in range(2))  # type: ignore[attr-defined]
    kept, _ = ray.get(alive.made.remote())
    lost, pid = ray.get(dead.made.remote())
    with reserved() as own:
        assert orphans() == []
        os.kill(pid, signal.SIGKILL)
        until = time.monotonic() + 30.0
        while not orphans() and time.monotonic() < until:
            time.sleep(0.1)
        assert [each.id.hex() for each in orphans()] == [lost]
        Orphans().look()
        assert orphans() == []
        states = {name: row["state"] for name, row in placement_group_table().items()}
        assert states[lost] == "REMOVED"
        assert {states[kept], states[own.id.hex()]} <= {"CREATED", "PENDING"}
    ray.kill(alive)
    while not orphans():
        time.sleep(0.1)
    Orphans().look()
