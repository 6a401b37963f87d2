"""Tells whether it was memory that ran out."""

from __future__ import annotations

import torch


def is_out_of_memory(error: Exception) -> bool:
    """Tell it of what training raises, on a GPU or a CPU."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and "can't allocate memory" in str(error)
