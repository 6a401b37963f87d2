"""Successive halving: as Ray's on epochs; by work, inside a backbone first, then all together."""

from __future__ import annotations

import random
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ray.tune.schedulers import ASHAScheduler, TrialScheduler
from ray.tune.utils import flatten_dict

from sweeps.errors import SweepError
from sweeps.search.events import State, Trial
from sweeps.search.mailbox import Epoch
from sweeps.search.rungs import Point, Rungs
from sweeps.search.scheduler import Asha, build_scheduler
from sweeps.search.slot import METRICS, TRIAL, VALUES
from tests.sweeps.search.made_trials import make_space, make_trial

CONTROLLER: Any = None
SMALL, LARGE = "small", "large"


@st.composite
def plays(draw: st.DrawFn) -> tuple[int, int, int, list[list[float]], int]:
    epochs = draw(st.integers(2, 30))
    trials = draw(st.integers(1, 25))
    seed = draw(st.integers(0, 10**6))
    chance = random.Random(seed)
    # Few different values, so that many a score stands exactly at the cutoff.
    curves = [[round(chance.random(), 1) for _ in range(epochs)] for _ in range(trials)]
    grace = draw(st.integers(1, epochs))
    return epochs, grace, draw(st.integers(2, 4)), curves, seed


@settings(max_examples=150, deadline=None)
@given(plays())
def test_on_epochs_every_decision_is_ray_s(
    play: tuple[int, int, int, list[list[float]], int],
) -> None:
    epochs, grace, reduction, curves, seed = play
    theirs = ASHAScheduler(
        time_attr="epoch", metric="f1", mode="max",
        max_t=epochs, grace_period=grace, reduction_factor=reduction,
    )  # fmt: skip
    ours = Rungs(grace=grace, reduction=reduction, first=float(grace))
    live: dict[str, int] = {}
    waiting = [str(number) for number in range(len(curves))]
    chance = random.Random(seed)
    while live or waiting:
        if waiting and (not live or chance.random() < 0.3):
            name = waiting.pop()
            live[name] = 0
            theirs.on_trial_add(CONTROLLER, SimpleNamespace(trial_id=name))  # type: ignore[arg-type]
            ours.add(name, bracket="", epochs=epochs)
        name = chance.choice(list(live))
        live[name] += 1
        score, trial = curves[int(name)][live[name] - 1], SimpleNamespace(trial_id=name)
        result = {"epoch": live[name], "f1": score}
        expected = theirs.on_trial_result(CONTROLLER, trial, result)  # type: ignore[arg-type]
        goes_on = ours.report(name, Point(live[name], float(live[name]), score))
        assert goes_on == (expected == TrialScheduler.CONTINUE)
        if not goes_on:
            theirs.on_trial_complete(CONTROLLER, trial, result)  # type: ignore[arg-type]
            del live[name]


def run(rungs: Rungs, name: str, bracket: str, cost: float, scores: list[float]) -> int:
    """Let a trial run to its end or its stop; returns at which epoch that was."""
    rungs.add(name, bracket=bracket, epochs=len(scores))
    for epoch, score in enumerate(scores, 1):
        if not rungs.report(name, Point(epoch, cost * epoch, score)):
            return epoch
    return len(scores)


def test_the_first_rung_is_the_cheapest_trial_s_grace() -> None:
    rungs = Rungs(grace=2, reduction=3)
    run(rungs, "a", LARGE, 10.0, [0.5] * 4)
    assert rungs.first() == 20.0
    run(rungs, "b", SMALL, 1.5, [0.5] * 4)
    assert rungs.first() == 3.0


def test_a_small_backbone_is_not_stopped_by_a_large_one_that_has_done_far_more() -> None:
    rungs = Rungs(grace=1, reduction=3)
    for number in range(4):
        assert run(rungs, f"large-{number}", LARGE, 12.0, [0.8 + number / 100] * 3) == 3
    assert run(rungs, "small-1", SMALL, 1.0, [0.3, 0.5, 0.6]) == 3
    assert run(rungs, "small-2", SMALL, 1.0, [0.2, 0.5, 0.6]) == 1  # behind its own kind


def test_a_large_backbone_is_stopped_inside_its_bracket_after_its_first_epoch() -> None:
    rungs = Rungs(grace=1, reduction=3)
    assert run(rungs, "small", SMALL, 1.0, [0.9] * 9) == 9
    assert run(rungs, "large-1", LARGE, 12.0, [0.5] * 9) > 1
    assert run(rungs, "large-2", LARGE, 12.0, [0.4] * 9) == 1


def test_winners_of_the_brackets_meet_at_the_last_rung() -> None:
    """Nine epochs of the large one are 9, 27 and 81 units: rungs at epoch 1, 3, and the end."""
    alone = Rungs(grace=1, reduction=3)
    run(alone, "small", SMALL, 1.0, [0.5] * 9)  # sets the unit
    assert run(alone, "large", LARGE, 9.0, [0.6] * 9) == 9
    met = Rungs(grace=1, reduction=3)
    run(met, "small", SMALL, 1.0, [0.7] * 9)
    assert run(met, "large", LARGE, 9.0, [0.6] * 9) == 3


def test_a_stopped_trial_of_another_bracket_counts_only_at_rungs_it_came_to() -> None:
    rungs = Rungs(grace=1, reduction=3)
    run(rungs, "small-1", SMALL, 1.0, [0.5] * 9)
    rungs.add("small-2", bracket=SMALL, epochs=9)
    assert rungs.report("small-2", Point(1, 1.0, 0.95))  # then it is killed, unfinished
    assert run(rungs, "large", LARGE, 9.0, [0.6] * 9) == 9


