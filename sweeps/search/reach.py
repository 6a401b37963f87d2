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
    try:
        problems = _problems(storage, nodes, within)
    except OSError as error:
        raise ResourceError(f"output.storage: {storage} cannot be used: {error}") from error
    if problems:
        said = "\n".join(problems)
        raise ResourceError(f"{storage} is not the same for all nodes; {REMEDY}\n{said}")


def _problems(storage: Storage, nodes: list[dict[str, Any]], within: float) -> list[str]:
    """Ask the nodes all at once; returns a line for each that is not well."""
    token = f".probe-{secrets.token_hex(8)}"
    write_json(storage, token, token)
    problems = []
    try:
        asked = {_ask(storage, token, node["NodeID"]): node for node in nodes}
        answered, _ = ray.wait([*asked], num_returns=len(asked), timeout=within)
        for answer, node in asked.items():
            problem = _problem(answer, answered, within)
            if not problem and _left(token, node["NodeID"]) not in storage:
                problem = "what it writes there, the driver does not see"
            if problem:
                problems.append(f"node {node['NodeManagerAddress']}: {problem}")
    finally:
        for name in (token, *(_left(token, node["NodeID"]) for node in nodes)):
            storage.delete(name)
    return problems


def _left(token: str, node: str) -> str:
    """The name of the file that a node leaves."""
    return f"{token}-{node}"


def _ask(storage: Storage, token: str, node: str) -> Any:
    where = NodeAffinitySchedulingStrategy(node, soft=False)
    options: dict[str, Any] = {"num_cpus": 0, "max_retries": 0, "scheduling_strategy": where}
    return ray.remote(**options)(_answer).remote(storage, token, node)


def _answer(storage: Storage, token: str, node: str) -> str:
    """On a node: say what is wrong, or nothing."""
    try:
        if token not in storage:
            return "does not see what the driver writes there"
        write_json(storage, _left(token, node), node)
    except OSError as error:
        return str(error)
    return ""


def _problem(answer: Any, answered: list[Any], within: float) -> str:
    if answer not in answered:
        return f"has not answered in {within:.0f} s"
    try:
        said: str = ray.get(answer)
    except ray.exceptions.RayError as error:
        return str(error).splitlines()[0]
    return said
