"""Which arithmetic a device is good at; with bf16 instructions a CPU is about twice as fast."""

from __future__ import annotations

from typing import Literal

import torch

Lightning = Literal["32-true", "bf16-mixed"]
CPU_INSTRUCTIONS = ("avx512_bf16", "amx_bf16")


def lightning_precision(setting: str) -> Lightning:
    """Translate `train.precision` for Lightning; `auto`: bf16 where this device computes in it."""
    if setting == "fp32" or (setting == "auto" and not _computes_bf16()):
        return "32-true"
    return "bf16-mixed"


def _computes_bf16() -> bool:
    if torch.cuda.is_available():
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    capabilities = torch.cpu.get_capabilities()
    return any(capabilities.get(name) for name in CPU_INSTRUCTIONS)
