"""What is tried next: a study and its draws behind Tune's searcher interface.

Interrupted trials come first, under their old names; what is over already is told to the study, so
that a resumed sweep knows its past. The limit on trials at once lives here too, since Tune's own is
fixed when it starts.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from ray.tune.search import Searcher

from sweeps.search.drawing import Drawing
from sweeps.search.events import State, Trial
from sweeps.search.slot import DIVISION, RESUMED_AT, TRIAL, VALUES
from sweeps.search.study import Draw, Study
from sweeps.space.space import SearchSpace


class SpaceSearcher(Searcher):
    """Draws the trials of `space`; `past` are those of its trials that were started before.

    `taken` is how many trials the ledger holds, with those that the space does not hold any more:
    new trials are numbered on from there. `at_once` may be changed at any time; where it falls, no
    trial is started until enough have ended.
    """

    def __init__(
        self, space: SearchSpace, *, at_once: int, past: Sequence[Trial] = (), taken: int = 0
    ) -> None:
        search = space.sweep.search
        super().__init__(metric=search.metric, mode="max")
        self.at_once = at_once
        self._left = space.trials - len(past)
        self._number = max(taken, len(past))
        self._waiting = [trial for trial in past if not trial.over]
        self._live: dict[str, Draw] = {}
        self._seen: dict[str, list[float]] = {}
        self._study = Study(
            space.parameters,
            algorithm=search.algorithm,
            seed=space.seed + len(past),
            trials=space.trials,
        )
        for trial in past:
            if trial.over:
                failed = trial.state is State.FAILED
                self._study.recall(trial.values, None if failed else _best(self._scores(trial)))
        self._drawing = Drawing(space, self._study, past)

    def suggest(self, trial_id: str) -> Any:
        """Give the next trial; None: not now; FINISHED: no more."""
        if len(self._live) >= self.at_once:
            return None
        if self._waiting:
            return self._resume(trial_id, self._waiting.pop(0))
        draw = self._drawing.next() if self._left > 0 else None
        if draw is None:
            return Searcher.FINISHED
        self._left -= 1
        self._number += 1
        self._live[trial_id], self._seen[trial_id] = draw, []
        return self._trial(f"t{self._number:03d}", draw.values, 0)

    def _resume(self, trial_id: str, waiting: Trial) -> dict[str, Any]:
        self._live[trial_id] = self._study.ask(waiting.values)
        self._seen[trial_id] = self._scores(waiting)
        reported = waiting.last.number if waiting.last else 0
        resumed = self._trial(waiting.trial_id, dict(waiting.values), reported)
        return resumed | {DIVISION: waiting.division}

    @staticmethod
    def _trial(trial_id: str, values: dict[str, Any], reported: int) -> dict[str, Any]:
        return {TRIAL: trial_id, VALUES: values, RESUMED_AT: reported, DIVISION: 1}

    def _scores(self, trial: Trial) -> list[float]:
        return [epoch.metrics[self.metric] for epoch in trial.epochs]

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        if trial_id in self._seen and self.metric in result:
            self._seen[trial_id].append(result[self.metric])

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Tell the study the best value that the trial came to, early stop or not.

        A trial that failed, or came to no number, is told as failed: TPE passes it over.
        """
        draw = self._live.pop(trial_id, None)
        if draw is None:
            return
        last = result or {}
        self._seen[trial_id].append(last.get(self.metric, math.nan))  # shown by Tune here only
        best = _best(self._seen.pop(trial_id))
        self._study.tell(draw, None if error or "failed" in last else best)

    def save(self, checkpoint_path: str) -> None:
        """Nothing to save: the ledger is what a sweep resumes from."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing to restore; see `save`."""


def _best(scores: Sequence[float]) -> float | None:
    """The highest score that is a number."""
    return max((score for score in scores if math.isfinite(score)), default=None)


def state_of(result: Mapping[str, Any], epochs: int) -> tuple[State, str]:
    """Read from a trial's last result how it ended."""
    if "failed" in result:
        return State.FAILED, str(result["failed"])
    return (State.FINISHED if result.get("epoch") == epochs else State.STOPPED), ""
