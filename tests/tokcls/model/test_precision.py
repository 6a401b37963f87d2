"""Which arithmetic is chosen on which device."""

from __future__ import annotations

import pytest
import torch

from tokcls.model.precision import lightning_precision


def device(
    monkeypatch: pytest.MonkeyPatch, *, gpu: bool = False, gpu_bf16: bool = False, **cpu: bool
) -> None:
    """Stand in for a machine: its GPU, and what its CPU can do."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: gpu_bf16)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_f": True, **cpu})


@pytest.mark.parametrize(("setting", "expected"), [("fp32", "32-true"), ("bf16", "bf16-mixed")])
def test_what_is_asked_for_is_taken_on_every_device(
    monkeypatch: pytest.MonkeyPatch, setting: str, expected: str
) -> None:
    for bf16 in (True, False):
        device(monkeypatch, gpu=True, gpu_bf16=bf16)
        assert lightning_precision(setting) == expected
        device(monkeypatch, avx512_bf16=bf16)
        assert lightning_precision(setting) == expected


@pytest.mark.parametrize(("bf16", "expected"), [(True, "bf16-mixed"), (False, "32-true")])
def test_auto_asks_the_gpu_where_there_is_one(
    monkeypatch: pytest.MonkeyPatch, bf16: bool, expected: str
) -> None:
    device(monkeypatch, gpu=True, gpu_bf16=bf16, amx_bf16=not bf16)
    assert lightning_precision("auto") == expected


@pytest.mark.parametrize(
    ("capabilities", "expected"),
    [
        ({}, "32-true"),
        ({"avx512_bf16": False, "amx_bf16": False}, "32-true"),
        ({"avx512_bf16": True}, "bf16-mixed"),
        ({"amx_bf16": True}, "bf16-mixed"),
    ],
)
def test_auto_asks_the_processor_where_there_is_no_gpu(
    monkeypatch: pytest.MonkeyPatch, capabilities: dict[str, bool], expected: str
) -> None:
    device(monkeypatch, **capabilities)
    assert lightning_precision("auto") == expected


def test_this_machine_has_an_arithmetic() -> None:
    assert lightning_precision("auto") in ("32-true", "bf16-mixed")
