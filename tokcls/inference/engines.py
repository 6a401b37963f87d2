"""What computes the scores of a bundle's model: ONNX Runtime on the CPU, in fp32."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime

from tokcls.data.batches import Padded
from tokcls.errors import BundleError

MODEL_FILE = "model.onnx"


class Onnx:
    """Runs a bundle's `model.onnx`. Safe to use from many threads."""

    def __init__(self, folder: str | Path, *, threads: int | None = None) -> None:
        """Load the model; `threads` defaults to the CPUs that this process may use.

        Raises:
            BundleError: the file is not a model, or not one with the inputs and output expected.
        """
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads or usable_cpus()
        options.inter_op_num_threads = 1
        options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
        # Spinning threads would take the CPU from whatever else the machine does between requests.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 3
        path = Path(folder) / MODEL_FILE
        try:
            self._session = onnxruntime.InferenceSession(
                str(path), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # ONNX Runtime's errors have no base class of their own
            raise BundleError(f"{path} cannot be loaded: {error}") from error
        self.tags = _check(self._session, path)

    def run(self, padded: Padded) -> npt.NDArray[np.float32]:
        """Score a batch: float32[B, L, tags], meaningful where the attention mask is 1."""
        inputs = {"input_ids": padded.input_ids, "attention_mask": padded.attention_mask}
        logits: npt.NDArray[np.float32] = self._session.run(["logits"], inputs)[0]
        return logits


def usable_cpus() -> int:
    """Count the CPUs this process may use, which a container may have cut down."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


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
