"""A slow or failing writer keeps nobody waiting, and in the end has written all, in order."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence

import pytest

import sweeps.search.background as background_module
from sweeps.errors import RefusedError
from sweeps.search.background import END, SWEEP, InBackground
from sweeps.search.events import Retry, State, Trial
from sweeps.search.mailbox import Epoch
from sweeps.search.shown import End, Figures
from tests.sweeps.search.made_trials import make_trial, metrics_at


class Store:
    """Writes down what it is told; `down` makes every call fail, `go` cleared makes it hang."""

    uri = "http://store"

    def __init__(self) -> None:
        self.told: list[str] = []
        self.calls = 0
        self.seconds = 0.0
        self.go = threading.Event()
        self.go.set()
        self.down: Exception | None = None

    def open(self) -> None:
        self._tell("open")

    def write(self, trial: Trial) -> None:
        self._tell(f"{trial.trial_id} {trial.state} {len(trial.epochs)} {len(trial.retries)}")

    def survey(self, steps: Sequence[Figures], tags: Mapping[str, str]) -> None:
        self._tell(f"figures {[each.step for each in steps]}")

    def close(self, end: End) -> None:
        self._tell("closed" if end.winner is None else f"closed {end.winner.trial_id}")

    def _tell(self, what: str) -> None:
        self.calls += 1
        time.sleep(self.seconds)
        self.go.wait(10)
        if self.down is not None and not what.startswith("closed"):
            raise self.down
        self.told.append(what)


@pytest.fixture
def store() -> Store:
    return Store()


def live(background: InBackground, trial: Trial) -> None:
    """Let a trial begin, come to an epoch, fail once, come to another, and end."""
    background.started(trial)
    for number in (1, 2):
        trial.epochs.append(Epoch(number, metrics_at(0.1 * number)))
        background.epoch(trial, trial.epochs[-1])
        if number == 1:
            trial.retries.append(Retry("out of memory", 2))
            background.retried(trial, trial.retries[-1])
    trial.state, trial.ended_at = State.FINISHED, time.time()
    background.ended(trial)


def until(true: Callable[[], bool]) -> None:
    for _ in range(500):
        if true():
            return
        time.sleep(0.01)
    raise AssertionError("it never came true")


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name.startswith("sweeps")]


def test_a_store_that_hangs_keeps_nobody_waiting_and_is_told_the_newest_state(store: Store) -> None:
    store.go.clear()
    began = time.monotonic()
    background = InBackground(store)
    for name in ("t001", "t002"):
        live(background, make_trial(name))
    assert time.monotonic() - began < 1
    assert store.told == []
    store.go.set()
    assert background.settle(within=5) == []
    assert store.told == ["open", "t001 finished 2 1", "t002 finished 2 1"]


def test_what_a_trial_becomes_later_does_not_change_what_is_being_written(store: Store) -> None:
    background = InBackground(store)
    assert background.settle(within=5) == []
    store.go.clear()
    trial = make_trial("t001", [0.1])
    background.started(trial)
    until(lambda: store.calls == 2)
    trial.state = State.FAILED
    store.go.set()
    assert background.settle(within=5) == []
    assert store.told == ["open", "t001 running 1 0"]


def test_figures_of_the_sweep_are_written_once_the_store_answers(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(background_module, "SHORTEST_WAIT_S", 0.01)
    background = InBackground(store)
    assert background.settle(within=5) == []
    store.down = OSError("refused")
    steps: list[Figures] = []
    for step in (1, 2, 3):
        steps.append(Figures(step, 0.0, {"trials_over": 1.0}))
        background.survey(steps, {})
    until(lambda: store.calls > 3)
    store.down = None
    assert background.settle(within=5) == []
    assert store.told == ["open", "figures [1, 2, 3]"]


def test_trials_of_an_earlier_session_are_written_first(store: Store) -> None:
    background = InBackground(store, [make_trial("t001", [0.5], State.FINISHED)])
    assert background.finish(End(0.0), within=5) == []
    assert store.told == ["open", "t001 finished 1 0", "closed"]


def test_an_outage_is_said_once_and_its_end_once_and_nothing_is_lost(
    store: Store, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(background_module, "SHORTEST_WAIT_S", 0.01)
    background = InBackground(store)
    assert background.settle(within=5) == []
    with caplog.at_level(logging.WARNING, logger="sweeps"):
        store.down = OSError("connection refused\nand more")
        live(background, make_trial("t001"))
        until(lambda: store.calls >= 4)
        (first,) = said(caplog)
        assert "http://store cannot be written (connection refused); the sweep goes on" in first
        store.down = None
        trial = make_trial("t002", [0.5], State.FINISHED)
        assert background.finish(End(0.0, trial), within=5) == []
    assert store.told == ["open", "t001 finished 2 1", "closed t002"]
    (_, again) = said(caplog)
    assert "http://store answers again" in again


def test_attempts_come_less_and_less_often_while_nobody_waits(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(background_module, "SHORTEST_WAIT_S", 0.02)
    monkeypatch.setattr(background_module, "LONGEST_WAIT_S", 0.16)
    store.down = OSError("no")
    background = InBackground(store)
    time.sleep(0.6)
    assert 3 <= store.calls <= 7  # at 0, 20, 60, 140, 300, 460, 620 ms
    background.finish(End(0.0), within=0)


def test_what_is_missing_is_named_after_a_bounded_time(store: Store) -> None:
    store.down = OSError("no")
    background = InBackground(store)
    live(background, make_trial("t001"))
    began = time.monotonic()
    assert background.settle(within=0.2, patient=True) == [SWEEP, "t001"]
    assert background.finish(End(0.0), within=0.2) == [SWEEP, "t001", END]
    assert time.monotonic() - began < 2


def test_a_store_that_hangs_does_not_keep_the_end_waiting(store: Store) -> None:
    store.go.clear()
    background = InBackground(store)
    began = time.monotonic()
    assert background.finish(End(0.0), within=0.3) == [SWEEP, END]
    assert time.monotonic() - began < 1
    store.go.set()
    time.sleep(0.1)
    assert store.told == ["open"]  # nothing is begun any more once it was given up


def test_nothing_is_begun_any_more_once_it_was_stopped(store: Store) -> None:
    background = InBackground(store)
    assert background.settle(within=5) == []
    background.stop()
    background.started(make_trial("t001"))
    time.sleep(0.1)
    assert store.told == ["open"]


def test_keys_in_a_uri_are_not_shown(
    store: Store, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.uri = "http://ada:secret@store"
    store.down = OSError("API request to http://ada:secret@store/api/2.0 failed")
    background = InBackground(store)
    with caplog.at_level(logging.WARNING, logger="sweeps"):
        until(lambda: bool(said(caplog)))
    background.stop()
    assert "http://store cannot be written (API request to http://store/api" in said(caplog)[0]


def test_a_slow_store_that_moves_is_waited_for(store: Store) -> None:
    store.seconds = 0.1
    background = InBackground(store, [make_trial(f"t{number:03}") for number in range(8)])
    assert background.settle(within=0.4) != []
    assert background.finish(End(0.0), within=0.4, patient=True) == []


def test_a_trial_that_is_refused_is_said_and_stops_no_other(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    background = InBackground(store)
    assert background.settle(within=5) == []
    with caplog.at_level(logging.WARNING, logger="sweeps"):
        store.down = RefusedError("no such run")
        trial = make_trial("t001")
        background.started(trial)
        assert background.settle(within=5) == []
        store.down = None
        live(background, trial)
        live(background, make_trial("t002"))
        assert background.finish(End(0.0), within=5) == []
    assert [line for line in store.told if line.startswith("t001")] == []
    assert store.told[-2:] == ["t002 finished 2 1", "closed"]
    (line,) = said(caplog)
    assert "does not take t001 (no such run)" in line
