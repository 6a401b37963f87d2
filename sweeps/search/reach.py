"""Whether all nodes of the cluster see the storage: found out before the first trial.

The driver leaves a file, each node reads it and leaves one of its own, and the driver looks for
those: a folder of the same name on a node's own disk is not the storage.
"""

from __future__ import annotations

import secrets
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from sweeps.errors import ResourceError
from sweeps.search.storage import Storage, write_json

PROBES = ".probes"
ANSWERS_WITHIN_S = 30.0
REMEDY = "set output.storage to a path that all nodes share, or to s3://... or gs://..."


def check_reach(storage: Storage, *, within: float = ANSWERS_WITHIN_S) -> None:
    """Let every living node write to and read from the storage; a cluster of one node is not asked.

    Raises ResourceError naming the nodes that cannot, and what to do.
    """
    here: str = ray.get_runtime_context().get_node_id()
    nodes = [node for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]
    if all(node["NodeID"] == here for node in nodes):
        return
    probes, token = storage.below(PROBES), secrets.token_hex(8)
    write_json(probes, token, token)
    try:
        asked = {_ask(probes, token, node["NodeID"]): node for node in nodes}
        answered, _ = ray.wait([*asked], num_returns=len(asked), timeout=within)
        problems = [
            f"node {node['NodeManagerAddress']}: {problem}"
            for answer, node in asked.items()
            if (problem := _problem(answer, answered, probes, node["NodeID"], within))
        ]
    finally:
        for name in probes.files():
            probes.delete(name)
    if problems:
        said = "\n".join(problems)
        raise ResourceError(f"{storage} is not the same for all nodes; {REMEDY}\n{said}")


def _ask(probes: Storage, token: str, node: str) -> Any:
    where = NodeAffinitySchedulingStrategy(node, soft=False)
    options: dict[str, Any] = {"num_cpus": 0, "max_retries": 0, "scheduling_strategy": where}
    return ray.remote(**options)(_answer).remote(probes, token, node)


def _answer(probes: Storage, token: str, node: str) -> str:
    """On a node: say what is wrong, or nothing."""
    try:
        if probes.read(token) is None:
            return "does not see what the driver writes there"
        write_json(probes, node, token)
    except OSError as error:
        return str(error)
    return ""


def _problem(answer: Any, answered: list[Any], probes: Storage, node: str, within: float) -> str:
    if answer not in answered:
        return f"has not answered in {within:.0f} s"
    try:
        said: str = ray.get(answer)
    except ray.exceptions.RayError as error:
        return str(error).splitlines()[0]
    if said or node in probes:
        return said
    return "what it writes there, the driver does not see"
