"""Whether all nodes of the cluster see the storage: those that are there, and those that join.

The driver leaves a file, each node reads it and leaves one of its own, and the driver looks for
those: a folder of the same name on a node's own disk is not the storage. Another file stays for as
long as the sweep runs, and nothing is trained on a node that does not find it.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from sweeps.errors import ResourceError
from sweeps.search.storage import Storage, write_json

ANSWERS_WITHIN_S = 30.0
FOUND_WITHIN_S = 10.0  # a shared folder may show a new file late, and a store may be busy
LOOK_S = 0.5
NAME = ".mark"
REMEDY = "set output.storage to a path that all nodes share, or to s3://... or gs://..."
UNSEEN = "does not see what the driver writes there"


@dataclass(frozen=True)
class Mark:
    """What a driver has left in the storage: where it is found, the storage is the driver's."""

    storage: Storage
    token: str
    within: float = FOUND_WITHIN_S

    def check(self) -> None:
        """Look for it on this node, `within` seconds at most; raise ResourceError with the node."""
        until = time.monotonic() + self.within
        while problem := self.problem():
            if time.monotonic() >= until:
                node = ray.util.get_node_ip_address()  # type: ignore[no-untyped-call]
                raise ResourceError(
                    f"{self.storage} is not the same for all nodes: node {node} {problem}; {REMEDY}"
                )
            time.sleep(LOOK_S)

    def problem(self) -> str:
        """Say what is wrong on this node at this moment, or nothing."""
        try:
            found = self.storage.read(NAME)
        except OSError as error:
            return f"cannot read there: {error}"
        return "" if found and found.strip() == json.dumps(self.token).encode() else UNSEEN


@contextmanager
def marked(storage: Storage) -> Iterator[Mark]:
    """Leave a mark for the time of the block; another driver's is replaced.

    Raises ResourceError if the storage cannot be written.
    """
    mark = Mark(storage, secrets.token_hex(8))
    try:
        write_json(storage, NAME, mark.token)
    except OSError as error:
        raise ResourceError(f"output.storage: {storage} cannot be used: {error}") from error
    try:
        yield mark
    finally:
        with suppress(OSError):  # then it stays, and tells nobody anything
            if not mark.problem():  # else another driver has taken over
                storage.delete(NAME)


def living() -> list[dict[str, Any]]:
    """List the living nodes as Ray describes them."""
    nodes: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]
    return [node for node in nodes if node["Alive"]]


def check_reach(storage: Storage, *, within: float = ANSWERS_WITHIN_S) -> None:
    """Let every living node write to and read from the storage; a cluster of one node is not asked.

    Raises ResourceError naming the nodes that cannot, and what to do.
    """
    here: str = ray.get_runtime_context().get_node_id()
    nodes = living()
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
        asked = {
            on_node(node["NodeID"], _answer, storage, token, node["NodeID"]): node for node in nodes
        }
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


def on_node(node: str, function: Callable[..., Any], *given: Any) -> Any:
    """Begin a call on a node, whatever else runs there."""
    where = NodeAffinitySchedulingStrategy(node, soft=False)
    options: dict[str, Any] = {"num_cpus": 0, "max_retries": 0, "scheduling_strategy": where}
    return ray.remote(**options)(function).remote(*given)


def _answer(storage: Storage, token: str, node: str) -> str:
    """On a node: say what is wrong, or nothing."""
    try:
        if token not in storage:
            return UNSEEN
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
