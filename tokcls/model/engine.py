"""A network as what scores batches of windows: torch, on a GPU where there is one."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from tokcls.data.batches import Batching, Padded
from tokcls.errors import BundleError
from tokcls.model.loader import quiet_transformers

TOKENS = 4096
"""padded sub-words that go through the network at once: bounds the memory of any call"""


def load_torch(folder: str | Path, threads: int | None = None) -> Torch:
    """Load the network of a bundle; `threads` are those of this process, unset: as they are.

    Raises BundleError if it cannot be loaded.
    """
    from transformers import AutoModelForTokenClassification

    try:
        with quiet_transformers():
            network = AutoModelForTokenClassification.from_pretrained(folder, use_safetensors=True)
    except (OSError, ValueError, KeyError) as error:
        raise BundleError(f"{folder} cannot be loaded in torch: {error}") from error
    if threads is not None:
        torch.set_num_threads(threads)
    return Torch(network, len(network.config.id2label))


class Torch:
    """Runs a network of so many tags in 32 bit; on GPUs that have it in bf16."""

    def __init__(self, network: nn.Module, tags: int, *, device: str | None = None) -> None:
        """Move the network to `device`, default the first GPU, else the CPU."""
        where = device or ("cuda" if torch.cuda.is_available() else "cpu")
        self._device = torch.device(where)
        self._network = network.to(self._device).train(False)
        self._halves = self._device.type == "cuda" and torch.cuda.is_bf16_supported()
        self.tags = tags
        self.batching = Batching(TOKENS, 0.25 if where == "cpu" else math.inf)

    def run(self, padded: Padded) -> npt.NDArray[np.float32]:
        """Score a batch: float32[B, L, tags], meaningful where the attention mask is 1."""
        ids, mask = (
            torch.from_numpy(array).to(self._device)
            for array in (padded.input_ids, padded.attention_mask)
        )
        kind = self._device.type
        with torch.inference_mode(), torch.autocast(kind, torch.bfloat16, enabled=self._halves):
            logits = self._network(input_ids=ids, attention_mask=mask).logits
        scores: npt.NDArray[np.float32] = logits.float().cpu().numpy()
        return scores
