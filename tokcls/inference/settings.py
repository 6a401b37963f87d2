"""How a model is served: by which engine, with how many replicas and threads."""

from __future__ import annotations

import math
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

EngineName = Literal["auto", "fp32", "int8", "torch"]
DEFAULT = "dslim/bert-base-NER"
"""of the Hub, where no model is named and the registry has no champion"""
BUSY_AT = 16
"""requests that a replica has at once, on average, before another is started"""
QUOTAS = Path("/sys/fs/cgroup")
"""where a container sees how much CPU time it may take"""
FINEST = 10_000
"""parts of a GPU that Ray tells apart"""


@dataclass(frozen=True)
class Listening:
    """Where a server listens; `metrics_port` is that of Ray's metrics, default any."""

    host: str = "127.0.0.1"
    port: int = 8000
    metrics_port: int | None = None


@dataclass(frozen=True)
class Settings:
    """What a server is started with, besides its model.

    `threads` and `gpus` are each replica's, by default all CPUs of its machine, and none. `alias`
    (models:/NAME@ALIAS) is followed, and the version of `shadow` (the same) compared with it.
    Replicas are from `fewest` to `most`, by how many requests they have; `inside` keeps their ports
    on loopback. `asked_at` (seconds since 1970) is when the alias named what they begin with.
    """

    threads: int | None = None
    engine: EngineName = "auto"
    alias: str | None = None
    shadow: str | None = None
    gpus: float = 0
    fewest: int = 1
    most: int = 1
    inside: bool = False
    asked_at: float = 0.0

    def scale(self) -> dict[str, Any]:
        """Give Serve's options for the number of replicas."""
        if self.fewest == self.most:
            return {"num_replicas": self.most}
        return {
            "autoscaling_config": {
                "min_replicas": self.fewest,
                "max_replicas": self.most,
                "target_ongoing_requests": BUSY_AT,
                "upscale_delay_s": 5.0,
                "downscale_delay_s": 120.0,
            }
        }

    def resources(self) -> dict[str, Any]:
        """Give Ray's options for what a replica takes: its threads' CPUs, and GPUs."""
        return {"num_cpus": self.threads or 1, "num_gpus": self.gpus}


def usable_cpus() -> int:
    """Count the CPUs this process may use: a container may have fewer, or less of their time."""
    if hasattr(os, "sched_getaffinity"):
        there = len(os.sched_getaffinity(0))
    else:
        there = os.cpu_count() or 1
    return math.ceil(min(there, _quota(QUOTAS)))


def _quota(folder: Path) -> float:
    """Read the CPUs' worth of time that a container may take, as cgroups of version 2 or 1 say."""
    if (file := folder / "cpu.max").is_file():
        said = file.read_text().split()
    else:
        said = [_text(folder / "cpu" / f"cpu.cfs_{part}_us") for part in ("quota", "period")]
    with suppress(ValueError, ZeroDivisionError):
        quota, period = map(int, said)
        return quota / period if quota > 0 else math.inf
    return math.inf  # `max`, or nothing is said


def _text(file: Path) -> str:
    return file.read_text() if file.is_file() else ""


def gpu_share(replicas: int, gpus: int) -> float:
    """Share GPUs among replicas that each need one: whole ones, else equal parts of each."""
    if not gpus:
        return 0
    of_one = -(-replicas // gpus)
    return FINEST // of_one / FINEST
