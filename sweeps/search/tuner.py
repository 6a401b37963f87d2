"""Runs the trials: Tune schedules slots, and each thing that happens is told to the listeners."""

from __future__ import annotations

import logging
import os
import signal
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from ray import tune

from sweeps.search.events import Listener, Retry, State, Trial
from sweeps.search.mailbox import Epoch
from sweeps.search.newcomers import Newcomers
from sweeps.search.orphans import Orphans
from sweeps.search.room import HEAD, Following, cluster_room
from sweeps.search.scheduler import build_scheduler
from sweeps.search.searcher import SpaceSearcher, state_of
from sweeps.search.slot import DIVISION, METRICS, NOTE, TRIAL, VALUES, Materials, Slot
from sweeps.space.space import SearchSpace

ENVIRONMENT = {
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",  # a failed trial has no metric
    "TUNE_GLOBAL_CHECKPOINT_S": "3600",  # the ledger is what a sweep resumes from
    "TUNE_MAX_LEN_IDENTIFIER": "40",
    "RAY_AIR_NEW_OUTPUT": "0",
}

logger = logging.getLogger(__name__)


class Telling(tune.Callback):
    """Turns Tune's callbacks into events, brings each trial up to date, and tells the listeners."""

    def __init__(
        self, space: SearchSpace, listeners: Sequence[Listener], past: Iterable[Trial] = ()
    ) -> None:
        self.trials = {trial.trial_id: trial for trial in past}
        self._space, self._listeners = space, listeners

    def __getstate__(self) -> dict[str, Any]:
        return {}  # Tune pickles its callbacks to restore from; a sweep is restored from the ledger

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **_: Any) -> None:
        self._start(trial)

    def _start(self, trial: Any) -> Trial:
        trial_id, values = trial.config[TRIAL], trial.config[VALUES]
        ours = self.trials.get(trial_id)
        if ours is None:
            config = self._space.trial(values)
            ours = self.trials[trial_id] = Trial(
                trial_id=trial_id,
                values=values,
                config=config.model_dump(mode="json"),
                config_hash=config.config_hash,
            )
        for listener in self._listeners:
            listener.started(ours)
        return ours

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **_: Any
    ) -> None:
        ours = self.trials[trial.config[TRIAL]]
        if "retried" in result:
            self._retried(ours, Retry(result["retried"], result[DIVISION]))
        number = result.get("epoch")
        if number is None or (ours.last and number <= ours.last.number):
            return
        epoch = Epoch(number, result[METRICS], note=result.get(NOTE, ""))
        ours.epochs.append(epoch)
        if epoch.note:
            logger.warning("%s epoch %d: %s", ours.trial_id, number, epoch.note)
        for listener in self._listeners:
            listener.epoch(ours, epoch)

    def _retried(self, trial: Trial, retry: Retry) -> None:
        trial.retries.append(retry)
        for listener in self._listeners:
            listener.retried(trial, retry)

    def on_trial_recover(self, iteration: int, trials: list[Any], trial: Any, **_: Any) -> None:
        ours = self.trials.get(trial.config[TRIAL]) or self._start(trial)
        self._retried(ours, Retry("the slot's process was lost", ours.division))

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **_: Any) -> None:
        ours = self.trials[trial.config[TRIAL]]
        epochs = self._space.trial(ours.values).train.epochs
        self._end(ours, *state_of(trial.last_result, epochs))

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **_: Any) -> None:
        error = trial.get_error()
        reason = str(error).strip().splitlines()[-1] if error else "the slot died"
        # A slot that cannot even be made fails a trial that was never started.
        ours = self.trials.get(trial.config[TRIAL]) or self._start(trial)
        self._end(ours, State.FAILED, reason)

    def _end(self, trial: Trial, state: State, reason: str) -> None:
        trial.state, trial.reason, trial.ended_at = state, reason, time.time()
        for listener in self._listeners:
            listener.ended(trial)


def search(
    materials: Materials,
    listeners: Sequence[Listener],
    past: Sequence[Trial] = (),
    *,
    taken: int = 0,
    say: Callable[[str], None] = lambda text: None,
) -> list[Trial]:
    """Run every trial that is still to be run, and return all of them, `past` included.

    `taken` trials have numbers already, which a sweep whose file was changed may not all recall.
    `say` hears of slots that come, go or wait.
    Returns early, with trials left RUNNING, when it is interrupted; raises ResourceError, with
    trials left RUNNING, if a node joins that does not see the storage.
    """
    space = materials.space
    os.environ.update(ENVIRONMENT)
    telling = Telling(space, listeners, past)
    searcher = SpaceSearcher(space, at_once=materials.plan.slots, past=past, taken=taken)
    callbacks = [telling, *_watching(materials, searcher, say)]
    tuner = _tuner(materials, searcher, past, callbacks)
    heard = signal.getsignal(signal.SIGINT)
    try:
        tuner.fit()
    finally:
        # Tune leaves a handler behind that swallows the first Ctrl-C after it.
        signal.signal(signal.SIGINT, heard)
    return list(telling.trials.values())


def _watching(
    materials: Materials, searcher: SpaceSearcher, say: Callable[[str], None]
) -> list[tune.Callback]:
    """What looks at the cluster meanwhile: its room, and its new nodes where storage may differ."""
    resources = materials.space.sweep.resources
    following = Following(searcher, resources, materials.plan, cluster_room(), say)
    newcomers = [Newcomers(materials.mark)] if materials.mark is not None else []
    return [Orphans(), following, *newcomers]


def _tuner(
    materials: Materials,
    searcher: SpaceSearcher,
    past: Sequence[Trial],
    callbacks: list[tune.Callback],
) -> tune.Tuner:
    space = materials.space
    return tune.Tuner(
        tune.with_resources(
            tune.with_parameters(Slot, materials=materials),
            # Slots only steer: they sit on the head and take no CPU.
            tune.PlacementGroupFactory([{HEAD: 0.001}]),
        ),
        tune_config=tune.TuneConfig(
            search_alg=searcher,
            scheduler=build_scheduler(space, past),
            num_samples=space.trials + len(past),
            reuse_actors=True,
            trial_name_creator=_name,
            trial_dirname_creator=_name,
        ),
        run_config=tune.RunConfig(
            name="tune",
            storage_path=str(materials.folder / "ray"),
            callbacks=callbacks,
            failure_config=tune.FailureConfig(max_failures=space.sweep.search.retries),
            verbose=0,
        ),
    )


def _name(trial: Any) -> str:
    return str(trial.config[TRIAL])
