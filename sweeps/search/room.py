"""The room that a Ray cluster has for slots, now and at most, and what its slots wait for.

Read by the driver; while a sweep runs, again every few seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import ray
import yaml
from ray.util import placement_group_table
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from sweeps.search.resources import Node, Room, SlotPlan, counted, slots_in
from sweeps.search.searcher import SpaceSearcher
from sweeps.search.watching import Watching
from sweeps.space.config import ResourcesConfig

HEAD = "node:__internal_head__"  # Ray's own resource, of which the head node has 1


def cluster_room() -> Room:
    """Read the living nodes of the cluster, and the most that its node types allow."""
    from ray._private import worker

    nodes = alive_nodes()
    ours: Any = worker._global_node  # the head only where ray.init() has started the cluster
    return Room(nodes, () if ours.head else _most(nodes))


def alive_nodes() -> tuple[Node, ...]:
    """Give what each living node has in all."""
    nodes: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]
    return tuple(node["Resources"] for node in nodes if node["Alive"])


def _most(nodes: Iterable[Node]) -> tuple[Node, ...] | None:
    """Find out on the head node, where Ray's autoscaler runs, what that may start."""
    context = ray.get_runtime_context()
    head = next(node["NodeID"] for node in ray.nodes() if HEAD in node["Resources"])  # type: ignore[no-untyped-call]
    if context.get_node_id() == head:
        config = autoscaler_config(context.gcs_address)
    else:
        there = NodeAffinitySchedulingStrategy(head, soft=False)
        task = ray.remote(num_cpus=0)(autoscaler_config).options(scheduling_strategy=there)
        config = ray.get(task.remote(context.gcs_address))
    if not isinstance(config, dict):
        return None
    if not config:
        return ()
    return most_nodes(config, [node for node in nodes if HEAD in node])


def autoscaler_config(gcs_address: str, processes: Path = Path("/proc")) -> Any:
    """Read the cluster file of the autoscaler that runs on this node, the head.

    {} if that starts no nodes; None if there is none (on Kubernetes it is in a container of its
    own), or its file cannot be read. The file's path is known to its command line alone.
    """
    for place in processes.glob("[0-9]*/cmdline"):
        try:
            words = place.read_bytes().decode(errors="replace").split("\0")
            if f"--gcs-address={gcs_address}" not in words or not _is_monitor(words):
                continue
            given = [word for word in words if word.startswith("--autoscaling-config=")]
            if not given:
                return {}
            path = Path(given[-1].partition("=")[2]).expanduser()
            return yaml.safe_load(path.read_text(encoding="utf-8"))
        except (OSError, yaml.YAMLError):
            continue  # a process that has ended; or no file that we may read
    return None


def _is_monitor(words: list[str]) -> bool:
    return any(word.endswith(("_private/monitor.py", "v2/monitor.py")) for word in words)


def most_nodes(config: Mapping[str, Any], heads: Iterable[Node]) -> tuple[Node, ...] | None:
    """List all nodes that a cluster file allows, besides `heads`, which are there.

    Those with the most GPUs, then CPUs, come first where `max_workers` of the file is fewer than
    its types have together. None if the file does not say what types there are, or what one has.
    """
    types = dict(config.get("available_node_types") or {})
    types.pop(config.get("head_node_type"), None)
    workers: list[Node] = []
    for node_type in types.values():
        if not node_type or not node_type.get("resources"):
            return None
        workers += [node_type["resources"]] * (node_type.get("max_workers") or 0)
    workers.sort(key=lambda node: (node.get("GPU", 0), node.get("CPU", 0)), reverse=True)
    return (*heads, *workers[: config.get("max_workers")]) if types else None


class Following(Watching):
    """Lets as many trials run at once as there is room for while nodes join and leave.

    `say` is told of every change, and of what slots wait for.
    """

    def __init__(
        self,
        searcher: SpaceSearcher,
        config: ResourcesConfig,
        plan: SlotPlan,
        room: Room,
        say: Callable[[str], None],
    ) -> None:
        super().__init__()
        self._searcher, self._config, self._plan, self._say = searcher, config, plan, say
        self._room = room
        self._waiting, self._told = 0, ""

    def look(self) -> None:
        self.follow(alive_nodes())
        self.wait_for(waiting_groups(self._plan))

    def follow(self, nodes: tuple[Node, ...]) -> None:
        """Take over what there is now; one slot is always kept, to wait for a node."""
        joined = len(nodes) - len(self._room.nodes)
        self._room = Room(nodes, self._room.most)
        before = self._searcher.at_once
        slots = max(1, slots_in(self._room, self._plan, self._config))
        if slots != before:
            self._searcher.at_once = slots
            why = "a node joined" if joined > 0 else "a node left"
            self._say(f"slots: {before} -> {slots} ({why})")

    def wait_for(self, groups: int) -> None:
        """Say what `groups` of workers wait for, if they did so the last time as well."""
        waited, self._waiting = self._waiting, groups
        if not groups:
            self._told = ""
            return
        text = waiting_for(min(groups, waited) * self._plan.workers, self._plan, self._room)
        if waited and text != self._told:
            self._told = text
            self._say(text)


def waiting_for(workers: int, plan: SlotPlan, room: Room) -> str:
    """Say what so many workers wait for, and why that may be."""
    each = " and ".join(f"{amount:g} {kind}" for kind, amount in plan.share.items())
    why = (
        "others use it, a node left, or what was killed holds it still"
        if room.most == ()
        else "nodes may be starting"
    )
    some = counted(workers)
    return f"waiting for {some} with {each} each; the cluster has {room.describe()}; {why}"


def lacking(plan: SlotPlan, room: Room) -> str:
    """Say what one worker waits for; nothing if a node that is there is large enough for it."""
    return "" if plan.held_by(room.nodes) else waiting_for(1, plan, room)


def waiting_groups(plan: SlotPlan) -> int:
    """Count the worker groups of this driver that Ray has found no room for yet."""
    job = ray.get_runtime_context().get_job_id()
    groups: dict[str, Any] = placement_group_table()
    return sum(
        identity.endswith(job)  # a group's id ends with that of the job that made it
        and group["state"] == "PENDING"
        and group["bundles"][0] == plan.share
        for identity, group in groups.items()
    )
