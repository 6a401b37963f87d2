"""What a trial keeps while it trains: its best epoch, and the state to restart from.

The state is several times the weights, and writing it took longer than all else between two
epochs. So it is copied, and a thread writes the copy while the next epoch trains. What is there
meanwhile is the state before it: a worker that dies then repeats one epoch more.

A storage that is full, or does not answer, costs a trial what it could not save, and not its life:
it goes on, and its next report says so.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import torch
from lightning_utilities.core.apply_func import apply_to_collection
from pytorch_lightning.plugins import TorchCheckpointIO
from safetensors import SafetensorError
from safetensors.torch import save_file

from sweeps.search.trial_folder import TrialFolder
from tokcls.model.module import TokenClassifier
from tokcls.trained import Description, manifest_of


class Saving(TorchCheckpointIO):
    """Where Lightning writes its checkpoints: rank 0 calls it, in the middle of a collective.

    So it must not raise: the other ranks would wait.
    """

    def __init__(self, folder: TrialFolder) -> None:
        super().__init__()
        self._folder = folder
        self._notes: list[str] = []
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="state")
        self._writing: Future[None] | None = None

    def keep_best(self, number: int, metrics: dict[str, float], module: TokenClassifier) -> None:
        """Keep an epoch if it is better than the one that is kept."""
        evaluation = module.evaluation
        assert evaluation is not None
        with self._noted(f"the weights of epoch {number} are not saved"):
            best = self._folder.best()
            if best is None or metrics["val_f1"] > best.metrics["val_f1"]:
                save_weights = partial(_save_weights, module.network)
                self._folder.save_best(number, metrics, evaluation, save_weights)

    def describe(self, module: TokenClassifier) -> None:
        """Keep how the weights predict, beside them, if it is not there."""
        with self._noted("how the weights predict is not saved"):
            self._folder.describe(partial(_describe, module))

    def save_checkpoint(self, checkpoint: Any, path: Any, storage_options: Any = None) -> None:
        """Take a copy of the state, and write it to the trial's folder, whatever `path` says."""
        self.wait()
        copied = apply_to_collection(checkpoint, torch.Tensor, _copy)
        self._writing = self._thread.submit(self._save_state, copied)

    def _save_state(self, checkpoint: Any) -> None:
        with self._noted(f"the state after epoch {checkpoint['epoch'] + 1} is not saved"):
            self._folder.save_state(partial(_save_state, checkpoint))

    def wait(self) -> None:
        """Wait until what was taken is saved, or noted."""
        writing, self._writing = self._writing, None
        if writing is not None:
            writing.result()

    def teardown(self) -> None:
        """Lightning calls this when the trial is over, however it ended."""
        self._thread.shutdown()
        self.wait()

    @contextmanager
    def _noted(self, what: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self._notes.append(f"{what}: {error}")

    def take_note(self) -> str:
        """Give what was noted since the last time; empty: all was saved."""
        note = "; ".join(self._notes)
        self._notes.clear()
        return note


def _describe(module: TokenClassifier) -> Description:
    config, rule = module.config, module.data.tokenizing
    receipt = {"config": config.model_dump(mode="json"), "config_hash": config.config_hash}
    return Description(
        manifest_of(config, module.schema, rule, receipt=receipt, metrics={}),
        network=json.loads(module.network.config.to_json_string(use_diff=False)),
        tokenizer=json.loads(rule.tokenizer.to_str()),
    )


def _save_weights(network: torch.nn.Module, path: Path) -> None:
    tensors = {
        name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()
    }
    try:
        save_file(tensors, path)
    except SafetensorError as error:  # what it makes of a full disk
        raise OSError(str(error)) from error


def _save_state(checkpoint: Any, path: Path) -> None:
    try:
        torch.save(checkpoint, path)
    except RuntimeError as error:  # what it makes of a full disk
        raise OSError(str(error).splitlines()[0]) from error


def _copy(tensor: torch.Tensor) -> torch.Tensor:
    """Off the GPU, where there may be no room for it twice."""
    return tensor.detach().to("cpu", copy=True)
