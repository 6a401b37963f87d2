"""Early stopping, driven as Tune drives it: what is stopped, and the same again after a resume."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ray.tune.schedulers import FIFOScheduler, TrialScheduler

from sweeps.search.events import State, Trial
from sweeps.search.scheduler import Asha, build_scheduler
from sweeps.search.slot import TRIAL
from sweeps.space.space import SearchSpace
from tests.sweeps.search.made_trials import make_space, make_trial

CURVES = {
    "t001": [0.50, 0.60, 0.65, 0.70],
    "t002": [0.55, 0.65, 0.70, 0.75],
    "t003": [0.10, 0.12, 0.13, 0.14],
    "t004": [0.60, 0.61, 0.62, 0.63],
    "t005": [0.58, 0.20, 0.20, 0.20],
    "t006": [0.70, 0.72, 0.73, 0.74],
}
Seen = list[tuple[str, int, str]]


@pytest.fixture
def space(tmp_path: Path) -> SearchSpace:
    return make_space(tmp_path, "train.epochs=4", "search.reduction=2")


class TuneSide:
    """Runs trials under a scheduler as Tune does; next is the trial with fewest epochs so far."""

    def __init__(self, scheduler: TrialScheduler, past: Sequence[Trial] = ()) -> None:
        self.scheduler = scheduler
        self.reported = {trial.trial_id: len(trial.epochs) for trial in past}
        self.over = {trial.trial_id for trial in past if trial.over}
        self.seen: Seen = []

    def steps(self) -> Iterator[None]:
        # Tune's own ids are drawn anew in every session.
        live = [name for name in CURVES if name not in self.over]
        trials = {n: SimpleNamespace(trial_id=f"x{id(self)}-{n}", config={TRIAL: n}) for n in live}
        for trial in trials.values():
            self.scheduler.on_trial_add(None, trial)  # type: ignore[arg-type]
        while live:
            name = min(live, key=lambda name: (self.reported.get(name, 0), name))
            if self._step(trials[name], name):
                live.remove(name)
            yield

    def _step(self, trial: Any, name: str) -> bool:
        epoch = self.reported[name] = self.reported.get(name, 0) + 1
        result = {"epoch": epoch, "val_f1": CURVES[name][epoch - 1]}
        final = epoch == len(CURVES[name])
        controller: Any = None
        decision = (
            TrialScheduler.STOP
            if final
            else self.scheduler.on_trial_result(controller, trial, result)
        )
        self.seen.append((name, epoch, decision))
        if decision == TrialScheduler.STOP:
            self.scheduler.on_trial_complete(controller, trial, result)
            self.over.add(name)
        return decision == TrialScheduler.STOP

    def trials(self) -> list[Trial]:
        """What the ledger holds now."""
        return [
            make_trial(
                name,
                CURVES[name][:count],
                State.RUNNING if name not in self.over else State.STOPPED,
            )
            for name, count in self.reported.items()
        ]


def stopped_at(seen: Seen) -> dict[str, int]:
    return {name: epoch for name, epoch, decision in seen if decision == TrialScheduler.STOP}


def test_a_bad_trial_is_stopped_early_and_the_best_one_is_not(space: SearchSpace) -> None:
    tune = TuneSide(build_scheduler(space, ()))
    list(tune.steps())
    ended = stopped_at(tune.seen)
    assert ended["t003"] == 1
    assert ended["t005"] == 2
    assert ended["t006"] == 4
    assert set(ended) == set(CURVES)


def test_no_trial_is_stopped_before_its_grace_is_over(tmp_path: Path) -> None:
    space = make_space(tmp_path, "train.epochs=4", "search.reduction=2", "search.grace=2")
    tune = TuneSide(build_scheduler(space, ()))
    list(tune.steps())
    ended = stopped_at(tune.seen)
    assert min(ended.values()) == ended["t003"] == 2


@pytest.mark.parametrize("interrupted_after", [1, 4, 6, 7, 9, 11])
def test_a_resumed_sweep_decides_as_an_undisturbed_one(
    space: SearchSpace, interrupted_after: int
) -> None:
    undisturbed = TuneSide(build_scheduler(space, ()))
    list(undisturbed.steps())

    first = TuneSide(build_scheduler(space, ()))
    for _ in islice(first.steps(), interrupted_after):
        pass
    past = first.trials()
    second = TuneSide(build_scheduler(space, past), past)
    list(second.steps())

    assert len(first.seen) == interrupted_after
    assert first.seen + second.seen == undisturbed.seen


def test_a_trial_that_is_over_is_not_needed_to_go_on(space: SearchSpace) -> None:
    past = [
        make_trial("t001", [0.9, 0.9], State.STOPPED),
        make_trial("t002", [], State.FAILED),
        make_trial("t003", [0.8], State.FAILED),
    ]
    scheduler = build_scheduler(space, past)
    new: Any = SimpleNamespace(trial_id="x", config={TRIAL: "t004"})
    controller: Any = None
    scheduler.on_trial_add(controller, new)
    result = {"epoch": 1, "val_f1": 0.1}
    assert scheduler.on_trial_result(controller, new, result) == TrialScheduler.STOP


def test_a_failed_trial_does_not_stop_the_scheduler(space: SearchSpace) -> None:
    scheduler = build_scheduler(space, ())
    trial: Any = SimpleNamespace(trial_id="x", config={TRIAL: "t001"})
    controller: Any = None
    scheduler.on_trial_add(controller, trial)
    failed = {"failed": "out of memory", "done": True}
    assert scheduler.on_trial_result(controller, trial, failed) == TrialScheduler.CONTINUE
    scheduler.on_trial_complete(controller, trial, failed)
    scheduler.on_trial_add(controller, trial)


def test_scheduler_none_lets_all_trials_finish(tmp_path: Path) -> None:
    space = make_space(tmp_path, "search.scheduler=none", "train.epochs=4")
    scheduler = build_scheduler(space, [make_trial("t001", [0.5], State.STOPPED)])
    assert type(scheduler) is FIFOScheduler
    tune = TuneSide(scheduler)
    list(tune.steps())
    assert set(stopped_at(tune.seen).values()) == {4}


def test_a_grace_that_is_longer_than_the_trials_is_cut_to_them(tmp_path: Path) -> None:
    space = make_space(tmp_path, "train.epochs=2", "search.grace=5")
    assert isinstance(build_scheduler(space, ()), Asha)
