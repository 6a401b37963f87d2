"""What every process of a slot runs: trial after trial, without starting anew.

The process group, the imports and the data stay; network, optimizer and Lightning trainer are new
for each trial.
"""

from __future__ import annotations

import gc
import math
import resource
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import pytorch_lightning as pl
import ray
import ray.train
import ray.train.lightning as ray_lightning
import torch

from sweeps.search.mailbox import Assignment, Epoch, Failure, Verdict
from sweeps.search.memory import is_out_of_memory
from sweeps.search.saving import Saving
from sweeps.search.shipping import here
from sweeps.search.trial_folder import STATE, TrialFolder
from tokcls.data.prepared import Prepared
from tokcls.labels.plan import label_schema
from tokcls.model.loader import load_model
from tokcls.model.module import TokenClassifier
from tokcls.model.precision import lightning_precision

MEGABYTE = 2**20


class SlotClosed(Exception):
    """Raised through Lightning when the slot goes while a trial is still to be resumed."""


def work(loop: dict[str, Any]) -> None:
    """Train the assignments of `loop["mailbox"]` until it closes; `loop["cpus"]` is the share.

    Nothing is trained on a node that does not find `loop["mark"]`, unless that is None.
    """
    torch.set_num_threads(max(1, int(loop["cpus"])))
    gc.freeze()  # what the imports left stays: collecting between trials then takes no time
    mailbox, mark = loop["mailbox"], loop["mark"]
    rank = ray.train.get_context().get_world_rank()
    data: dict[ray.ObjectRef[Prepared], Prepared] = {}
    after, last_step_at = 0, None
    while (given := ray.get(mailbox.next_assignment.remote(after, rank))) is not None:
        after, assignment = given
        if assignment.data not in data:
            data = {assignment.data: ray.get(assignment.data)}
        try:
            if mark is not None:
                mark.check()
                mark = None  # found once
            last_step_at = train(
                assignment, data[assignment.data], partial(_Post, mailbox, after), last_step_at
            )
        except SlotClosed:
            return
        except Exception as error:
            if not _lost_another(error):
                failure = Failure(_one_line(error), is_out_of_memory(error))
                ray.get(mailbox.post.remote(after, failure))
            raise  # Ray Train replaces the group: what a failed trial left in memory goes with it
        gc.collect()


class _Post:
    """A worker's line to the mailbox for one trial; rank 0 reports, all ranks hear the verdict."""

    def __init__(self, mailbox: Any, sequence: int, rank: int) -> None:
        self._mailbox, self._sequence, self._rank = mailbox, sequence, rank

    def report(self, number: int, metrics: dict[str, float], note: str) -> None:
        if self._rank == 0:
            ray.get(self._mailbox.post.remote(self._sequence, Epoch(number, metrics, note=note)))

    def verdict(self, number: int) -> Verdict:
        return Verdict(ray.get(self._mailbox.verdict.remote(self._sequence, number)))


def train(
    assignment: Assignment,
    data: Prepared,
    post_for: Callable[[int], _Post],
    last_step_at: float | None,
) -> float | None:
    """Train one trial from its start or its last state; returns when its last step ended."""
    config, rank = assignment.config, ray.train.get_context().get_world_rank()
    folder, post = TrialFolder(assignment.folder), post_for(rank)
    pl.seed_everything(config.train.seed, workers=False, verbose=False)
    schema = label_schema(config.labels, data.types)
    network = load_model(
        here(assignment.backbone),
        schema,
        dropout=config.model.dropout,
        pad_id=data.tokenizing.pad_id,
    )
    module = TokenClassifier(network, config, schema, data)
    saving = Saving(folder)
    callback = EpochEnd(saving, post, assignment.reported, last_step_at)
    with folder.state() as state:
        _trainer(config, callback, saving).fit(module, ckpt_path=state, weights_only=True)
    return callback.last_step_at


