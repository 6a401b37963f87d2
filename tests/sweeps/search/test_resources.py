"""How slots fit into a machine: a table of clusters, and what Ray Train is asked for."""

from __future__ import annotations

from typing import Any

import pytest

from sweeps.errors import ResourceError
from sweeps.search.resources import Node, Room, SlotPlan, plan_slots, slots_in
from sweeps.space.config import ResourcesConfig


def plan(cpus: float, gpus: float = 0.0, **keys: Any) -> SlotPlan:
    return plan_slots(ResourcesConfig(**keys), Room([node(cpus, gpus)]))


def node(cpus: float, gpus: float = 0.0) -> Node:
    """As Ray describes it: what it has not is left out."""
    return {"CPU": cpus, "memory": 1e9} | ({"GPU": gpus} if gpus else {})


@pytest.mark.parametrize(
    ("cluster", "keys", "expected"),
    [
        # CPUs alone: one trial gets the machine, up to eight CPUs a worker.
        ((2,), {}, SlotPlan(1, 2, 0, 1)),
        ((8,), {}, SlotPlan(1, 8, 0, 1)),
        ((32,), {}, SlotPlan(1, 8, 0, 4)),
        ((4,), {"workers_per_trial": 2}, SlotPlan(2, 2, 0, 1)),
        ((5,), {"workers_per_trial": 2}, SlotPlan(2, 2, 0, 1)),
        ((4,), {"concurrent_trials": 2}, SlotPlan(1, 2, 0, 2)),
        ((4,), {"concurrent_trials": 3}, SlotPlan(1, 1, 0, 3)),
        ((8,), {"workers_per_trial": 2, "concurrent_trials": 2}, SlotPlan(2, 2, 0, 2)),
        ((4,), {"cpus_per_worker": 1.0}, SlotPlan(1, 1, 0, 4)),
        ((4,), {"cpus_per_worker": 1.5}, SlotPlan(1, 1.5, 0, 2)),
        ((1,), {"cpus_per_worker": 0.5}, SlotPlan(1, 0.5, 0, 2)),
        # Never more at once than there is room for.
        ((4,), {"concurrent_trials": 9}, SlotPlan(1, 1, 0, 4)),
        ((4,), {"cpus_per_worker": 2.0, "concurrent_trials": 9}, SlotPlan(1, 2, 0, 2)),
        ((4,), {"cpus_per_worker": 1.0, "concurrent_trials": 1}, SlotPlan(1, 1, 0, 1)),
        # GPUs: one a worker, and its part of the CPUs.
        ((16, 1), {}, SlotPlan(1, 8, 1, 1)),
        ((16, 4), {}, SlotPlan(1, 4, 1, 4)),
        ((16, 4), {"workers_per_trial": 2}, SlotPlan(2, 4, 1, 2)),
        ((16, 4), {"workers_per_trial": 3}, SlotPlan(3, 4, 1, 1)),
        ((16, 4), {"concurrent_trials": 2}, SlotPlan(1, 4, 1, 2)),
        ((16, 4), {"gpus_per_worker": 2.0}, SlotPlan(1, 8, 2, 2)),
        ((16, 4), {"gpus_per_worker": 0.0}, SlotPlan(1, 8, 0, 2)),
        ((2, 4), {}, SlotPlan(1, 1, 1, 2)),
        # A share of a GPU.
        ((8, 1), {"gpus_per_worker": 0.5}, SlotPlan(1, 4, 0.5, 2)),
        ((8, 1), {"gpus_per_worker": 0.25}, SlotPlan(1, 2, 0.25, 4)),
        ((6, 1), {"gpus_per_worker": 0.33}, SlotPlan(1, 1, 0.33, 3)),
        ((16, 2), {"gpus_per_worker": 0.2}, SlotPlan(1, 1, 0.2, 10)),
    ],
)
def test_slots_fit_into_the_cluster(
    cluster: tuple[float, ...], keys: dict[str, Any], expected: SlotPlan
) -> None:
    assert plan(*cluster, **keys) == expected


@pytest.mark.parametrize(("cpus", "share", "slots"), [(1, 0.1, 10), (2, 0.4, 5), (1, 0.2, 5)])
def test_shares_of_a_cpu_add_up_to_the_whole(cpus: float, share: float, slots: int) -> None:
    assert plan(cpus, cpus_per_worker=share).slots == slots


