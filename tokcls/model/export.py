"""Writing a trained model down: as ONNX for serving, and as a folder that `transformers` loads.

Knows nothing of training; what is written here is read by `tokcls.inference`, which needs no torch.
"""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from tokcls.labels.schema import LabelSchema
from tokcls.labels.schemes import SCHEMES
from tokcls.model.loader import quiet_transformers

INPUTS = ("input_ids", "attention_mask")
OUTPUT = "logits"


class _Logits(nn.Module):
    """The model as a function of two arrays to one: what ONNX can express."""

    def __init__(self, model: PreTrainedModel) -> None:
        super().__init__()
        self.model = model
        # Decoders would otherwise return a key-value cache, which is no array.
        self.options = {"use_cache": False} if hasattr(model.config, "use_cache") else {}

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        logits: Tensor = self.model(
            input_ids=input_ids, attention_mask=attention_mask, **self.options
        ).logits
        return logits


def export_onnx(model: PreTrainedModel, path: str | Path, *, example_length: int = 16) -> None:
    """Write `model` as one fp32 ONNX file with its weights inside.

    Inputs are input_ids and attention_mask, int64[batch, length]; the output is logits,
    float32[batch, length, tags]. Both axes are dynamic, up to the positions that the model has.
    `example_length` is the length the graph is traced with; it must not exceed those positions.
    The model is left in its mode and on its device. Method: torch.export, then torch.onnx.
    """
    training, device = model.training, model.device
    # Two rows of more than one sub-word: torch.export takes a size of 1 for a constant.
    ids = torch.zeros((2, example_length), dtype=torch.int64)
    axes = {0: torch.export.Dim.DYNAMIC, 1: torch.export.Dim.DYNAMIC}
    try:
        _move(model, torch.device("cpu")).train(False)
        with _quiet():
            program = torch.onnx.export(
                _Logits(model).train(False),
                (ids, torch.ones_like(ids)),
                dynamo=True,
                input_names=list(INPUTS),
                output_names=[OUTPUT],
                dynamic_shapes={name: axes for name in INPUTS},
                verbose=False,
            )
            assert program is not None
            program.save(str(path), external_data=False)
    finally:
        _move(model, device).train(training)


def quantize(source: Path, target: Path) -> None:
    """Write an ONNX file with the weights of its matrix products in 8 bit.

    What they are multiplied with is scaled for each product as it comes (dynamic quantisation), one
    scale for a whole batch: run rows by themselves for scores that do not depend on others.
    """
    from onnxruntime.quantization import QuantType, quantize_dynamic

    with _quiet():
        quantize_dynamic(
            source,
            target,
            weight_type=QuantType.QInt8,
            per_channel=True,
            op_types_to_quantize=["MatMul", "Gemm"],
        )


def _move(model: nn.Module, device: torch.device) -> nn.Module:
    # PreTrainedModel.to() is a wrapper whose types say nothing.
    return model.to(device)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Hold back what the exporter prints, logs and warns about; its errors are still raised."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with (
            warnings.catch_warnings(),
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)


def save_hf(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    schema: LabelSchema,
    folder: str | Path,
) -> None:
    """Write config, safetensors weights and tokenizer, as `transformers` loads them.

    `transformers.pipeline` groups by B- and I- alone, so `id2label` holds each tag's IOB2 reading.
    Two tags may share one there (BIOES has I-X and E-X); `label2id` then names the first.
    """
    names = SCHEMES[schema.scheme].pipeline_names(schema.tags)
    model.config.id2label = dict(enumerate(names))
    model.config.label2id = {name: names.index(name) for name in names}
    with quiet_transformers():
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