def test_a_trial_whose_epochs_leap_over_a_rung_is_not_compared_there() -> None:
    """A huge backbone has its first score at 100 units: more than the rung at 27 and the next."""
    rungs = Rungs(grace=1, reduction=3)
    run(rungs, "small", SMALL, 1.0, [0.5] * 9)
    rungs.add("huge", bracket="huge", epochs=9)
    assert rungs.report("huge", Point(1, 100.0, 0.95))
    assert run(rungs, "large", LARGE, 9.0, [0.6] * 9) == 9


def test_epochs_of_slightly_different_length_are_compared_at_equal_work() -> None:
    """A rung at 9: one epoch of 9.1, and between the first and second of 8.9 each."""
    rungs = Rungs(grace=1, reduction=3)
    run(rungs, "unit", SMALL, 1.0, [0.1] * 2)
    run(rungs, "a", LARGE, 9.1, [0.50, 0.90, 0.9, 0.9])
    rungs.add("b", bracket=LARGE, epochs=4)
    assert rungs.report("b", Point(1, 8.9, 0.49)) is False  # at rung 3, where a was 0.5
    rungs.add("c", bracket=LARGE, epochs=4)
    assert rungs.report("c", Point(1, 8.9, 0.505))
    assert rungs.report("c", Point(2, 17.8, 0.60))  # 0.506 at 9, a was 0.5 there, not 0.9


def test_one_bracket_with_equal_epochs_decides_as_on_epochs() -> None:
    chance = random.Random(5)
    by_epoch, by_work = Rungs(grace=1, reduction=2, first=1.0), Rungs(grace=1, reduction=2)
    for number in range(60):
        scores = sorted(chance.random() for _ in range(8))
        ended = run(by_epoch, str(number), "", 1.0, scores)
        assert ended == run(by_work, str(number), SMALL, 7.3, scores)


def test_an_epoch_that_took_no_time_does_not_hang() -> None:
    assert run(Rungs(grace=1, reduction=2), "a", SMALL, 0.0, [0.5, 0.5]) == 2


def result(epoch: int, f1: float, **metrics: float) -> dict[str, Any]:
    told = {"epoch": epoch, "val_f1": f1, METRICS: {"val_f1": f1, **metrics}}
    flat: dict[str, Any] = flatten_dict(told)  # as Tune shows it to its scheduler
    return flat


@pytest.mark.parametrize(
    ("time", "epochs", "work"),
    [
        ("tokens", [{"train_tokens": 100.0}, {"train_tokens": 200.0}], 200.0),
        ("seconds", [{"train_seconds": 3.0}, {"train_seconds": 2.0}], 5.0),
        ("epochs", [{}, {}], 2.0),
    ],
)
def test_work_is_counted_as_the_file_says(
    tmp_path: Path, time: str, epochs: list[dict[str, float]], work: float
) -> None:
    space = make_space(
        tmp_path, f"search.time={time}", "model.backbone={choice: [minilm-l6, minilm-l3]}"
    )
    asha = Asha(space)
    trial = SimpleNamespace(config={TRIAL: "t001", VALUES: {"model.backbone": "minilm-l3"}})
    asha.on_trial_add(CONTROLLER, trial)
    for number, metrics in enumerate(epochs, 1):
        asha.on_trial_result(CONTROLLER, trial, result(number, 0.5, **metrics))
    curve = asha.rungs.curves["t001"]
    assert curve.work == work
    assert curve.bracket == ("" if time == "epochs" else "minilm-l3")


def test_work_that_is_not_reported_is_an_error_that_names_the_key(tmp_path: Path) -> None:
    asha = Asha(make_space(tmp_path, "search.time=tokens"))
    trial = SimpleNamespace(config={TRIAL: "t001", VALUES: {}})
    asha.on_trial_add(CONTROLLER, trial)
    with pytest.raises(SweepError, match=r"t001: epoch 1 reports no train_tokens, .*time = tokens"):
        asha.on_trial_result(CONTROLLER, trial, result(1, 0.5))


@pytest.mark.parametrize("time", ["tokens", "seconds"])
def test_curves_of_an_earlier_session_are_replayed(tmp_path: Path, time: str) -> None:
    space = make_space(
        tmp_path, f"search.time={time}", "train.epochs=9",
        "model.backbone={choice: [minilm-l6, minilm-l3]}",
    )  # fmt: skip
    chance = random.Random(1)
    live, past = Asha(space), []
    for number in range(20):
        trial = made(number, chance)
        on_tune = SimpleNamespace(config={TRIAL: trial.trial_id, VALUES: trial.values})
        live.on_trial_add(CONTROLLER, on_tune)
        for epoch in trial.epochs:
            decision = live.on_trial_result(CONTROLLER, on_tune, told(epoch))
            if decision == TrialScheduler.STOP:
                del trial.epochs[epoch.number :]
                break
        past.append(trial)
    again = build_scheduler(space, past)
    assert isinstance(again, Asha)
    assert again.rungs.curves == live.rungs.curves
    assert {len(trial.epochs) for trial in past} > {1}


def made(number: int, chance: random.Random) -> Trial:
    """A trial of one of two backbones, one of them five times as slow."""
    backbone = chance.choice(["minilm-l6", "minilm-l3"])
    cost = 5.0 if backbone == "minilm-l6" else 1.0
    values = {"model.backbone": backbone, "train.learning_rate": 1e-4}
    trial = make_trial(f"t{number:03d}", [], State.STOPPED, values=values)
    scores = sorted(chance.random() for _ in range(9))
    for epoch, score in enumerate(scores, 1):
        work = {"train_seconds": cost, "train_tokens": cost * epoch}
        trial.epochs.append(Epoch(epoch, {"val_f1": score, **work}))
    return trial


def told(epoch: Epoch) -> dict[str, Any]:
    return result(epoch.number, epoch.metrics["val_f1"], **epoch.metrics)
