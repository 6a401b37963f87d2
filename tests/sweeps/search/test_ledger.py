"""The record of a sweep: what is written is read again; what is broken is said with its line."""

from __future__ import annotations

import errno
import json
import os
import signal
import threading
import time
from pathlib import Path

import pytest

from sweeps.errors import LedgerError
from sweeps.search.events import Retry, State, Trial
from sweeps.search.heartbeat import interrupt
from sweeps.search.ledger import NAME, VERSION, History, Ledger, read_ledger
from sweeps.search.mailbox import Epoch
from tests.sweeps.search.made_trials import make_trial


def record(folder: Path, *trials: Trial, done: bool = False) -> Path:
    """Write what a sweep of these trials writes; returns the file."""
    ledger = Ledger(folder)
    ledger.open_sweep(name="s", space_hash="abc", corpus="def", sweep_id="id-1")
    for trial in trials:
        ledger.started(trial)
        for epoch in trial.epochs:
            ledger.epoch(trial, epoch)
        if trial.over:
            ledger.ended(trial)
    if done:
        ledger.write("done", winner="t001", bundle="there")
    return ledger.path


def told(history: History) -> list[tuple[str, State, str, list[Epoch]]]:
    return [(t.trial_id, t.state, t.reason, t.epochs) for t in history.trials]


def test_a_history_is_what_was_recorded(tmp_path: Path) -> None:
    trials = [
        make_trial("t001", [0.1, 0.3, 0.2], State.FINISHED, values={"train.epochs": 3}),
        make_trial("t002", [0.1], State.STOPPED),
        make_trial("t003", [], State.FAILED, reason="out of memory"),
        make_trial("t004", [0.25]),
    ]
    record(tmp_path, *trials)
    history = read_ledger(tmp_path)
    assert told(history) == [(t.trial_id, t.state, t.reason, t.epochs) for t in trials]
    assert [t.values for t in history.trials] == [t.values for t in trials]
    assert [t.config for t in history.trials] == [t.config for t in trials]
    assert [t.config_hash for t in history.trials] == [t.config_hash for t in trials]
    assert [t.over for t in history.trials] == [True, True, True, False]
    assert all((t.ended_at is not None) == t.over for t in history.trials)
    assert (history.sweep_id, history.header["space_hash"], history.done) == ("id-1", "abc", False)
    assert history.folder == tmp_path


def test_times_are_those_at_which_things_happened(tmp_path: Path) -> None:
    trial = make_trial("t001", [], State.FINISHED)
    trial.epochs.append(Epoch(1, {"val_f1": 0.5}, 1_700_000_000.25))
    trial.ended_at = 1_700_000_060.5
    record(tmp_path, trial)
    (read,) = read_ledger(tmp_path).trials
    assert (read.epochs[0].at, read.ended_at) == (1_700_000_000.25, 1_700_000_060.5)


def test_what_came_after_the_trials_counts_until_another_session(tmp_path: Path) -> None:
    record(tmp_path, make_trial("t001", [0.5], State.FINISHED))
    ledger = Ledger(tmp_path)
    ledger.write("bundled", winner="t001", bundle="there", metrics={"val_f1": 0.5})
    assert (read_ledger(tmp_path).done, read_ledger(tmp_path).tracked) == (False, False)
    at = ledger.write("done", winner="t001", bundle="there")
    history = read_ledger(tmp_path)
    assert (history.done, history.tracked) == (True, False)
    assert history.after["bundled"]["metrics"] == {"val_f1": 0.5}
    assert history.after["done"]["time"] == at
    ledger.write("tracked")
    assert read_ledger(tmp_path).tracked
    ledger.open_session(space="another")
    assert read_ledger(tmp_path).after == {}


def test_what_a_trial_was_retried_for_is_remembered(tmp_path: Path) -> None:
    trial = make_trial("t001", [0.1])
    record(tmp_path, trial)
    ledger = Ledger(tmp_path)
    ledger.retried(trial, Retry("RuntimeError: can't allocate memory", 2))
    ledger.retried(trial, Retry("the slot's process was lost", 2))
    (again,) = read_ledger(tmp_path).trials
    assert [retry.division for retry in again.retries] == [2, 2]
    assert again.retries[0].reason == "RuntimeError: can't allocate memory"
    assert (again.division, again.over, trial.division) == (2, False, 1)


def test_a_sweep_that_is_done_says_so(tmp_path: Path) -> None:
    record(tmp_path, make_trial(), done=True)
    assert read_ledger(tmp_path).done


def test_a_resumed_trial_keeps_its_epochs_and_its_place(tmp_path: Path) -> None:
    record(tmp_path, make_trial("t001", [0.1]), make_trial("t002", [0.2]))
    ledger = Ledger(tmp_path)
    resumed = read_ledger(tmp_path).trials[0]
    ledger.started(resumed)
    ledger.epoch(resumed, Epoch(2, {"val_f1": 0.4}))
    resumed.state = State.FINISHED
    ledger.ended(resumed)
    first, second = read_ledger(tmp_path).trials
    assert (first.trial_id, second.trial_id) == ("t001", "t002")
    assert [epoch.number for epoch in first.epochs] == [1, 2]
    assert first.state is State.FINISHED