def _trainer(config: Any, callback: pl.Callback, saving: Saving) -> pl.Trainer:
    on_gpu = torch.cuda.is_available()
    trainer: pl.Trainer = ray_lightning.prepare_trainer(
        pl.Trainer(
            max_epochs=config.train.epochs,
            accelerator="gpu" if on_gpu else "cpu",
            devices="auto",
            precision=lightning_precision(config.train.precision),
            strategy=ray_lightning.RayDDPStrategy(gradient_as_bucket_view=True),  # type: ignore[no-untyped-call]
            plugins=[ray_lightning.RayLightningEnvironment(), saving],  # type: ignore[no-untyped-call]
            callbacks=[callback],
            accumulate_grad_batches=config.train.accumulate,
            num_sanity_val_steps=0,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            logger=False,
        )
    )
    return trainer


class EpochEnd(pl.Callback):
    """After each epoch: keep the best, report, and keep the state if the trial goes on.

    The state is several times the weights: writing it for a trial that is then stopped would hold
    up the next. A trial that loses its worker before it is written repeats one epoch.
    """

    def __init__(
        self, saving: Saving, post: _Post, reported: int, last_step_at: float | None
    ) -> None:
        self.saving, self.post, self.reported = saving, post, reported
        self.previous_step_at, self.last_step_at = last_step_at, last_step_at
        self.epoch_began = self.last_training_step_at = time.time()

    def on_train_epoch_start(self, trainer: pl.Trainer, module: Any) -> None:
        self.epoch_began = time.time()

    def on_train_batch_end(self, *_: Any) -> None:
        self.last_step_at = self.last_training_step_at = time.time()

    def on_validation_batch_end(self, *_: Any) -> None:
        self.last_step_at = time.time()

    def on_train_epoch_end(self, trainer: pl.Trainer, module: Any) -> None:
        number = trainer.current_epoch + 1
        metrics = self._metrics(number, module)
        if number > self.reported:  # else it was told before a restart
            began = time.time()
            self.saving.wait()  # the driver removes the state of a trial that a report ends
            if trainer.is_global_zero:
                self.saving.keep_best(number, metrics, module)
                self.saving.describe(module)
            metrics |= {"saving_seconds": time.time() - began}
            self.post.report(number, metrics, self.saving.take_note())
        if number == trainer.max_epochs:
            return
        verdict = self.post.verdict(number)
        if verdict is Verdict.CLOSED:
            raise SlotClosed
        trainer.should_stop = verdict is Verdict.STOP
        if verdict is Verdict.CONTINUE:
            trainer.save_checkpoint(STATE)  # every rank takes part in gathering it

    def _metrics(self, number: int, module: TokenClassifier) -> dict[str, float]:
        assert module.evaluation is not None
        scored_at = time.time()
        metrics = module.evaluation.metrics("val") | {"train_loss": module.train_loss()}
        if not all(math.isfinite(value) for value in metrics.values()):
            raise FloatingPointError(
                f"epoch {number}: train_loss {metrics['train_loss']}, "
                f"val_loss {metrics['val_loss']}: not a finite number; try a lower learning rate"
            )
        seconds = self.last_training_step_at - self.epoch_began
        words = sum(module.data.splits["train"].lengths)
        metrics |= {
            "train_tokens": float(number * module.train_tokens),
            "train_seconds": seconds,
            "validation_seconds": scored_at - self.last_training_step_at,
            "words_per_second": words / max(seconds, 1e-9),
            "peak_memory_mb": _peak_memory() / MEGABYTE,
            "parameters": float(sum(weights.numel() for weights in module.parameters())),
        }
        if self.previous_step_at is not None and module.first_step_at is not None:
            metrics["turnaround_seconds"] = module.first_step_at - self.previous_step_at
        return metrics


def _peak_memory() -> float:
    """Bytes at most in use: of the GPU where there is one, else of this process."""
    if torch.cuda.is_available():
        return float(torch.cuda.max_memory_allocated())
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024.0


def _lost_another(error: Exception) -> bool:
    """Tell whether an error says only that another rank is gone: the trial may be sound.

    That rank reports why, if it could; if it was killed, the new group goes on from the last epoch.
    """
    by_gloo = type(error) is RuntimeError and "gloo/transport" in str(error)
    return by_gloo or isinstance(error, torch.distributed.DistError)


def _one_line(error: BaseException) -> str:
    first = next(iter(str(error).strip().splitlines()), "")
    return f"{type(error).__name__}: {first}"
