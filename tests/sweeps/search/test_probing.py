"""What two batches showed is judged before the first trial, at the line of the key to change."""

from __future__ import annotations

import os
import pickle
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sweeps.preflight import Ready, preflight
from sweeps.search.probing import (
    Answer,
    Refused,
    _get,
    _read,
    crowded,
    dearest,
    estimate_here,
    judged,
)
from sweeps.search.resources import SlotPlan
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


@pytest.mark.alone
@pytest.mark.usefixtures("ray_cluster")
def test_a_task_that_is_killed_is_put_down_to_memory() -> None:
    import ray

    def killed() -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    reference: Any = ray.remote(max_retries=0)(killed).remote()
    answer = _get(reference)
    assert isinstance(answer, Refused)
    assert answer.key == "train.tokens_per_batch"


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
