"""Which trials are stopped early: Tune's ASHA on epochs, keyed by our own ids to be resumable."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

from ray.tune.schedulers import ASHAScheduler, FIFOScheduler, TrialScheduler

from sweeps.search.events import Trial
from sweeps.search.slot import TRIAL
from sweeps.space.space import SearchSpace


class Asha(ASHAScheduler):
    """Asynchronous successive halving (Li et al. 2020); a resumed trial keeps its rungs."""

    def on_trial_add(self, tune_controller: Any, trial: Any) -> None:
        super().on_trial_add(tune_controller, _ours(trial))

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        return str(super().on_trial_result(tune_controller, _ours(trial), result))

    def on_trial_complete(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> None:
        super().on_trial_complete(tune_controller, _ours(trial), result)

    def on_trial_remove(self, tune_controller: Any, trial: Any) -> None:
        super().on_trial_remove(tune_controller, _ours(trial))

    def replay(self, past: Sequence[Trial], metric: str) -> None:
        """Show the rungs what an earlier run of the sweep saw."""
        controller: Any = None
        for trial in past:
            stand_in: Any = SimpleNamespace(trial_id=trial.trial_id)
            super().on_trial_add(controller, stand_in)
            for epoch in trial.epochs:
                result = {"epoch": epoch.number, metric: epoch.metrics[metric]}
                super().on_trial_result(controller, stand_in, result)


def _ours(trial: Any) -> Any:
    return SimpleNamespace(trial_id=trial.config[TRIAL])


def build_scheduler(space: SearchSpace, past: Sequence[Trial]) -> TrialScheduler:
    """Make the scheduler that the file asks for, knowing what has happened already."""
    search = space.sweep.search
    if search.scheduler == "none":
        return FIFOScheduler()  # type: ignore[no-untyped-call]
    epochs = most_epochs(space)
    scheduler = Asha(
        time_attr="epoch",
        metric=search.metric,
        mode="max",
        max_t=epochs,
        grace_period=min(search.grace, epochs),
        reduction_factor=search.reduction,
    )
    scheduler.replay(past, search.metric)
    return scheduler


def most_epochs(space: SearchSpace) -> int:
    """The largest number of epochs that a trial of the space may have."""
    verb = space.parameters.get("train.epochs")
    if verb:
        return int(max(verb.corners()))
    return space.trial(
        {key: verb.corners()[0] for key, verb in space.parameters.items()}
    ).train.epochs
