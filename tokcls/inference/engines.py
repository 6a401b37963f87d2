"""What computes the scores of a bundle's model: ONNX Runtime on the CPU, or torch."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import onnxruntime

from tokcls.data.batches import Batching, Padded
from tokcls.errors import BundleError
from tokcls.inference.settings import usable_cpus

FP32, TORCH = "fp32", "torch"
FILES = {FP32: "model.onnx", "int8": "model.int8.onnx"}
SLOWER = ["SkipLayerNormFusion"]
"""what ONNX Runtime fuses into an operation that takes eight times as long as its parts, on CPUs"""
CACHED, PADDING = 256, 0.1
"""sub-words whose activations stay in a CPU's cache; more of them take longer, each"""


class Engine(Protocol):
    """What computes scores: float32[B, L, tags] of a padded batch."""

    @property
    def tags(self) -> int: ...

    @property
    def batching(self) -> Batching: ...

    def run(self, padded: Padded) -> npt.NDArray[np.float32]: ...


class Until:
    """An engine that begins no batch after a time of the monotonic clock."""

    def __init__(self, engine: Engine, end: float) -> None:
        self._engine, self._end = engine, end
        self.tags, self.batching = engine.tags, engine.batching

    def run(self, padded: Padded) -> npt.NDArray[np.float32]:
        """Score a batch.

        Raises:
            TimeoutError: the time is over.
        """
        if time.monotonic() > self._end:
            raise TimeoutError("the time for these texts is over")
        return self._engine.run(padded)


def open_engine(folder: str | Path, name: str, *, threads: int | None = None) -> Engine:
    """Load a bundle's engine: `fp32` or `int8` in ONNX Runtime, or `torch`.

    `threads` of ONNX Runtime default to the CPUs that this process may use.

    Raises:
        BundleError: the bundle has no such engine, or its file is not what it should be.
    """
    if name == TORCH:
        from tokcls.model.engine import load_torch

        return load_torch(folder, threads)
    if name not in FILES:
        raise BundleError(f"there is no engine {name!r}; there are {', '.join([*FILES, TORCH])}")
    path = Path(folder) / FILES[name]
    if not path.is_file():
        raise BundleError(
            f"{folder} has no {path.name}: it was not asked for, or not admitted, when the bundle "
            "was made, as its receipt says; serve it with the engine fp32"
        )
    at_once = threads or usable_cpus()
    if name == FP32:
        return Onnx(path, Batching(CACHED, PADDING, at_once), threads=at_once)
    # An engine of 8 bit scales what it multiplies by all that it runs on: alone, a row's scores do
    # not depend on what was asked beside it.
    return ByRow(path, Batching(CACHED, math.inf, at_once, spread=True), threads=1)


def has_engine(folder: str | Path, name: str) -> bool:
    """Whether a bundle has an engine; torch needs only the weights, which every bundle has."""
    return name == TORCH or (Path(folder) / FILES[name]).is_file()


class Onnx:
    """Runs an ONNX file on the CPU. Safe to use from many threads."""

    def __init__(self, path: Path, batching: Batching, *, threads: int) -> None:
        """Load the model, each batch to be run with so many threads.

        Raises:
            BundleError: the file is not a model, or not one with the inputs and output expected.
        """
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
        # Spinning threads would take the CPU from whatever else the machine does between requests.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 3
        try:
            self._session = onnxruntime.InferenceSession(
                str(path),
                options,
                providers=["CPUExecutionProvider"],
                disabled_optimizers=SLOWER,
            )
        except Exception as error:  # ONNX Runtime's errors have no base class of their own
            raise BundleError(f"{path} cannot be loaded: {error}") from error
        self.tags, self.batching = _check(self._session, path), batching

    def run(self, padded: Padded) -> npt.NDArray[np.float32]:
        """Score a batch: float32[B, L, tags], meaningful where the attention mask is 1."""
        inputs = {"input_ids": padded.input_ids, "attention_mask": padded.attention_mask}
        logits: npt.NDArray[np.float32] = self._session.run(["logits"], inputs)[0]
        return logits


class ByRow(Onnx):
    """Runs an ONNX file on each row of a batch by itself, without its padding."""

    def run(self, padded: Padded) -> npt.NDArray[np.float32]:
        """Score a batch, as `Onnx` does; zeros where the attention mask is 0."""
        logits = np.zeros((*padded.input_ids.shape, self.tags), np.float32)
        lengths = padded.attention_mask.sum(axis=1).tolist()
        for row, length in enumerate(lengths):
            part = slice(row, row + 1), slice(length)
            alone = Padded(padded.input_ids[part], padded.attention_mask[part])
            logits[row, :length] = super().run(alone)[0]
        return logits


def _check(session: Any, path: Path) -> int:
    """Count the tags of the output, and refuse a graph that is not ours."""
    inputs = sorted(node.name for node in session.get_inputs())
    shapes = {node.name: node.shape for node in session.get_outputs()}
    tags = shapes.get("logits", [None])[-1]
    if inputs != ["attention_mask", "input_ids"] or not isinstance(tags, int):
        raise BundleError(
            f"{path}: a model needs the inputs input_ids and attention_mask and the output logits "
            f"with a fixed number of tags, got {inputs} and {shapes}; write the bundle again"
        )
    return tags
