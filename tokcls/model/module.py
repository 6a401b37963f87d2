"""The Lightning module: one network, one label schema, scored as spans against the untouched gold.

Knows nothing of files, sweeps or servers; what becomes of an epoch's result is for callbacks.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import PreTrainedModel

from tokcls.config import TrialConfig
from tokcls.data.batches import ordered_batches, pad, token_batches, training_labels
from tokcls.data.prepared import Prepared, PreparedSplit
from tokcls.data.word_scores import WordScores
from tokcls.labels.plan import type_plan
from tokcls.labels.schema import LabelSchema
from tokcls.labels.spans import Span
from tokcls.model.evaluation import Evaluation, Share, decode_share, evaluate

IGNORED = -100
EVALUATION_TOKENS = 8192
Batch = dict[str, Tensor]


class Batches:
    """Padded batches of one split on one rank, made anew at every pass."""

    def __init__(self, size: int, make: Callable[[], Iterator[Batch]]) -> None:
        self.size = size
        self.make = make

    def __len__(self) -> int:
        return self.size

    def __iter__(self) -> Iterator[Batch]:
        return self.make()


class TokenClassifier(pl.LightningModule):
    """Trains `network` on the train split of `data`, and scores `evaluated` after every epoch.

    `evaluation` holds the last pass over the evaluated split, the same on every rank.
    """

    def __init__(
        self,
        network: PreTrainedModel,
        config: TrialConfig,
        schema: LabelSchema,
        data: Prepared,
        *,
        evaluated: str = "validation",
    ) -> None:
        super().__init__()
        self.network = network
        self.config = config
        self.schema = schema
        self.plan = type_plan(config.labels, data.types)
        self.data = data
        self.evaluated = evaluated
        self.evaluation: Evaluation | None = None
        self.first_step_at: float | None = None
        self._losses: list[Tensor] = []

    def train_dataloader(self) -> Batches:
        split = self.data.splits["train"]
        return self.training_batches(lambda: self._training_rows(split, self.current_epoch))

    def training_batches(self, choose: Callable[[], list[NDArray[np.int64]]]) -> Batches:
        """Make batches of the train split; `choose` gives each one's windows at every pass."""
        split = self.data.splits["train"]
        tags = np.concatenate(
            [
                self.schema.encode_ids(self._learned(split, sentence), int(parts))
                for sentence, parts in enumerate(np.diff(split.offsets))
            ]
        )

        def make() -> Iterator[Batch]:
            for rows in choose():
                labels = training_labels(
                    split.encoded, split.windows, rows, tags, self.schema, self.data.tokenizing
                )
                yield self._padded(split, rows) | {"labels": torch.from_numpy(labels)}

        return Batches(len(choose()), make)

    def _learned(self, split: PreparedSplit, sentence: int) -> tuple[Span, ...]:
        return self.plan.learned.apply(split.gold_parts(sentence))

    @property
    def train_tokens(self) -> int:
        """Sub-words that one pass over the train split reads, special ids included, no padding."""
        return int(self.padded_lengths(self.data.splits["train"]).sum())

    def _training_rows(self, split: PreparedSplit, epoch: int) -> list[NDArray[np.int64]]:
        return token_batches(
            self.padded_lengths(split),
            tokens_per_batch=self.config.train.tokens_per_batch,
            seed=self.config.train.seed,
            epoch=epoch,
            rank=self.trainer.global_rank,
            world=self.trainer.world_size,
        )

    def val_dataloader(self) -> Batches:
        split = self.data.splits[self.evaluated]
        mine = split.windows_of(self.trainer.global_rank, self.trainer.world_size)
        lengths = self.padded_lengths(split)[mine]
        batches = [
            mine[rows] for rows in ordered_batches(lengths, tokens_per_batch=EVALUATION_TOKENS)
        ]

        def make() -> Iterator[Batch]:
            for rows in batches:
                yield self._padded(split, rows) | {"rows": torch.from_numpy(rows)}

        return Batches(len(batches), make)

    def padded_lengths(self, split: PreparedSplit) -> NDArray[np.int64]:
        """Sub-words of each window of a split, special ids included."""
        special = len(self.data.tokenizing.prefix) + len(self.data.tokenizing.suffix)
        return split.windows.lengths() + special

    def _padded(self, split: PreparedSplit, rows: NDArray[np.int64]) -> Batch:
        padded = pad(split.encoded, split.windows, rows, self.data.tokenizing)
        return {
            "input_ids": torch.from_numpy(padded.input_ids),
            "attention_mask": torch.from_numpy(padded.attention_mask),
        }

    def forward(self, batch: Batch) -> Tensor:
        """Score sub-words: float[batch, length, tags]."""
        logits: Tensor = self.network(
            input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]
        ).logits
        return logits

    def training_step(self, batch: Batch, _: int) -> Tensor:
        if self.first_step_at is None:
            self.first_step_at = time.time()
        logits = self(batch)
        loss = torch.nn.functional.cross_entropy(
            logits.flatten(0, 1).float(), batch["labels"].flatten(), ignore_index=IGNORED
        )
        self._losses.append(loss.detach())
        return loss

    def train_loss(self) -> float:
        """Mean loss of the steps since the last call, on this rank; NaN before the first step."""
        losses, self._losses = self._losses, []
        return float(torch.stack(losses).mean()) if losses else float("nan")

    def configure_gradient_clipping(self, *_: Any, **__: Any) -> None:
        """Clip here: Lightning refuses to clip for a fused optimizer, as if it were scaling."""
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.config.train.clip)

    def configure_optimizers(self) -> Any:
        train = self.config.train
        optimizer = torch.optim.AdamW(
            _decay_groups(self.network, train.weight_decay), lr=train.learning_rate, fused=True
        )
        steps = max(1, int(self.trainer.estimated_stepping_batches))
        warmup = round(train.warmup * steps)

        def factor(step: int) -> float:
            if step < warmup:
                return (step + 1) / (warmup + 1)
            return max(0.0, (steps - step) / max(1, steps - warmup))

        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": schedule, "interval": "step"},
        }

    def on_validation_epoch_start(self) -> None:
        split = self.data.splits[self.evaluated]
        self._scores = WordScores(split.encoded, split.windows, self.schema.unread)

    def validation_step(self, batch: Batch, _: int) -> None:
        logits = self(batch).float().cpu().numpy()
        offset = len(self.data.tokenizing.prefix)
        self._scores.add(batch["rows"].cpu().numpy(), logits, offset=offset)

    def on_validation_epoch_end(self) -> None:
        split = self.data.splits[self.evaluated]
        mine = split.sentences_of(self.trainer.global_rank, self.trainer.world_size)
        scores = self._scores.by_sentence(split.offsets, mine)
        decoding = self.config.model.decoding
        share = decode_share(split, mine, scores, self.schema, self.plan, decoding=decoding)
        self.evaluation = evaluate(split, self._all_shares(share), self.schema, self.plan)

    def _all_shares(self, share: Share) -> list[Share]:
        """Collect every rank's share: F1 is a function of joint counts, not a mean over ranks."""
        if self.trainer.world_size == 1:
            return [share]
        shares: list[Any] = [None] * self.trainer.world_size
        torch.distributed.all_gather_object(shares, share)
        return shares


def _decay_groups(network: torch.nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Split the parameters: matrices decay, biases and normalisation weights do not."""
    parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
    return [
        {"params": [p for p in parameters if p.ndim >= 2], "weight_decay": weight_decay},
        {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
    ]