def test_every_event_is_in_the_file_when_the_call_returns(tmp_path: Path) -> None:
    ledger, trial = Ledger(tmp_path / "new"), make_trial()
    ledger.open_sweep(name="s", sweep_id="i")
    for number, event in enumerate(("started", "epoch", "ended"), 2):
        {
            "started": lambda: ledger.started(trial),
            "epoch": lambda: ledger.epoch(trial, Epoch(1, {"val_f1": 0.5})),
            "ended": lambda: ledger.ended(trial),
        }[event]()
        text = ledger.path.read_text(encoding="utf-8")
        assert text.endswith("\n")
        lines = text.splitlines()
        assert len(lines) == number
        assert json.loads(lines[-1])["event"] == event


def test_every_line_is_flushed_to_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flushed: list[bytes] = []
    ledger = Ledger(tmp_path)
    monkeypatch.setattr(
        "sweeps.search.ledger.os.fsync", lambda number: flushed.append(ledger.path.read_bytes())
    )
    ledger.open_sweep(name="s", sweep_id="i")
    ledger.started(make_trial())
    assert [text.count(b"\n") for text in flushed] == [1, 2]


def test_a_torn_last_line_is_passed_over(tmp_path: Path) -> None:
    path = record(tmp_path, make_trial("t001", [0.1]))
    with path.open("a") as file:
        file.write('{"event": "epoch", "trial": "t001", "num')
    assert told(read_ledger(tmp_path)) == told_of(make_trial("t001", [0.1]))


def told_of(trial: Trial) -> list[tuple[str, State, str, list[Epoch]]]:
    return [(trial.trial_id, trial.state, trial.reason, trial.epochs)]


def test_what_is_written_after_a_torn_line_starts_on_its_own(tmp_path: Path) -> None:
    path = record(tmp_path, make_trial("t001", [0.1]))
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"event": "epo')
    ledger = Ledger(tmp_path)
    assert path.read_bytes() == whole
    ledger.epoch(make_trial("t001"), Epoch(2, {"val_f1": 0.7}))
    assert [epoch.number for epoch in read_ledger(tmp_path).trials[0].epochs] == [1, 2]


@pytest.mark.parametrize(
    "line",
    [
        "{",
        "",
        "[]",
        '{"trial": "t001"}',
        '{"event": "epoch", "trial": "t009", "number": 1, "metrics": {}}',
        '{"event": "ended", "trial": "t001", "state": "asleep", "reason": ""}',
        '{"event": "waved", "trial": "t001"}',
        '"sweep"',
    ],
)
def test_a_broken_line_in_the_middle_is_named(tmp_path: Path, line: str) -> None:
    path = record(tmp_path, make_trial("t001", [0.1]))
    lines = path.read_text(encoding="utf-8").splitlines()
    path.write_text("\n".join([*lines[:2], line, *lines[2:], ""]), encoding="utf-8")
    with pytest.raises(LedgerError, match=rf"{NAME}:3: not a ledger's line"):
        read_ledger(tmp_path)


def test_bytes_that_are_no_text_are_a_ledger_error(tmp_path: Path) -> None:
    path = record(tmp_path, make_trial("t001", [0.1]))
    path.write_bytes(path.read_bytes() + b"\xff\xfe\n")
    with pytest.raises(LedgerError, match=NAME):
        read_ledger(tmp_path)


def test_a_newer_version_is_refused(tmp_path: Path) -> None:
    newer = VERSION + 1
    (tmp_path / NAME).write_text(f'{{"event": "sweep", "version": {newer}}}\n')
    with pytest.raises(
        LedgerError, match=rf"version {newer}, this program reads up to version {VERSION}"
    ):
        read_ledger(tmp_path)


def test_a_newer_version_is_named_before_its_lines_are_judged(tmp_path: Path) -> None:
    header = f'{{"event": "sweep", "version": {VERSION + 1}}}\n'
    (tmp_path / NAME).write_text(header + '{"event": "paused", "reason": "lunch"}\n')
    with pytest.raises(LedgerError, match=f"version {VERSION + 1}"):
        read_ledger(tmp_path)


def test_a_folder_without_a_ledger_is_no_sweep(tmp_path: Path) -> None:
    with pytest.raises(LedgerError, match=rf"{NAME} does not exist: .* is no sweep's folder"):
        read_ledger(tmp_path)


def test_an_empty_ledger_is_refused(tmp_path: Path) -> None:
    (tmp_path / NAME).write_text("")
    with pytest.raises(LedgerError, match=NAME):
        read_ledger(tmp_path)


def test_one_ctrl_c_ends_the_wait_for_a_full_disk_whoever_handles_it_otherwise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    until = time.monotonic() + 5

    def full(_: int) -> None:
        if time.monotonic() < until:
            raise OSError(errno.ENOSPC, "no space left on device")

    ledger, noted = Ledger(tmp_path), list[int]()
    before = signal.signal(signal.SIGINT, lambda *_: noted.append(1))  # as Tune does
    try:
        monkeypatch.setattr(os, "fsync", full)
        threading.Timer(0.3, interrupt).start()
        began = time.monotonic()
        with pytest.raises(KeyboardInterrupt):
            ledger.write("done")
        assert time.monotonic() - began < 1.5
        interrupt()
        assert noted == [1], "who handled it does so again"
    finally:
        signal.signal(signal.SIGINT, before)
    assert ledger.path.read_bytes() == b""
