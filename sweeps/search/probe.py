"""Trains two real batches of a backbone, and measures: what a trial of it will take.

`measure` runs in a Ray task with a slot's share, and by itself (`python -m sweeps.search.probe`)
for `--check`, which starts no Ray. The first batch is the most expensive one there is, so that what
does not fit into memory is known before the first trial.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import pickle
import sys
import time
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from numpy.typing import NDArray
from ray._common.utils import get_system_memory

from sweeps.estimate import Measured
from sweeps.search.memory import is_out_of_memory
from sweeps.search.probing import Answer, Order, Refused, Share
from sweeps.search.shipping import here
from tokcls.config import TrialConfig
from tokcls.data.batches import ordered_batches, token_batches
from tokcls.data.prepared import Prepared, PreparedSplit, prepare
from tokcls.errors import CorpusError, TokclsError
from tokcls.labels.plan import label_schema
from tokcls.model.backbones import Backbone
from tokcls.model.loader import load_model, load_tokenizer, tokenizing_of
from tokcls.model.module import EVALUATION_TOKENS, TokenClassifier
from tokcls.model.precision import lightning_precision

REPEATED = 5  # times that the typical batch is trained, unless that takes long
LONG_ENOUGH_S = 2.0
FORWARD = 1 / 3  # of the work of a training step: backward is twice as much
Rows = NDArray[np.int64]


def measure(config: TrialConfig, backbone: Backbone, data: Prepared, share: Share) -> Measured:
    """Train the largest and a typical batch of a configuration, and reckon its epochs from them.

    Raises BackboneError if the backbone cannot be loaded, and whatever training raises.
    """
    torch.set_num_threads(max(1, int(share.cpus)))
    before = _start_of_memory()
    schema = label_schema(config.labels, data.types)
    network = load_model(
        backbone, schema, dropout=config.model.dropout, pad_id=data.tokenizing.pad_id
    )
    module = TokenClassifier(network, config, schema, data)
    train, validation = data.splits["train"], data.splits["validation"]
    batches = token_batches(
        lengths := module.padded_lengths(train),
        tokens_per_batch=config.train.tokens_per_batch,
        seed=config.train.seed,
        epoch=0,
        world=share.workers,
    )
    by_cost = sorted(batches, key=lambda rows: len(rows) * int(lengths[rows].max()) ** 2)
    largest, typical = by_cost[-1], by_cost[len(by_cost) // 2]
    # One row first: what is paid once, such as the optimizer's state, is not the batches' cost.
    _, of_largest, *of_typical = _train(module, [largest[:1], largest, *[typical] * REPEATED])
    area = sum(_area(lengths, rows) for rows in batches)
    seconds_each = median(of_typical) / _area(lengths, typical)
    training = seconds_each * area
    return Measured(
        parameters=sum(weights.numel() for weights in module.parameters()),
        largest_seconds=of_largest,
        typical_seconds=median(of_typical),
        training_seconds=training,
        validation_seconds=seconds_each * FORWARD * _evaluated(module, validation, share.workers),
        words_per_second=sum(train.lengths) / max(training, 1e-9),
        memory=_memory_used() - before,
        capacity=_capacity(),
    )


def _train(module: TokenClassifier, batches: list[Rows]) -> list[float]:
    """Train batch after batch until there is time for no more, and tell how long each took."""
    clock = _Clock()
    trainer = pl.Trainer(
        max_epochs=1,
        accelerator="gpu" if torch.cuda.is_available() else "cpu",
        devices=1,
        precision=lightning_precision(module.config.train.precision),
        callbacks=[clock],
        limit_val_batches=0,
        num_sanity_val_steps=0,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        logger=False,
    )
    trainer.fit(module, train_dataloaders=module.training_batches(lambda: batches))
    return clock.seconds


class _Clock(pl.Callback):
    def __init__(self) -> None:
        self.began = self.ended = time.monotonic()
        self.seconds: list[float] = []

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        now = time.monotonic()
        self.seconds.append(now - self.ended)
        self.ended = now
        trainer.should_stop = len(self.seconds) > 2 and now - self.began > LONG_ENOUGH_S


def _area(lengths: Rows, rows: Rows) -> int:
    """Padded sub-words of a batch."""
    return len(rows) * int(lengths[rows].max())


def _evaluated(module: TokenClassifier, split: PreparedSplit, workers: int) -> float:
    """Padded sub-words that one worker reads in a pass over a split."""
    lengths = module.padded_lengths(split)
    batches = ordered_batches(lengths, tokens_per_batch=EVALUATION_TOKENS)
    return sum(_area(lengths, rows) for rows in batches) / workers


def _start_of_memory() -> int:
    """Begin to watch for the most memory in use; give what is in use now, in bytes."""
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
        return int(torch.cuda.memory_allocated())
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):  # musl has none
        ctypes.CDLL(None).malloc_trim(0)
    with contextlib.suppress(OSError):  # not in every container; then an earlier peak may count
        Path("/proc/self/clear_refs").write_text("5")
    return _process_memory("VmRSS")


def _memory_used() -> int:
    if torch.cuda.is_available():
        return int(torch.cuda.max_memory_allocated())
    return _process_memory("VmHWM")


def _process_memory(name: str) -> int:
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    (kilobytes,) = (line.split()[1] for line in status.splitlines() if line.startswith(name))
    return int(kilobytes) * 1024


def _capacity() -> int:
    if torch.cuda.is_available():
        return int(torch.cuda.get_device_properties(0).total_memory)
    return int(get_system_memory())


def attempt(config: TrialConfig, backbone: Backbone, data: Prepared, share: Share) -> Answer:
    """Measure, or say why that cannot be done: errors of torch are not known everywhere."""
    try:
        return measure(config, here(backbone), data, share)
    except Exception as error:
        return refused(error)


def refused(error: Exception) -> Refused:
    """Say why a backbone cannot be trained, and which key to change."""
    if is_out_of_memory(error):
        return Refused("a batch does not fit into memory", "train.tokens_per_batch")
    if isinstance(error, CorpusError):
        return Refused(str(error), "data.source")
    if isinstance(error, TokclsError):
        return Refused(str(error))
    first = next(iter(str(error).strip().splitlines()), "")
    return Refused(f"cannot be trained: {type(error).__name__}: {first}")


def main() -> None:
    """Answer an order from stdin, one pickle a backbone on stdout, where nobody else may write."""
    with os.fdopen(os.dup(1), "wb") as out:
        os.dup2(2, 1)
        order: Order = pickle.load(sys.stdin.buffer)
        prepared: dict[Path, Prepared] = {}
        for name, (config, backbone) in order.trials.items():
            try:
                if backbone.folder not in prepared:
                    prepared = {backbone.folder: _prepare(order, backbone)}
                answer = attempt(config, backbone, prepared[backbone.folder], order.share)
            except TokclsError as error:
                answer = refused(error)
            pickle.dump((name, answer), out)
            out.flush()


def _prepare(order: Order, backbone: Backbone) -> Prepared:
    tokenizing = tokenizing_of(backbone, load_tokenizer(backbone), order.data.max_length)
    return prepare(order.corpus, tokenizing, stride=order.data.stride, context=order.data.context)


if __name__ == "__main__":
    main()
