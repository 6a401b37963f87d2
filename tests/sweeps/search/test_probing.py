"""What two batches showed is judged before the first trial, at the line of the key to change."""

from __future__ import annotations

import os
import pickle
import signal
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ray import exceptions as of_ray
from rich.console import Console

from sweeps.console import Stages
from sweeps.errors import ResourceError
from sweeps.preflight import Ready, preflight
from sweeps.search.probing import (
    Answer,
    Probes,
    Refused,
    Setting,
    _read,
    answered,
    crowded,
    dearest,
    estimate_here,
    judged,
)
from sweeps.search.resources import Room, SlotPlan
from sweeps.search.storage import storage_at
from sweeps.space.space import load_space
from tests.sweeps.run_made import make_world
from tests.sweeps.search.made_trials import make_space
from tests.sweeps.test_estimate import measured
from tokcls.errors import ConfigError

GIGABYTE = 10**9
CPUS = SlotPlan(workers=1, cpus=1, gpus=0, slots=4)


@pytest.fixture(scope="module")
def ready(tmp_path_factory: pytest.TempPathFactory) -> Ready:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(make_world(tmp_path_factory.mktemp("world")))
        return preflight(load_space("s.yaml", ["train.tokens_per_batch={choice: [64, 256]}"]))


def test_the_dearest_configuration_has_the_largest_batches(tmp_path: Path) -> None:
    space = make_space(
        tmp_path,
        "model.backbone={choice: [minilm-l6, minilm-l3]}",
        "train.tokens_per_batch={choice: [512, 2048, 64]}",
    )
    config = dearest(space, "minilm-l3")
    assert (config.model.backbone, config.train.tokens_per_batch) == ("minilm-l3", 2048)
    assert dearest(make_space(tmp_path), "minilm-l6").model.backbone == "minilm-l6"


