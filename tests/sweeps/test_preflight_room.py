"""Whether a slot fits into this machine is known before anything is looked up."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from sweeps import preflight as preflight_module
from sweeps.preflight import local_resources, preflight
from sweeps.space.space import SearchSpace
from tokcls.errors import ConfigError

Load = Callable[..., SearchSpace]


def machine(monkeypatch: pytest.MonkeyPatch, **resources: float) -> None:
    found = {"CPU": 4.0, "GPU": 0.0} | resources
    monkeypatch.setattr(preflight_module, "local_resources", lambda: found)


def problem_of(space: SearchSpace) -> str:
    with pytest.raises(ConfigError) as caught:
        preflight(space)
    (problem,) = caught.value.problems
    return f"{Path(problem.file).name}:{problem.line}: {problem.path}: {problem.message}"


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("gpus_per_worker", "1", "1 asked for, but there is no GPU here"),
        ("workers_per_trial", "9", "needs 9 CPU"),
        ("cpus_per_worker", "9.0", "needs 9 CPU"),
    ],
)
def test_what_the_machine_does_not_have_is_said_with_its_line(
    load: Load, monkeypatch: pytest.MonkeyPatch, key: str, value: str, message: str
) -> None:
    machine(monkeypatch)
    added = f"resources:\n  concurrent_trials: 1\n  {key}: {value}\n"
    said = problem_of(load(added=added))
    assert said.startswith(f"s.yaml:9: resources.{key}: ")
    assert message in said


def test_an_override_that_asks_for_too_much_is_named(
    load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine(monkeypatch)
    assert problem_of(load("resources.gpus_per_worker=2")).startswith(
        "override resources.gpus_per_worker=2:0: "
    )


def test_the_machine_is_looked_at_before_the_hub_is_asked(
    load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine(monkeypatch)
    said = problem_of(load("resources.gpus_per_worker=1", backbone="org/nothing"))
    assert "no GPU here" in said


def test_a_cluster_elsewhere_is_not_judged_by_this_machine(
    load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine(monkeypatch)
    ready = preflight(load("resources.gpus_per_worker=1"), local=False)
    assert ready.plan is None


def test_this_machine_s_plan_is_made_of_what_it_has(
    load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine(monkeypatch, CPU=6.0, GPU=2.0)
    plan = preflight(load()).plan
    assert plan is not None
    assert (plan.slots, plan.cpus, plan.gpus) == (2, 3.0, 1.0)


def test_the_cpus_of_this_machine_are_those_the_process_may_use(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 3, 5})
    assert local_resources()["CPU"] == 3.0


@pytest.mark.parametrize(("visible", "gpus"), [(None, 4), ("0,2", 2), ("", 0)])
def test_only_gpus_that_the_process_may_see_are_counted(
    monkeypatch: pytest.MonkeyPatch, visible: str | None, gpus: int
) -> None:
    from ray._private.accelerators.nvidia_gpu import NvidiaGPUAcceleratorManager as Nvidia

    monkeypatch.setattr(Nvidia, "get_current_node_num_accelerators", staticmethod(lambda: 4))
    if visible is None:
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    else:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert local_resources()["GPU"] == gpus
