"""A Ray cluster of three nodes in a process of its own, so that a sweep's driver can die alone.

    python -m benchmarks._chaos_cluster

Takes one command a line (`processes`, `lose PID ...`, `gain`, `held`) and answers each with a line
of JSON; the first line is the address. It ends with its input.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from typing import Any

import ray
from ray._common.network_utils import find_free_port
from ray.cluster_utils import Cluster
from ray.util import placement_group_table
from ray.util.state import list_actors

NODES = 3
STORE_BYTES = 100 * 2**20
STANDING = ("_AutoscalingCoordinatorActor", "TrainStateActor")  # Ray's own, one a cluster, no CPU


class Nodes:
    """Three nodes of one CPU each; one of them, the head, stays."""

    def __init__(self) -> None:
        make: Callable[..., Any] = Cluster
        dashboard: dict[str, Any] = {"include_dashboard": True, "dashboard_host": "127.0.0.1"}
        dashboard["dashboard_port"] = find_free_port()  # the usual one may be another Ray's
        head = {"num_cpus": 1, "object_store_memory": STORE_BYTES, **dashboard}
        self._cluster = make(initialize_head=True, head_node_args=head)
        for _ in range(NODES - 1):
            self.gain()
        ray.init(address=self.address, log_to_driver=False)

    @property
    def address(self) -> str:
        return str(self._cluster.address)

    def gain(self) -> str:
        """Add a node."""
        self._cluster.add_node(num_cpus=1, object_store_memory=STORE_BYTES)
        return "gained"

    def lose(self, *workers: str) -> int:
        """Kill at once the node that a process of `workers` runs on; the head stays.

        Returns the process: the first that is on another node; 0: there is none.
        """
        nodes = {each["NodeID"]: each["ObjectStoreSocketName"] for each in _nodes()}
        places = {str(actor.pid): nodes.get(actor.node_id) for actor in _alive()}
        stores = {node.plasma_store_socket_name: node for node in self._cluster.worker_nodes}
        for worker in workers:
            node = stores.get(places.get(worker))
            if node is not None:
                self._cluster.remove_node(node, allow_graceful=False)
                return int(worker)
        return 0

    def processes(self) -> dict[str, list[int]]:
        """Give the processes of living actors by the name of their class."""
        found: dict[str, list[int]] = {}
        for actor in _alive():
            if actor.pid:
                found.setdefault(actor.class_name, []).append(actor.pid)
        return found

    def held(self) -> dict[str, Any]:
        """Tell what is not free: shares of resources, placement groups, actors."""
        totals: Callable[[], dict[str, float]] = ray.cluster_resources
        free: dict[str, float] = ray.available_resources()  # type: ignore[no-untyped-call]
        groups: dict[str, Any] = placement_group_table()
        found: dict[str, Any] = {
            name: total - free.get(name, 0.0)
            for name, total in totals().items()
            if "memory" not in name and total - free.get(name, 0.0) > 1e-6
        }
        found |= {key: each["state"] for key, each in groups.items() if each["state"] != "REMOVED"}
        found |= {
            f"{each.class_name} {each.pid}": "alive"
            for each in _alive()
            if each.class_name not in STANDING
        }
        alive = [node for node in _nodes() if node["Alive"]]
        return found if len(alive) == NODES else found | {"nodes": len(alive)}

    def close(self) -> None:
        ray.shutdown()
        self._cluster.shutdown()


def _nodes() -> list[dict[str, Any]]:
    nodes: Callable[[], list[dict[str, Any]]] = ray.nodes
    return nodes()


def _alive() -> list[Any]:
    address = ray.get_runtime_context().gcs_address  # other Rays may run on this machine
    return list(list_actors(address=address, filters=[("state", "=", "ALIVE")], limit=1000))


def main() -> int:
    """Answer commands until there are no more."""
    with os.fdopen(os.dup(1), "w", buffering=1) as answers:
        os.dup2(2, 1)  # Ray says things there at moments of its own
        nodes = Nodes()
        print(json.dumps(nodes.address), file=answers)
        try:
            for line in sys.stdin:
                command, *arguments = line.split()
                print(json.dumps(getattr(nodes, command)(*arguments)), file=answers)
        finally:
            nodes.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
