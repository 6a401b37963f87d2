"""What the driver makes of nodes that join and leave, and of a cluster's node types."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from sweeps.search.resources import Node, Room, plan_slots
from sweeps.search.room import Following, autoscaler_config, lacking, most_nodes
from sweeps.search.searcher import SpaceSearcher
from sweeps.space.config import ResourcesConfig
from tests.sweeps.search.made_trials import make_space

ROOT = Path(__file__).resolve().parents[3]
HEAD: Node = {"CPU": 0.0, "node:__internal_head__": 1.0}
NODE: Node = {"CPU": 2.0}
NODES: dict[str, Any] = {"resources": {"CPU": 2}, "max_workers": 2}
ADDRESS = "10.0.0.1:6379"


def follow(tmp_path: Path, room: Room, **keys: Any) -> tuple[Following, SpaceSearcher, list[str]]:
    config, said = ResourcesConfig(**keys), list[str]()
    plan = plan_slots(config, room)
    searcher = SpaceSearcher(make_space(tmp_path, "search.trials=9"), at_once=plan.slots)
    return Following(searcher, config, plan, room, said.append), searcher, said


def drawn_now(searcher: SpaceSearcher, name: str) -> int:
    """Ask for trials as Tune does, until the searcher is full."""
    number = 0
    while searcher.suggest(f"{name}-{number}") is not None:
        number += 1
    return number


def test_a_node_that_joins_lets_one_more_trial_run(tmp_path: Path) -> None:
    following, searcher, said = follow(tmp_path, Room([HEAD, NODE]))
    assert drawn_now(searcher, "first") == 1
    following.follow((HEAD, NODE, NODE))
    assert drawn_now(searcher, "second") == 1
    following.follow((HEAD, NODE, NODE))
    assert said == ["slots: 1 -> 2 (a node joined)"]


def test_slots_beyond_the_room_go_as_their_trials_end(tmp_path: Path) -> None:
    following, searcher, said = follow(tmp_path, Room([HEAD, NODE, NODE, NODE]))
    assert drawn_now(searcher, "a") == 3
    following.follow((HEAD, NODE))
    assert said == ["slots: 3 -> 1 (a node left)"]
    for number in range(3):
        assert searcher.suggest("next") is None
        searcher.on_trial_complete(f"a-{number}", {"val_f1": 0.5})
    assert searcher.suggest("next") is not None


def test_one_trial_waits_where_no_node_is_left(tmp_path: Path) -> None:
    following, searcher, said = follow(tmp_path, Room([HEAD, NODE, NODE]))
    following.follow((HEAD,))
    assert searcher.at_once == 1
    assert said == ["slots: 2 -> 1 (a node left)"]


def test_more_than_the_file_asks_for_is_never_started(tmp_path: Path) -> None:
    following, searcher, said = follow(tmp_path, Room([HEAD, NODE]), concurrent_trials=2)
    assert searcher.at_once == 2  # of one CPU each
    following.follow((HEAD, NODE, NODE))
    assert (searcher.at_once, said) == (2, [])


def test_a_cluster_that_grows_on_demand_is_asked_for_all_of_it(tmp_path: Path) -> None:
    following, searcher, said = follow(tmp_path, Room([HEAD], most=[HEAD, NODE, NODE]))
    assert searcher.at_once == 2
    following.follow((HEAD, NODE))
    assert (searcher.at_once, said) == (2, [])


def test_what_is_waited_for_is_said_once_and_not_at_first_sight(tmp_path: Path) -> None:
    following, _, said = follow(tmp_path, Room([HEAD], most=[HEAD, NODE, NODE]))
    following.wait_for(2)
    assert said == []
    for groups in (2, 2, 2):
        following.wait_for(groups)
    text = "with 2 CPU each; the cluster has 0 CPU and 0 GPU; nodes may be starting"
    assert said == [f"waiting for 2 workers {text}"]
    following.wait_for(0)
    for groups in (1, 1):
        following.wait_for(groups)
    assert said[1:] == [f"waiting for 1 worker {text}"]


def test_where_no_node_can_start_the_reason_is_another(tmp_path: Path) -> None:
    following, _, said = follow(tmp_path, Room([HEAD, NODE, NODE]), workers_per_trial=2)
    for groups in (1, 1):
        following.wait_for(groups)
    assert said == [
        "waiting for 2 workers with 2 CPU each; the cluster has 4 CPU and 0 GPU in 3 nodes; "
        "others use it, a node left, or what was killed holds it still"
    ]


def test_the_node_types_of_the_shipped_cluster_file_are_read() -> None:
    config = yaml.safe_load((ROOT / "ray_cluster.yaml").read_text(encoding="utf-8"))
    most = most_nodes(config, [{"CPU": 4.0}])
    assert most is not None
    made = plan_slots(ResourcesConfig(), Room([{"CPU": 4.0}], most))
    assert (made.cpus, made.gpus, made.slots) == (8.0, 1.0, 4)


def test_the_largest_types_count_where_not_all_nodes_may_run() -> None:
    types: dict[str, Any] = {
        "head": {"resources": {"CPU": 4}},
        "small": {"resources": {"CPU": 2}, "max_workers": 5},
        "gpu": {"resources": {"CPU": 8, "GPU": 1}, "max_workers": 2},
        "never": {"resources": {"CPU": 99}},
    }
    config = {"available_node_types": types, "head_node_type": "head", "max_workers": 3}
    gpu, small = types["gpu"]["resources"], types["small"]["resources"]
    assert most_nodes(config, [HEAD]) == (HEAD, gpu, gpu, small)
    types["gpu"]["resources"] = {}  # as the cloud has it, which the file does not say
    assert most_nodes(config, [HEAD]) is None


@pytest.mark.parametrize(
    ("changed", "most"),
    [
        ({"head_node_type": None}, 1),
        ({"max_workers": None}, 2),
        ({"available_node_types": {"a": {"resources": {"CPU": 2}, "max_workers": None}}}, 0),
        ({"available_node_types": None}, None),
        ({"available_node_types": {"a": None}}, None),
        ({"available_node_types": {"a": {"resources": None}}}, None),
    ],
)
def test_a_file_written_by_hand_may_leave_things_out(
    changed: dict[str, Any], most: int | None
) -> None:
    config = {"available_node_types": {"a": NODES}, "max_workers": 1} | changed
    given = {key: value for key, value in config.items() if value is not None}
    for each in (config, given):
        found = most_nodes(each, [HEAD])
        assert found == (None if most is None else (HEAD, *[NODES["resources"]] * most))


def test_one_worker_lacks_something_only_where_no_node_is_large_enough() -> None:
    room = Room([HEAD], most=[HEAD, NODE])
    plan = plan_slots(ResourcesConfig(), room)
    assert lacking(plan, room) == (
        "waiting for 1 worker with 2 CPU each; the cluster has 0 CPU and 0 GPU; "
        "nodes may be starting"
    )
    assert lacking(plan, Room([HEAD, NODE])) == ""


def process(top: Path, pid: int, *words: str) -> None:
    (top / str(pid)).mkdir()
    (top / str(pid) / "cmdline").write_bytes(b"".join(word.encode() + b"\0" for word in words))


def test_the_file_of_this_cluster_s_autoscaler_is_found(tmp_path: Path) -> None:
    file = tmp_path / "cluster.yaml"
    file.write_text(json.dumps({"max_workers": 2}), encoding="utf-8")
    monitor = ("python", "-u", "/x/ray/autoscaler/_private/monitor.py")
    process(tmp_path, 1, *monitor, "--gcs-address=10.0.0.9:6379", "--autoscaling-config=/other")
    process(tmp_path, 2, "/x/gcs_server", f"--gcs-address={ADDRESS}")
    (tmp_path / "3").mkdir()  # has ended
    assert autoscaler_config(ADDRESS, tmp_path) is None
    process(tmp_path, 4, *monitor, f"--gcs-address={ADDRESS}", f"--autoscaling-config={file}")
    assert autoscaler_config(ADDRESS, tmp_path) == {"max_workers": 2}
    file.unlink()
    assert autoscaler_config(ADDRESS, tmp_path) is None


def test_a_monitor_that_starts_no_nodes_is_told_from_none(tmp_path: Path) -> None:
    process(tmp_path, 4, "python", "/x/v2/monitor.py", f"--gcs-address={ADDRESS}")
    assert autoscaler_config(ADDRESS, tmp_path) == {}


@pytest.mark.parametrize("most", [(), None])
def test_room_describes_what_there_is(most: Any) -> None:
    assert Room([{"CPU": 4.0, "GPU": 1.0}], most).describe() == "4 CPU and 1 GPU"
