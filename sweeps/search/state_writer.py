"""Writes a trial's restart state while its next epoch trains.

The state is several times the weights, and writing it took longer than all else between two epochs.
So it is copied, and a thread writes the copy. What is there meanwhile is the state before it: a
worker that dies then repeats one epoch, as one that dies before the state was taken does.
"""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any

import torch
from lightning_utilities.core.apply_func import apply_to_collection
from pytorch_lightning.plugins import TorchCheckpointIO

from sweeps.search.trial_folder import TrialFolder


class StateWriter(TorchCheckpointIO):
    """Where Lightning writes the checkpoints of one trial; it calls rank 0 alone."""

    def __init__(self, folder: TrialFolder) -> None:
        super().__init__()
        self._folder = folder
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="state")
        self._writing: Future[None] | None = None

    def save_checkpoint(self, checkpoint: Any, path: Any, storage_options: Any = None) -> None:
        """Take a copy, and write it to the trial's folder, whatever `path` says."""
        self.wait()
        save = partial(torch.save, apply_to_collection(checkpoint, torch.Tensor, _copy))
        self._writing = self._thread.submit(self._folder.save_state, save)

    def wait(self) -> None:
        """Wait until what was taken is on disk; what went wrong there comes out here."""
        writing, self._writing = self._writing, None
        if writing is not None:
            writing.result()

    def teardown(self) -> None:
        """Lightning calls this when the trial is over, however it ended."""
        self._thread.shutdown()
        self.wait()


def _copy(tensor: torch.Tensor) -> torch.Tensor:
    """Off the GPU, where there may be no room for it twice."""
    return tensor.detach().to("cpu", copy=True)
