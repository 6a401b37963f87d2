"""What a server may take of its machine: a container's share of the CPUs, parts of GPUs."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tokcls.inference import settings
from tokcls.inference.settings import gpu_share, usable_cpus

V1_QUOTA, V1_PERIOD = "cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us"


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="only Linux has containers")
@pytest.mark.parametrize(
    ("files", "cpus"),
    [
        ({}, 8),
        ({"cpu.max": "max 100000\n"}, 8),
        ({"cpu.max": "200000 100000\n"}, 2),
        ({"cpu.max": "150000 100000\n"}, 2),
        ({"cpu.max": "20000 100000\n"}, 1),
        ({"cpu.max": "9900000 100000\n"}, 8),
        ({"cpu.max": "odd\n"}, 8),
        ({V1_QUOTA: "-1\n", V1_PERIOD: "100000\n"}, 8),
        ({V1_QUOTA: "250000\n", V1_PERIOD: "100000\n"}, 3),
        ({V1_QUOTA: "250000\n"}, 8),
    ],
)
def test_a_containers_share_of_cpu_time_counts_as_whole_cpus_and_at_least_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: dict[str, str], cpus: int
) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(settings, "QUOTAS", tmp_path)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))
    assert usable_cpus() == cpus


@pytest.mark.parametrize(
    ("replicas", "gpus", "share"),
    [(1, 0, 0), (1, 1, 1), (2, 4, 1), (2, 1, 0.5), (3, 2, 0.5), (7, 1, 0.1428)],
)
def test_replicas_share_the_gpus_that_are_there(replicas: int, gpus: int, share: float) -> None:
    assert gpu_share(replicas, gpus) == share
    assert replicas * share <= gpus
