"""How many slots a cluster has room for, and what each worker of a slot asks for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sweeps.errors import ResourceError
from sweeps.space.config import ResourcesConfig

MOST_CPUS = 8  # a worker of a small model gains little from more threads


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

    def scaling(self) -> Any:
        """Build Ray Train's ScalingConfig: one process per worker, each with its own GPU share."""
        from ray.train import ScalingConfig

        share = {"CPU": self.cpus} | ({"GPU": self.gpus} if self.gpus else {})
        return ScalingConfig(
            num_workers=self.workers, use_gpu=bool(self.gpus), resources_per_worker=share
        )

    def describe(self) -> str:
        """Say it in one line for people."""
        each = f"{self.cpus:g} CPU" + (f" and {self.gpus:g} GPU" if self.gpus else "")
        workers = "1 worker" if self.workers == 1 else f"{self.workers} workers"
        return f"{self.slots} slot{'s' * (self.slots != 1)} of {workers} with {each} each"


def plan_slots(config: ResourcesConfig, cluster: Mapping[str, float]) -> SlotPlan:
    """Fit slots into `cluster` (Ray's total resources: CPU, GPU).

    Raises ResourceError naming the key, what it asks for, and what there is.
    """
    cpus, gpus = cluster.get("CPU", 0.0), cluster.get("GPU", 0.0)
    workers = config.workers_per_trial
    gpu_share = _gpu_share(config, gpus)
    cpu_share = _cpu_share(config, cpus, gpus, gpu_share)
    room = (cpus + 1e-9) // (cpu_share * workers)
    if gpu_share:
        room = min(room, (gpus + 1e-9) // (gpu_share * workers))
    if room < 1:
        raise ResourceError(
            f"a trial of {workers} worker(s) with {cpu_share:g} CPU and {gpu_share:g} GPU each "
            f"needs {workers * cpu_share:g} CPU and {workers * gpu_share:g} GPU, but there are "
            f"{cpus:g} CPU and {gpus:g} GPU; lower workers_per_trial or the shares",
            key=_too_much(cpus, cpu_share, gpus, gpu_share),
        )
    wanted = config.concurrent_trials
    slots = int(room) if wanted == "auto" else min(int(wanted), int(room))
    return SlotPlan(workers=workers, cpus=cpu_share, gpus=gpu_share, slots=slots)


def _too_much(cpus: float, cpu_share: float, gpus: float, gpu_share: float) -> str:
    """Name the key to blame: a share that one worker alone cannot have, else their number."""
    if gpu_share > gpus:
        return "gpus_per_worker"
    return "cpus_per_worker" if cpu_share > cpus else "workers_per_trial"


def _gpu_share(config: ResourcesConfig, gpus: float) -> float:
    if config.gpus_per_worker == "auto":
        return 1.0 if gpus else 0.0
    if config.gpus_per_worker and not gpus:
        raise ResourceError(
            f"{config.gpus_per_worker:g} asked for, but there is no GPU here; "
            "write 0 or auto to train on CPUs",
            key="gpus_per_worker",
        )
    return float(config.gpus_per_worker)


def _cpu_share(config: ResourcesConfig, cpus: float, gpus: float, gpu_share: float) -> float:
    """On CPUs alone one trial at a time gets the machine, up to `MOST_CPUS` a worker."""
    if config.cpus_per_worker != "auto":
        return float(config.cpus_per_worker)
    if gpu_share:
        return float(max(1, min(MOST_CPUS, cpus // max(gpus / gpu_share, 1))))
    share = cpus // config.workers_per_trial
    if config.concurrent_trials != "auto":
        share = cpus // (config.workers_per_trial * config.concurrent_trials)
    return float(max(1, min(MOST_CPUS, share)))
