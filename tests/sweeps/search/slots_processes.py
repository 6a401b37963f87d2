"""What runs in Ray's processes for these tests: found there by name, so it is in no test file."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from sweeps.search.cluster import ENVIRONMENT
from sweeps.search.mailbox import Assignment, Verdict, start_mailbox
from sweeps.search.resources import SlotPlan, plan_slots
from sweeps.search.room import cluster_room
from sweeps.search.slot import Slot
from sweeps.space.config import ResourcesConfig


def documented_sweep(storage: str) -> list[int]:
    """Run two trials that are both stopped early; give the steps that they came to, in order."""
    from ray import tune
    from ray.tune.schedulers import ASHAScheduler

    results = tune.Tuner(
        tune.with_resources(partial(documented_trial, storage=storage), {"CPU": 0.001}),
        param_space={"score": tune.grid_search([0.9, 0.1])},
        tune_config=tune.TuneConfig(
            scheduler=ASHAScheduler(
                time_attr="step", metric="score", mode="max", max_t=6, reduction_factor=2
            ),
            max_concurrent_trials=1,
        ),
        run_config=tune.RunConfig(name="documented", storage_path=storage, verbose=0),
    ).fit()
    return sorted((results[number].metrics or {})["step"] for number in range(len(results)))


def documented_trial(config: dict[str, Any], storage: str) -> None:
    """Run one trial as Ray's documentation has it: a Tune function around a TorchTrainer."""
    from ray.train import RunConfig, ScalingConfig
    from ray.train.torch import TorchTrainer
    from ray.tune.integration.ray_train import TuneReportCallback

    report: Any = TuneReportCallback()  # type: ignore[no-untyped-call]
    TorchTrainer(
        report_steadily,
        train_loop_config=config,
        scaling_config=ScalingConfig(num_workers=1),
        run_config=RunConfig(
            name=f"documented-{config['score']}",
            storage_path=storage,
            callbacks=[report],
        ),
    ).fit()


def report_steadily(config: dict[str, Any]) -> None:
    """Report the same score again and again; only an early stop ends it soon."""
    import time

    import ray.train

    for step in range(1, 41):
        ray.train.report({"score": config["score"], "step": step})
        time.sleep(0.5)


@dataclass(frozen=True)
class AlwaysOn:
    """Stands where the mailbox's line is, when there is no Tune to decide."""

    rank: int

    def report(self, number: int, metrics: dict[str, float], note: str) -> None:
        """Nobody listens."""

    def verdict(self, number: int) -> Verdict:
        return Verdict.CONTINUE


def record_training(assignment: Assignment, plan: SlotPlan, folder: str) -> None:
    """Train in the workers of `plan`, as a slot does, and record the windows in `folder`."""
    from ray.train import RunConfig
    from ray.train.torch import TorchConfig, TorchTrainer

    TorchTrainer(
        train_and_record,
        train_loop_config={"assignment": assignment, "records": folder},
        scaling_config=plan.scaling(),
        torch_config=TorchConfig(backend=plan.backend),
        run_config=RunConfig(name="recorded", storage_path=f"{folder}/ray"),
    ).fit()


def train_and_record(loop: dict[str, Any]) -> None:
    """Train `loop["assignment"]` as a slot's worker does, and write each window that was trained.

    One JSON line a window: epoch, and the sub-words without padding; a file for each rank.
    """
    import ray
    import ray.train

    from sweeps.search import worker
    from tokcls.model.module import TokenClassifier

    rank = ray.train.get_context().get_world_rank()
    path = Path(loop["records"]) / f"{rank}.jsonl"

    class Recording(TokenClassifier):
        def training_step(self, batch: Any, number: int) -> Any:
            with path.open("a", encoding="utf-8") as file:
                for ids, mask in zip(batch["input_ids"], batch["attention_mask"], strict=True):
                    file.write(json.dumps([self.current_epoch, ids[mask.bool()].tolist()]) + "\n")
            return super().training_step(batch, number)

    assignment: Assignment = loop["assignment"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(worker, "TokenClassifier", Recording)
        worker.train(assignment, ray.get(assignment.data), AlwaysOn, None)  # type: ignore[arg-type]


class HastySlot(Slot):
    """Sends its workers home soon."""

    idle_seconds = 4.0


def report_shares(loop: dict[str, Any]) -> None:
    """Begin as every worker does, and write which GPUs and threads this one was given and uses."""
    import ray
    import ray.train
    import torch.distributed

    from sweeps.search.worker import work

    torch.set_num_threads(1)
    work(loop)  # the mailbox is closed: there is nothing to train
    rank = ray.train.get_context().get_world_rank()
    seen = {
        "threads": torch.get_num_threads(),
        "visible": visible(),
        "given": ray.get_runtime_context().get_accelerator_ids()["GPU"],
        "world": torch.distributed.get_world_size(),
    }
    (Path(loop["folder"]) / f"{rank}.json").write_text(json.dumps(seen), encoding="utf-8")


def visible() -> str | None:
    """Which GPUs torch may use in this process."""
    return os.environ.get("CUDA_VISIBLE_DEVICES")


def main(folder: str) -> None:
    """On a cluster that says it has two GPUs, ask for a trial of two workers; print JSON."""
    import ray
    from ray.train import RunConfig
    from ray.train.torch import TorchConfig, TorchTrainer

    os.environ.update(ENVIRONMENT)
    ray.init(address="local", num_cpus=4, num_gpus=2, include_dashboard=False, log_to_driver=False)
    plan = plan_slots(ResourcesConfig(workers_per_trial=2), cluster_room())
    mailbox = start_mailbox()
    ray.get(mailbox.close.remote())
    TorchTrainer(
        report_shares,
        train_loop_config={"folder": folder, "mailbox": mailbox, "cpus": plan.cpus, "mark": None},
        scaling_config=plan.scaling(),
        torch_config=TorchConfig(backend="gloo"),  # NCCL needs the GPUs themselves
        run_config=RunConfig(name="gpus", storage_path=f"{folder}/storage"),
    ).fit()
    workers = [json.loads((Path(folder) / f"{rank}.json").read_text()) for rank in range(2)]
    asked = {"workers": plan.workers, "gpus": plan.gpus, "cpus": plan.cpus, "slots": plan.slots}
    without = ray.get(ray.remote(num_gpus=0)(visible).remote())
    said = {"plan": asked, "backend": plan.backend, "workers": workers, "without": without}
    print(json.dumps(said))
    ray.shutdown()


if __name__ == "__main__":
    main(sys.argv[1])
