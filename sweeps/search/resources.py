"""How many slots a cluster has room for, and what each worker of a slot asks for.

A worker must fit into one node; the workers of a trial may lie on several.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sweeps.errors import ResourceError
from sweeps.space.config import ResourcesConfig

Node = Mapping[str, float]
"""What a node has in all, as Ray counts it: CPU, GPU"""

MOST_CPUS = 8  # a worker of a small model gains little from more threads
ROUNDING = 1e-9  # ten workers of 0.1 CPU fit into one CPU


@dataclass(frozen=True)
class Room:
    """The nodes that there are, and the `most` there can be where nodes start on demand.

    `most` is empty where none start on demand, and None where that cannot be read.
    """

    nodes: Sequence[Node]
    most: Sequence[Node] | None = ()

    def describe(self) -> str:
        """Say what there is now."""
        cpus, gpus = (sum(node.get(kind, 0.0) for node in self.nodes) for kind in ("CPU", "GPU"))
        among = f" in {len(self.nodes)} nodes" if len(self.nodes) > 1 else ""
        return f"{cpus:g} CPU and {gpus:g} GPU{among}"


@dataclass(frozen=True)
class SlotPlan:
    """The shape of every slot, and how many of them run at once."""

    workers: int
    cpus: float
    gpus: float
    slots: int

    @property
    def backend(self) -> str:
        """The torch.distributed backend that Ray Train sets up for the workers."""
        return "nccl" if self.gpus else "gloo"

    @property
    def share(self) -> dict[str, float]:
        """What one worker asks Ray for."""
        return {"CPU": self.cpus} | ({"GPU": self.gpus} if self.gpus else {})

    def scaling(self) -> Any:
        """Build Ray Train's ScalingConfig: one process per worker, each with its own GPU share."""
        from ray.train import ScalingConfig

        return ScalingConfig(
            num_workers=self.workers, use_gpu=bool(self.gpus), resources_per_worker=self.share
        )

    def held_by(self, nodes: Sequence[Node]) -> bool:
        """Whether a worker could run on one of `nodes`, were it empty."""
        return any(_workers_on(node, self.share) for node in nodes)

    def fitting(self, nodes: Sequence[Node]) -> int:
        """Count the slots that `nodes` have room for, were they empty."""
        return sum(_workers_on(node, self.share) for node in nodes) // self.workers

    def describe(self) -> str:
        """Say it in one line for people."""
        each = " and ".join(f"{amount:g} {kind}" for kind, amount in self.share.items())
        slots = f"{self.slots} slot{'s' * (self.slots != 1)}"
        return f"{slots} of {counted(self.workers)} with {each} each"


def counted(workers: int) -> str:
    """Write a number of workers."""
    return "1 worker" if workers == 1 else f"{workers} workers"


def plan_slots(config: ResourcesConfig, room: Room) -> SlotPlan:
    """Fit slots into a cluster, or into the most that it grows to.

    Raises ResourceError naming the key, what it asks for, and what there is.
    """
    nodes = room.most or room.nodes
    gpus = _gpu_share(config, nodes)
    cpus = _cpu_share(config, nodes, gpus)
    plan = SlotPlan(config.workers_per_trial, cpus, gpus, slots=0)
    slots = slots_in(room, plan, config)
    if slots < 1:
        raise _no_room(plan, room)
    return replace(plan, slots=slots)


def slots_in(room: Room, plan: SlotPlan, config: ResourcesConfig) -> int:
    """Count the slots of `plan` that should run at once: what `config` asks for, and there is.

    Where nodes may start on demand but it cannot be read which, the file is taken at its word.
    """
    there = max(plan.fitting(room.nodes), plan.fitting(room.most or ()))
    wanted = config.concurrent_trials
    if wanted == "auto":
        return there
    share_given = (config.cpus_per_worker, config.gpus_per_worker) != ("auto", "auto")
    return wanted if room.most is None and share_given else min(wanted, there)


def _workers_on(node: Node, share: Mapping[str, float]) -> int:
    return int(min((node.get(kind, 0.0) + ROUNDING) // need for kind, need in share.items()))


def _gpu_share(config: ResourcesConfig, nodes: Sequence[Node]) -> float:
    if config.gpus_per_worker == "auto":
        return 1.0 if _largest(nodes, "GPU") else 0.0
    return float(config.gpus_per_worker)


def _cpu_share(config: ResourcesConfig, nodes: Sequence[Node], gpus: float) -> float:
    """With GPUs, the part of a node's CPUs that goes with its GPUs; else see `_cpus_alone`."""
    if config.cpus_per_worker != "auto":
        return float(config.cpus_per_worker)
    if not gpus:
        return _cpus_alone(config, nodes)
    parts = [
        node.get("CPU", 0.0) // max(node["GPU"] / gpus, 1)
        for node in nodes
        if node.get("GPU", 0.0) + ROUNDING >= gpus
    ]
    return float(max(1, min(MOST_CPUS, min(parts, default=1))))


def _cpus_alone(config: ResourcesConfig, nodes: Sequence[Node]) -> float:
    """On CPUs alone one trial at a time gets the machine, up to `MOST_CPUS` a worker."""
    trials = 1 if config.concurrent_trials == "auto" else config.concurrent_trials
    for share in range(MOST_CPUS, 1, -1):
        room = sum(_workers_on(node, {"CPU": share}) for node in nodes)
        if room >= config.workers_per_trial * trials:
            return float(share)
    return 1.0


def _largest(nodes: Sequence[Node], kind: str) -> float:
    return max((node.get(kind, 0.0) for node in nodes), default=0.0)


def _no_room(plan: SlotPlan, room: Room) -> ResourceError:
    """Blame a share that no node has, else the number of workers."""
    nodes = room.most or room.nodes
    on_demand = (
        "; if this cluster starts nodes on demand, give cpus_per_worker (or gpus_per_worker) and "
        "concurrent_trials, as it cannot be read here what they have"
        if room.most is None
        else ""
    )
    if plan.gpus and not _largest(nodes, "GPU"):
        return ResourceError(
            f"{plan.gpus:g} asked for, but there is no GPU here; write 0 or auto to train on CPUs"
            + on_demand,
            key="gpus_per_worker",
        )
    key = "workers_per_trial"
    if not any(_workers_on(node, plan.share) for node in nodes):
        key = "gpus_per_worker" if plan.gpus > _largest(nodes, "GPU") else "cpus_per_worker"
    largest = (
        f", of which one node has {_largest(nodes, 'CPU'):g} CPU and "
        f"{_largest(nodes, 'GPU'):g} GPU at most, and a worker must fit into one"
        if len(nodes) > 1
        else ""
    )
    return ResourceError(
        f"a trial of {plan.workers} worker(s) with {plan.cpus:g} CPU and {plan.gpus:g} GPU each "
        f"needs {plan.workers * plan.cpus:g} CPU and {plan.workers * plan.gpus:g} GPU, but there "
        f"are {Room(nodes).describe()}{largest}; lower workers_per_trial or the shares{on_demand}",
        key=key,
    )
