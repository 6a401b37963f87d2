"""The state to restart from is written beside training: what it holds, and when it is there."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from sweeps.search.saving import Saving
from sweeps.search.trial_folder import STATE, TrialFolder


class HeldUp(TrialFolder):
    """A folder on a disk that waits until it is let go."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.go = threading.Event()

    def save_state(self, save: Callable[[Path], object]) -> None:
        assert self.go.wait(timeout=30)
        super().save_state(save)


@pytest.fixture
def held_up(tmp_path: Path) -> Iterator[HeldUp]:
    folder = HeldUp(tmp_path)
    yield folder
    folder.go.set()


def loaded(folder: TrialFolder) -> Any:
    with folder.state() as path:
        assert path is not None
        return torch.load(path, weights_only=True)


def test_training_goes_on_while_the_state_of_before_is_written(held_up: HeldUp) -> None:
    weights, saving = torch.zeros(3), Saving(held_up)
    saving.save_checkpoint({"epoch": 0, "weights": {"a": weights}}, "anywhere")
    weights += 1.0
    assert STATE not in held_up.storage
    held_up.go.set()
    saving.wait()
    written = loaded(held_up)
    assert written["epoch"] == 0
    assert torch.equal(written["weights"]["a"], torch.zeros(3))


def test_states_are_written_in_their_order(tmp_path: Path) -> None:
    folder = TrialFolder(tmp_path)
    saving = Saving(folder)
    for epoch in range(4):
        saving.save_checkpoint({"epoch": epoch}, "anywhere")
    saving.teardown()
    assert loaded(folder) == {"epoch": 3}


def test_what_went_wrong_is_noted_once(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    saving = Saving(TrialFolder(tmp_path / "file"))  # no folder can be made there
    saving.save_checkpoint({"epoch": 0}, "anywhere")
    saving.wait()
    assert "the state after epoch 1 is not saved" in saving.take_note()
    assert saving.take_note() == ""
    saving.teardown()


def test_a_trial_that_is_over_writes_no_more(held_up: HeldUp) -> None:
    saving = Saving(held_up)
    saving.save_checkpoint({"epoch": 0}, "anywhere")
    threading.Timer(0.1, held_up.go.set).start()
    saving.teardown()
    assert STATE in held_up.storage
