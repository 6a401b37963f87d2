"""A slow listener keeps nobody waiting, hears all in order, and its error is not lost."""

from __future__ import annotations

import threading

import pytest

from sweeps.search.aside import Aside
from sweeps.search.events import Retry, State, Trial
from sweeps.search.mailbox import Epoch
from tests.sweeps.search.made_trials import make_trial, metrics_at


class Slow:
    """Writes down what it hears once it is let go; `error` is raised at an end."""

    def __init__(self, error: Exception | None = None) -> None:
        self.go, self.heard, self.error = threading.Event(), list[str](), error

    def _hear(self, what: str) -> None:
        assert self.go.wait(10)
        self.heard.append(what)

    def started(self, trial: Trial) -> None:
        self._hear(f"{trial.trial_id} started")

    def epoch(self, trial: Trial, epoch: Epoch) -> None:
        self._hear(f"{trial.trial_id} epoch {epoch.number}")

    def retried(self, trial: Trial, retry: Retry) -> None:
        self._hear(f"{trial.trial_id} retried")

    def ended(self, trial: Trial) -> None:
        self._hear(f"{trial.trial_id} ended")
        if self.error is not None:
            raise self.error


def live(aside: Aside) -> None:
    trial = make_trial("t001")
    aside.started(trial)
    aside.epoch(trial, Epoch(1, metrics_at(0.5)))
    aside.retried(trial, Retry("why", 1))
    trial.state = State.FINISHED
    aside.ended(trial)


def test_it_hears_all_in_order_when_it_comes_to_it() -> None:
    slow = Slow()
    aside = Aside(slow)
    live(aside)
    assert slow.heard == []
    slow.go.set()
    aside.flush()
    assert slow.heard == ["t001 started", "t001 epoch 1", "t001 retried", "t001 ended"]


def test_its_error_comes_out_when_it_is_waited_for() -> None:
    slow = Slow(ValueError("broken"))
    slow.go.set()
    aside = Aside(slow)
    live(aside)
    with pytest.raises(ValueError, match="broken"):
        aside.flush()
