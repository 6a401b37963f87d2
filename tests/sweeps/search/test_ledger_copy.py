"""The ledger's copy follows the ledger, never holds up the sweep, and is told when it fails."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from sweeps.search.events import State
from sweeps.search.ledger import NAME, Ledger, read_ledger
from sweeps.search.ledger_copy import LedgerCopy
from sweeps.search.storage import Storage, storage_at
from tests.stores import Bucket
from tests.sweeps.search.made_trials import make_trial


def allowed() -> bool:
    return True


def ledger_in(folder: Path) -> Ledger:
    ledger = Ledger(folder)
    ledger.open_sweep(name="s", corpus="aaa", run_id="r", space="first", space_hash="abc")
    return ledger


def within(seconds: float, happened: Callable[[], bool]) -> bool:
    until = time.monotonic() + seconds
    while not happened() and time.monotonic() < until:
        time.sleep(0.01)
    return happened()


def test_each_event_brings_the_copy_up_to_date(tmp_path: Path, bucket: Bucket) -> None:
    ledger, storage = ledger_in(tmp_path), storage_at(bucket.part())
    copy = LedgerCopy(ledger.path, storage, allowed=allowed)
    trial = make_trial("t001", [0.5])
    for listener in (ledger, copy):
        listener.started(trial)
        listener.epoch(trial, trial.epochs[0])
    assert within(10, lambda: storage.read(NAME) == ledger.path.read_bytes())
    trial.state = State.FINISHED
    for listener in (ledger, copy):
        listener.ended(trial)
    copy.close()
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / NAME).write_bytes(storage.read(NAME) or b"")
    (again,) = read_ledger(tmp_path / "there").trials
    assert (again.state, len(again.epochs)) == (State.FINISHED, 1)


class Slow(Storage):
    """A store that takes its time."""

    writes = 0

    def write(self, name: str, fill: Callable[[Path], object]) -> None:
        Slow.writes += 1
        time.sleep(0.2)
        super().write(name, fill)


def test_a_slow_store_holds_nobody_up_and_events_go_together(
    tmp_path: Path, bucket: Bucket
) -> None:
    ledger, storage = ledger_in(tmp_path), Slow(bucket.part())
    copy = LedgerCopy(ledger.path, storage, allowed=allowed)
    began = time.monotonic()
    for number in range(50):
        trial = make_trial(f"t{number:03d}", [0.5])
        ledger.started(trial)
        copy.ended(trial)
    assert time.monotonic() - began < 5
    copy.close()
    assert storage.read(NAME) == ledger.path.read_bytes()
    assert Slow.writes < 25


def test_a_store_that_fails_is_told_once_and_tried_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ledger, top = ledger_in(tmp_path / "run"), tmp_path / "store"
    top.write_text("no folder")
    copy = LedgerCopy(ledger.path, storage_at(top), allowed=allowed)
    trial = make_trial()
    with caplog.at_level(logging.WARNING, "sweeps"):
        for _ in range(3):
            copy.started(trial)
            time.sleep(0.1)
        assert caplog.text.count("cannot be written, the sweep goes on") == 1
        top.unlink()
        copy.started(trial)
        assert within(5, lambda: (top / NAME).is_file())
        copy.close()
    assert (top / NAME).read_bytes() == ledger.path.read_bytes()
    assert "is old" not in caplog.text


def test_a_copy_that_stays_old_is_told_at_the_end(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ledger = ledger_in(tmp_path / "run")
    (tmp_path / "store").write_text("no folder")
    copy = LedgerCopy(ledger.path, storage_at(tmp_path / "store"), allowed=allowed)
    with caplog.at_level(logging.WARNING, "sweeps"):
        copy.close()
    assert f"is old: go on from {ledger.path}, on this machine" in caplog.text


def test_a_driver_that_was_followed_copies_nothing(tmp_path: Path) -> None:
    ledger, storage = ledger_in(tmp_path / "run"), storage_at(tmp_path / "store")
    copy = LedgerCopy(ledger.path, storage, allowed=lambda: False)
    copy.started(make_trial())
    copy.close()
    assert storage.files() == {}