@pytest.mark.parametrize("cpus", [1, 2, 3, 7, 16])
@pytest.mark.parametrize("gpus", [0, 1, 3])
@pytest.mark.parametrize("workers", [1, 2])
def test_what_the_slots_ask_for_together_is_there(cpus: int, gpus: int, workers: int) -> None:
    try:
        made = plan(cpus, gpus, workers_per_trial=workers)
    except ResourceError:
        assert workers > min(cpus, gpus or cpus)
        return
    assert made.slots >= 1
    assert made.slots * made.workers * made.cpus <= cpus
    assert made.slots * made.workers * made.gpus <= gpus


@pytest.mark.parametrize(
    ("cluster", "keys", "key", "message"),
    [
        ((4,), {"gpus_per_worker": 1.0}, "gpus_per_worker", r"1 asked for, .* no GPU .* 0 or auto"),
        ((4,), {"gpus_per_worker": 0.5}, "gpus_per_worker", r"0\.5 asked for"),
        ((4,), {"workers_per_trial": 5}, "workers_per_trial", r"needs 5 CPU .* are 4 CPU"),
        ((16, 2), {"workers_per_trial": 3}, "workers_per_trial", r"needs .* 3 GPU, .* 2 GPU"),
        ((16, 2), {"gpus_per_worker": 4.0}, "gpus_per_worker", r"4 GPU"),
        ((4,), {"cpus_per_worker": 6.0}, "cpus_per_worker", r"needs 6 CPU .* are 4 CPU"),
    ],
)
def test_what_is_not_there_is_said_with_its_key(
    cluster: tuple[float, ...], keys: dict[str, Any], key: str, message: str
) -> None:
    with pytest.raises(ResourceError, match=message) as caught:
        plan(*cluster, **keys)
    assert caught.value.key == key


@pytest.mark.parametrize(
    ("nodes", "keys", "expected"),
    [
        # Two CPUs and two make no room for a worker of three or four.
        ([(2,), (2,)], {}, SlotPlan(1, 2, 0, 2)),
        ([(2,), (2,)], {"workers_per_trial": 2}, SlotPlan(2, 2, 0, 1)),
        ([(2,), (2,)], {"workers_per_trial": 4}, SlotPlan(4, 1, 0, 1)),
        ([(3,), (3,)], {"cpus_per_worker": 2.0}, SlotPlan(1, 2, 0, 2)),
        ([(3,), (3,)], {"concurrent_trials": 4}, SlotPlan(1, 1, 0, 4)),
        ([(1,), (1,), (1,)], {}, SlotPlan(1, 1, 0, 3)),
        # The head has no GPU, or no CPU either: only the other nodes count.
        ([(4,), (8, 1), (8, 1)], {}, SlotPlan(1, 8, 1, 2)),
        ([(0,), (8, 1), (8, 1)], {"workers_per_trial": 2}, SlotPlan(2, 8, 1, 1)),
        ([(64,), (4, 1)], {}, SlotPlan(1, 4, 1, 1)),
        ([(4, 1), (16, 2)], {}, SlotPlan(1, 4, 1, 3)),
        # Three GPUs in two nodes, two for each worker.
        ([(8, 2), (8, 1)], {"gpus_per_worker": 2.0}, SlotPlan(1, 8, 2, 1)),
    ],
)
def test_a_worker_fits_into_one_node(
    nodes: list[tuple[float, ...]], keys: dict[str, Any], expected: SlotPlan
) -> None:
    room = Room([node(*each) for each in nodes])
    assert plan_slots(ResourcesConfig(**keys), room) == expected


@pytest.mark.parametrize(
    ("nodes", "keys", "key"),
    [
        ([(2,), (2,)], {"cpus_per_worker": 3.0}, "cpus_per_worker"),
        ([(2,), (2,)], {"workers_per_trial": 5}, "workers_per_trial"),
        ([(8, 1), (8, 1)], {"gpus_per_worker": 2.0}, "gpus_per_worker"),
        # CPUs and GPUs enough, but not in the same node.
        ([(16,), (2, 2)], {"gpus_per_worker": 1.0, "cpus_per_worker": 4.0}, "cpus_per_worker"),
    ],
)
def test_what_no_node_has_is_said_with_what_the_largest_has(
    nodes: list[tuple[float, ...]], keys: dict[str, Any], key: str
) -> None:
    message = r"in 2 nodes, of which one node has \d+ CPU and \d GPU at most"
    with pytest.raises(ResourceError, match=message) as caught:
        plan_slots(ResourcesConfig(**keys), Room([node(*each) for each in nodes]))
    assert caught.value.key == key


