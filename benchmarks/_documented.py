"""The pattern of Ray's documentation: a Tune function that starts a TorchTrainer for each trial.

It is what `turnaround` is measured beside, on the same assignments: same backbones, corpus in the
store, network, Lightning module and settings. It reports an epoch's figures and writes no
checkpoint, which is in its favour: slots write the best weights and a state to restart from.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ray import tune

from benchmarks._timeline import Timeline, Trained
from sweeps.search.mailbox import Assignment
from sweeps.search.resources import SlotPlan

NUMBER = "number"


class Watching(tune.Callback):
    """Notes when each trial trained, by the figures that it reports, and when it was over."""

    def __init__(self) -> None:
        self.epochs: list[Trained] = []
        self.scores: list[float] = []
        self.over = 0.0

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: Mapping[str, Any], **_: Any
    ) -> None:
        if "began" in result:
            name = str(trial.config[NUMBER])
            self.epochs.append(Trained(name, result["began"], result["scored"]))
            self.scores.append(result["val_f1"])

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **_: Any) -> None:
        self.over = time.time()

    def timeline(self) -> Timeline:
        return Timeline(self.epochs, self.over)


def documented_sweep(
    assignments: Sequence[Assignment], plan: SlotPlan, storage: Path, watching: Watching
) -> None:
    """Run the trials one after the other; raise RuntimeError if one of them fails."""
    trial = tune.with_parameters(
        documented_trial, assignments=assignments, plan=plan, storage=str(storage)
    )
    results = tune.Tuner(
        tune.with_resources(trial, {"CPU": 0.001}),  # it only waits; none at all is refused
        param_space={NUMBER: tune.grid_search(list(range(len(assignments))))},
        tune_config=tune.TuneConfig(max_concurrent_trials=plan.slots),
        run_config=tune.RunConfig(
            name="documented", storage_path=str(storage), callbacks=[watching], verbose=0
        ),
    ).fit()
    if results.errors:
        raise RuntimeError(f"the documented pattern failed: {results.errors[0]}")


def documented_trial(
    config: dict[str, Any], assignments: Sequence[Assignment], plan: SlotPlan, storage: str
) -> None:
    """The Tune function: one TorchTrainer, whose reports go on to Tune."""
    from ray.train import RunConfig
    from ray.train.torch import TorchConfig, TorchTrainer
    from ray.tune.integration.ray_train import TuneReportCallback

    report: Any = TuneReportCallback()  # type: ignore[no-untyped-call]
    assignment = assignments[config[NUMBER]]
    TorchTrainer(
        documented_worker,
        train_loop_config={"assignment": assignment, "cpus": plan.cpus},
        scaling_config=plan.scaling(),
        torch_config=TorchConfig(backend=plan.backend),
        run_config=RunConfig(
            name=f"train-{assignment.trial_id}", storage_path=storage, callbacks=[report]
        ),
    ).fit()


def documented_worker(loop: dict[str, Any]) -> None:
    """What each worker runs: Lightning on Ray, reporting after every epoch."""
    import pytorch_lightning as pl
    import ray
    import ray.train
    import ray.train.lightning as ray_lightning
    import torch

    from tokcls.labels.plan import label_schema
    from tokcls.model.loader import load_model
    from tokcls.model.module import TokenClassifier
    from tokcls.model.precision import lightning_precision

    class Report(pl.Callback):
        began = 0.0

        def on_train_epoch_start(self, *_: Any) -> None:
            self.began = time.time()

        def on_train_epoch_end(self, trainer: pl.Trainer, module: Any) -> None:
            figures = module.evaluation.metrics("val")
            ray.train.report(figures | {"began": self.began, "scored": time.time()})

    assignment: Assignment = loop["assignment"]
    config, data = assignment.config, ray.get(assignment.data)
    torch.set_num_threads(max(1, int(loop["cpus"])))
    pl.seed_everything(config.train.seed, workers=False, verbose=False)
    schema, pad_id = label_schema(config.labels, data.types), data.tokenizing.pad_id
    dropout = config.model.dropout
    network = load_model(assignment.backbone, schema, dropout=dropout, pad_id=pad_id)
    trainer = pl.Trainer(
        max_epochs=config.train.epochs,
        accelerator="auto",
        devices="auto",
        precision=lightning_precision(config.train.precision),
        strategy=ray_lightning.RayDDPStrategy(gradient_as_bucket_view=True),  # type: ignore[no-untyped-call]
        plugins=[ray_lightning.RayLightningEnvironment()],  # type: ignore[no-untyped-call]
        callbacks=[Report()],
        accumulate_grad_batches=config.train.accumulate,
        num_sanity_val_steps=0,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        logger=False,
    )
    ray_lightning.prepare_trainer(trainer).fit(TokenClassifier(network, config, schema, data))
