"""The state to restart from is written beside training: what it holds, and when it is there."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from sweeps.search.state_writer import StateWriter
from sweeps.search.trial_folder import TrialFolder


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


def test_training_goes_on_while_the_state_of_before_is_written(held_up: HeldUp) -> None:
    weights, writer = torch.zeros(3), StateWriter(held_up)
    writer.save_checkpoint({"epoch": 0, "weights": {"a": weights}}, "anywhere")
    weights += 1.0
    assert not held_up.state.exists()
    held_up.go.set()
    writer.wait()
    written = torch.load(held_up.state, weights_only=True)
    assert written["epoch"] == 0
    assert torch.equal(written["weights"]["a"], torch.zeros(3))


def test_states_are_written_in_their_order(tmp_path: Path) -> None:
    folder = TrialFolder(tmp_path)
    writer = StateWriter(folder)
    for epoch in range(4):
        writer.save_checkpoint({"epoch": epoch}, "anywhere")
    writer.teardown()
    assert torch.load(folder.state, weights_only=True) == {"epoch": 3}


def test_what_went_wrong_is_told_to_who_waits(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    writer = StateWriter(TrialFolder(tmp_path / "file"))  # no folder can be made there
    writer.save_checkpoint({"epoch": 0}, "anywhere")
    with pytest.raises(OSError, match="file"):
        writer.wait()
    writer.wait()  # told once
    writer.teardown()


def test_a_trial_that_is_over_writes_no_more(held_up: HeldUp) -> None:
    writer = StateWriter(held_up)
    writer.save_checkpoint({"epoch": 0}, "anywhere")
    threading.Timer(0.1, held_up.go.set).start()
    writer.teardown()
    assert held_up.state.is_file()