HEAD = node(2)
GROWN = (HEAD, node(8, 1), node(8, 1), node(8, 1))


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({}, SlotPlan(1, 8, 1, 3)),
        ({"concurrent_trials": 2}, SlotPlan(1, 8, 1, 2)),
        ({"concurrent_trials": 9}, SlotPlan(1, 8, 1, 3)),
        ({"gpus_per_worker": 0.5}, SlotPlan(1, 4, 0.5, 6)),
    ],
)
def test_auto_means_the_most_that_the_node_types_allow(
    keys: dict[str, Any], expected: SlotPlan
) -> None:
    assert plan_slots(ResourcesConfig(**keys), Room([HEAD], most=GROWN)) == expected


def test_what_no_node_type_has_is_refused() -> None:
    with pytest.raises(ResourceError, match="in 4 nodes") as caught:
        plan_slots(ResourcesConfig(gpus_per_worker=2.0), Room([HEAD], most=GROWN))
    assert caught.value.key == "gpus_per_worker"
    assert "on demand" not in str(caught.value)


@pytest.mark.parametrize(
    "keys",
    [{}, {"cpus_per_worker": 4.0}, {"concurrent_trials": 3}, {"gpus_per_worker": 1.0}],
)
def test_where_node_types_cannot_be_read_both_keys_are_asked_for(keys: dict[str, Any]) -> None:
    message = "starts nodes on demand, give cpus_per_worker .* and concurrent_trials"
    with pytest.raises(ResourceError, match=message):
        plan_slots(ResourcesConfig(**keys), Room([node(0)], most=None))


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({"cpus_per_worker": 4.0}, SlotPlan(1, 4, 0, 3)),
        ({"gpus_per_worker": 1.0}, SlotPlan(1, 1, 1, 3)),
        ({"gpus_per_worker": 1.0, "cpus_per_worker": 8.0}, SlotPlan(1, 8, 1, 3)),
    ],
)
def test_with_both_keys_given_a_sweep_starts_without_a_node(
    keys: dict[str, Any], expected: SlotPlan
) -> None:
    config = ResourcesConfig(concurrent_trials=3, **keys)
    assert plan_slots(config, Room([node(0)], most=None)) == expected
    with pytest.raises(ResourceError):
        plan_slots(config, Room([node(0)]))


def test_the_slots_that_have_room_follow_the_nodes_and_their_shape_stays() -> None:
    config = ResourcesConfig()
    made = plan_slots(config, Room([node(2)]))
    counts = [slots_in(Room([node(2)] * number), made, config) for number in range(4)]
    assert counts == [0, 1, 2, 3]
    at_most_two = ResourcesConfig(concurrent_trials=2)
    assert slots_in(Room([node(2)] * 3), made, at_most_two) == 2


@pytest.mark.parametrize(("gpus", "backend"), [(0.0, "gloo"), (0.5, "nccl"), (1.0, "nccl")])
def test_gpu_workers_talk_over_nccl_and_others_over_gloo(gpus: float, backend: str) -> None:
    assert SlotPlan(workers=1, cpus=1, gpus=gpus, slots=1).backend == backend


def test_each_worker_of_a_gpu_slot_asks_for_a_gpu_of_its_own() -> None:
    scaling = plan(8, 2, workers_per_trial=2).scaling()
    assert scaling.num_workers == 2
    assert scaling.use_gpu
    assert scaling.resources_per_worker == {"CPU": 4.0, "GPU": 1.0}
    assert scaling.total_resources["GPU"] == 2.0


def test_a_cpu_slot_asks_for_no_gpu() -> None:
    scaling = plan(4, workers_per_trial=2).scaling()
    assert not scaling.use_gpu
    assert scaling.resources_per_worker == {"CPU": 2.0}


def test_a_plan_describes_itself() -> None:
    assert SlotPlan(1, 2, 0, 1).describe() == "1 slot of 1 worker with 2 CPU each"
    made = SlotPlan(2, 1.5, 0.5, 3).describe()
    assert made == "3 slots of 2 workers with 1.5 CPU and 0.5 GPU each"