@pytest.mark.parametrize(
    ("refused", "said"),
    [
        (
            Refused("it is torn"),
            r"s.yaml:3: model.backbone: backbone 'b': it is torn$",
        ),
        (
            Refused("a batch does not fit into memory", "train.tokens_per_batch"),
            r"s.yaml:4: train.tokens_per_batch: backbone 'b': a batch does not fit into memory; "
            r"its largest batch has 2,048 sub-words: lower train.tokens_per_batch",
        ),
    ],
)
def test_what_is_refused_is_said_at_its_line(tmp_path: Path, refused: Refused, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        judged(make_space(tmp_path), CPUS, {"a": measured(1.0), "b": refused}, local=True)


def test_all_that_is_refused_is_said_at_once(tmp_path: Path) -> None:
    answers: dict[str, Answer] = {
        "a": Refused("is broken"),
        "b": Refused("is broken too"),
        "c": measured(1.0),
    }
    with pytest.raises(ConfigError) as caught:
        judged(make_space(tmp_path), CPUS, answers, local=True)
    assert len(caught.value.problems) == 2
    assert judged(make_space(tmp_path), CPUS, {"c": measured(1.0)}, local=True) == {
        "c": measured(1.0)
    }


@pytest.mark.parametrize(
    ("plan", "local", "key"),
    [
        (CPUS, True, "resources.concurrent_trials"),
        (CPUS, False, None),  # the slots may be on other machines
        (replace(CPUS, slots=2), True, None),
        (replace(CPUS, gpus=0.25, slots=4), False, "resources.gpus_per_worker"),
        (replace(CPUS, gpus=1, slots=4), True, None),
    ],
)
def test_trials_that_fit_alone_but_not_together_are_refused(
    plan: SlotPlan, local: bool, key: str | None
) -> None:
    found = crowded(plan, replace(measured(1.0), memory=3 * GIGABYTE), local=local)
    assert (found.key if found else None) == key
    if found:
        assert (
            "4 workers at once need 12 GB of memory to train it, and there are 8 GB" in found.reason
        )


def test_what_a_killed_child_said_before_counts() -> None:
    answers = [("a", measured(1.0)), ("b", Refused("is broken"))]
    stream = b"".join(pickle.dumps(each) for each in answers)
    assert _read(stream) == answers
    assert _read(stream[:-3]) == answers[:1]
    assert _read(b"") == []


class Asked:
    """Raises what Ray raises, time after time, and then has an answer."""

    def __init__(self, *raised: Exception) -> None:
        self.raised, self.again = [*raised], list[bool]()

    def __call__(self, again: bool) -> Answer:
        self.again.append(again)
        if self.raised:
            raise self.raised.pop(0)
        return measured(1.0)


NODE_DIED = of_ray.NodeDiedError("the node died\nsee its log")  # type: ignore[no-untyped-call]
LOST = of_ray.ObjectLostError("1f", None, "")
CRASHED = of_ray.WorkerCrashedError()
TASK = of_ray.RayTaskError("f", "trace", ImportError("no torch"))  # type: ignore[no-untyped-call]


@pytest.mark.parametrize(
    "raised", [(NODE_DIED,), (NODE_DIED, LOST, NODE_DIED), (CRASHED,), (NODE_DIED, CRASHED)]
)
def test_what_is_lost_with_its_node_is_measured_again(raised: tuple[Exception, ...]) -> None:
    asked = Asked(*raised)
    assert answered(asked) == measured(1.0)
    assert asked.again == [False, *[True] * len(raised)]


@pytest.mark.parametrize("raised", [(CRASHED, CRASHED), (of_ray.OutOfMemoryError("full"),)])  # type: ignore[no-untyped-call]
def test_a_process_that_is_killed_again_is_put_down_to_memory(
    raised: tuple[Exception, ...],
) -> None:
    answer = answered(Asked(*raised))
    assert isinstance(answer, Refused)
    assert answer.key == "train.tokens_per_batch"


@pytest.mark.parametrize(
    ("raised", "said"),
    [
        ((NODE_DIED,) * 4, "the node died see its log"),
        ((of_ray.RuntimeEnvSetupError("no disk"),), "no disk"),
        ((TASK,), "no torch"),
    ],
)
def test_what_ray_cannot_have_measured_is_an_error_in_one_line(
    raised: tuple[Exception, ...], said: str
) -> None:
    with pytest.raises(ResourceError, match=rf"^training two batches of each backbone: .*{said}$"):
        answered(Asked(*raised))


@pytest.mark.alone
@pytest.mark.usefixtures("ray_cluster")
def test_a_task_that_is_killed_twice_is_put_down_to_memory() -> None:
    import ray

    def killed() -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    task: Any = ray.remote(max_retries=0)(killed)
    answer = answered(lambda again: ray.get(task.remote()))
    assert isinstance(answer, Refused)
    assert answer.key == "train.tokens_per_batch"


@pytest.mark.alone
@pytest.mark.usefixtures("ray_cluster")
def test_nothing_is_measured_on_a_node_that_does_not_see_the_storage(
    ready: Ready, tmp_path: Path
) -> None:
    from sweeps.search.reach import Mark
    from sweeps.search.share import share

    setting = Setting(CPUS, Room([]), Mark(storage_at(tmp_path), "of the driver", within=0.0))
    probes = Probes(ready, setting, share(ready).prepared, trials=1)
    with pytest.raises(ResourceError, match=r"node \S+ does not see .*; set output\.storage to"):
        probes.wait(Stages(Console(quiet=True)))


CHILD = """\
#!/bin/sh
cat > /dev/null
printf %s "${{CUDA_VISIBLE_DEVICES-all}}" > {seen}
cat {answers}
echo torn >&2
exit 1
"""


def child(folder: Path, monkeypatch: pytest.MonkeyPatch, answers: Mapping[str, Answer]) -> Path:
    """Put a process that gives `answers` and crashes in Python's place; it writes what it sees."""
    (folder / "answers").write_bytes(b"".join(pickle.dumps(each) for each in answers.items()))
    script, seen = folder / "python", folder / "seen"
    script.write_text(CHILD.format(seen=seen, answers=folder / "answers"), encoding="utf-8")
    script.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(script))
    return seen


@pytest.mark.parametrize(("gpus", "visible"), [(0.0, ""), (1.0, "0,3")])
def test_a_child_that_crashes_after_its_last_answer_has_answered(
    ready: Ready, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gpus: float, visible: str
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,3")
    seen = child(tmp_path, monkeypatch, {"./bert": measured(1.0)})
    made = estimate_here(ready, replace(CPUS, gpus=gpus, slots=1))
    assert made.backbones == {"./bert": measured(1.0)}
    assert seen.read_text() == visible


def test_a_child_that_crashes_before_an_answer_is_told_at_the_backbone(
    ready: Ready, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    child(tmp_path, monkeypatch, {})
    with pytest.raises(ConfigError, match=r"s.yaml:4: .* './bert': cannot be trained: torn"):
        estimate_here(ready, replace(CPUS, slots=1))


@pytest.mark.alone
def test_a_backbone_that_only_torch_finds_broken_is_refused_beside_one_that_is_measured(
    ready: Ready,
) -> None:
    assert ready.plan is not None
    made = estimate_here(ready, ready.plan)
    (found,) = made.backbones.values()
    assert found.training_seconds > found.typical_seconds > 0
    assert found.parameters > 10_000
    (sound,) = ready.backbones.values()
    torn = sound.folder.with_name("torn")
    torn.mkdir()
    for file in sound.folder.iterdir():
        data = file.read_bytes()
        (torn / file.name).write_bytes(data.replace(b'"hidden_size": 32', b'"hidden_size": 48'))
    spoilt = replace(ready, backbones={"./bert": replace(sound, folder=torn)})
    with pytest.raises(ConfigError, match=r"s.yaml:4: model.backbone: backbone './bert': "):
        estimate_here(spoilt, ready.plan)
