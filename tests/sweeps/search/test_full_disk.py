"""A disk that is full: the ledger waits for room, a trial goes on without what it cannot save."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch

from sweeps.search import ledger as ledger_module
from sweeps.search.events import State
from sweeps.search.ledger import Ledger, read_ledger
from sweeps.search.saving import Saving
from sweeps.search.trial_folder import STATE, WEIGHTS, TrialFolder
from tests.stores import tiny_disk
from tests.sweeps.search.made_trials import make_trial
from tests.sweeps.search.test_trial_folder import GOLD, PREDICTED, evaluation_of

KB = 1024


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with tiny_disk(tmp_path / "disk", "256k") as mounted:
        yield mounted


def fill(disk: Path) -> Path:
    """Leave no room on a disk but in the last page of its files."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file, suppress(OSError):
        while file.write(b"x" * KB):
            pass
    return filler


def test_the_ledger_waits_for_room_and_loses_nothing(
    disk: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(ledger_module, "AGAIN_S", 0.05)
    ledger = Ledger(disk / "run")
    ledger.open_sweep(name="s", corpus="aaa", run_id="r", space="x" * 3000, space_hash="abc")
    filler = fill(disk)
    trial = make_trial("t001", [0.1 * number for number in range(1, 9)], State.FINISHED)

    def write() -> None:
        ledger.started(trial)
        for epoch in trial.epochs:
            ledger.epoch(trial, epoch)
        ledger.ended(trial)

    writer = threading.Thread(target=write)
    with caplog.at_level(logging.WARNING, "sweeps"):
        writer.start()
        time.sleep(0.5)
        assert writer.is_alive()
        assert ledger.path.read_bytes().endswith(b"\n"), "no half line is left"
        filler.unlink()
        writer.join(timeout=10)
    assert not writer.is_alive()
    assert caplog.text.count("cannot be written, the sweep waits") == 1
    (again,) = read_ledger(disk / "run").trials
    assert (again.state, again.epochs) == (State.FINISHED, trial.epochs)


def test_a_ledger_that_will_never_be_written_is_no_reason_to_wait(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "run")
    (tmp_path / "run").rmdir()
    with pytest.raises(FileNotFoundError):
        ledger.open_sweep(name="s")


def trained(size: int) -> Any:
    """What a trial has to save: `size` weights, and what they found."""
    network = torch.nn.Linear(size, 1, bias=False)
    return SimpleNamespace(network=network, evaluation=evaluation_of(GOLD, PREDICTED, [4, 2, 3]))


def test_what_does_not_fit_is_noted_and_what_was_saved_before_stays(disk: Path) -> None:
    folder = TrialFolder(disk / "t001")
    saving = Saving(folder)
    saving.keep_best(1, {"val_f1": 0.5}, trained(10))
    saving.save_checkpoint({"epoch": 0}, STATE)
    saving.wait()
    assert saving.take_note() == ""
    before = folder.storage.files()
    large = trained(200 * KB)
    saving.keep_best(2, {"val_f1": 0.9}, large)
    saving.save_checkpoint({"epoch": 1, "weights": large.network.weight}, STATE)
    saving.wait()
    weights, state = saving.take_note().split("; ")
    assert weights.startswith("the weights of epoch 2 are not saved: ")
    assert state.startswith("the state after epoch 2 is not saved: ")
    assert saving.take_note() == ""
    assert folder.storage.files() == before
    best = folder.best()
    assert best is not None
    assert best.number == 1


def test_the_next_epoch_that_fits_is_kept_though_a_better_one_did_not(disk: Path) -> None:
    folder = TrialFolder(disk / "t001")
    saving = Saving(folder)
    saving.keep_best(1, {"val_f1": 0.9}, trained(200 * KB))
    assert folder.storage.files() == {}
    saving.keep_best(2, {"val_f1": 0.8}, trained(10))
    best = folder.best()
    assert best is not None
    assert best.number == 2
    assert WEIGHTS in folder.storage


def test_a_worse_epoch_does_not_take_the_place_of_the_best(tmp_path: Path) -> None:
    saving = Saving(TrialFolder(tmp_path))
    for number, f1 in ((1, 0.5), (2, 0.4)):
        saving.keep_best(number, {"val_f1": f1}, cast(Any, trained(10)))
    best = TrialFolder(tmp_path).best()
    assert best is not None
    assert best.number == 1
