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


def test_of_what_waits_the_newest_of_a_kind_stands_for_the_others() -> None:
    slow = Slow()
    aside = Aside(slow)
    for number in range(1, 4):
        trial = make_trial(f"t{number:03d}")
        aside.started(trial)
        for epoch in (1, 2):
            aside.epoch(trial, Epoch(epoch, metrics_at(0.5)))
        aside.ended(trial)
    slow.go.set()
    aside.flush()
    assert slow.heard == [
        "t001 started", "t002 started", "t003 started", "t003 epoch 2", "t003 ended",
    ]  # fmt: skip


def test_its_thread_ends_with_it() -> None:
    slow = Slow()
    slow.go.set()
    before = threading.active_count()
    aside = Aside(slow)
    live(aside)
    aside.flush()
    assert threading.active_count() == before


def test_its_error_comes_out_when_it_is_waited_for() -> None:
    slow = Slow(ValueError("broken"))
    slow.go.set()
    aside = Aside(slow)
    live(aside)
    with pytest.raises(ValueError, match="broken"):
        aside.flush()
