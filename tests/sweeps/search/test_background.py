"""A slow listener hears everything, in order, and keeps nobody waiting."""

from __future__ import annotations

import threading
import time

import pytest

from sweeps.search.background import InBackground
from sweeps.search.events import Retry, Trial
from sweeps.search.mailbox import Epoch
from tests.sweeps.search.made_trials import make_trial


class Slow:
    def __init__(self, error: Exception | None = None) -> None:
        self.heard: list[str] = []
        self.go = threading.Event()
        self.error = error

    def started(self, trial: Trial) -> None:
        self.go.wait(10)
        self.heard.append(f"started {trial.trial_id}")

    def epoch(self, trial: Trial, epoch: Epoch) -> None:
        self.heard.append(f"epoch {epoch.number}")

    def retried(self, trial: Trial, retry: Retry) -> None:
        self.heard.append(f"retried {retry.division}")

    def ended(self, trial: Trial) -> None:
        self.heard.append(f"ended {trial.trial_id}")
        if self.error:
            raise self.error


def tell(background: InBackground) -> None:
    trial = make_trial("t001", scores=[0.1, 0.2])
    background.started(trial)
    for epoch in trial.epochs:
        background.epoch(trial, epoch)
    background.retried(trial, Retry("out of memory", 2))
    background.ended(trial)


def test_a_slow_listener_keeps_nobody_waiting_and_hears_all_in_order() -> None:
    slow = Slow()
    background = InBackground(slow)
    began = time.monotonic()
    tell(background)
    assert time.monotonic() - began < 1
    assert slow.heard == []
    slow.go.set()
    background.flush()
    assert slow.heard == ["started t001", "epoch 1", "epoch 2", "retried 2", "ended t001"]


def test_an_error_of_the_listener_comes_out_when_it_is_waited_for() -> None:
    slow = Slow(RuntimeError("a bug"))
    slow.go.set()
    background = InBackground(slow)
    tell(background)
    with pytest.raises(RuntimeError, match="a bug"):
        background.flush()
