"""How a model is served: by which engine, with how many replicas and threads."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any, Literal

EngineName = Literal["auto", "fp32", "int8", "torch"]
DEFAULT = "dslim/bert-base-NER"
"""of the Hub, where no model is named and the registry has no champion"""
BUSY_AT = 16
"""requests that a replica has at once, on average, before another is started"""


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
    on loopback.
    """

    threads: int | None = None
    engine: EngineName = "auto"
    alias: str | None = None
    shadow: str | None = None
    gpus: int = 0
    fewest: int = 1
    most: int = 1
    inside: bool = False

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
    """Count the CPUs this process may use, which a container may have cut down."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
