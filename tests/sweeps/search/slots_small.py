"""Sweeps small enough to run many times: a tiny backbone, 60 sentences, what Ray still holds."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ray
from ray.util import placement_group_table

from sweeps.preflight import preflight
from sweeps.search.events import Retry, Trial
from sweeps.search.mailbox import Epoch
from sweeps.search.resources import plan_slots
from sweeps.search.room import cluster_room
from sweeps.search.share import share
from sweeps.search.slot import Materials
from sweeps.search.storage import storage_at
from sweeps.search.tidy import Tidy
from sweeps.search.trial_folder import TrialFolder, folder_of
from sweeps.search.tuner import search
from sweeps.space.space import load_space
from tests.tiny import Example, examples

TEXT = """\
name: small
data: {{source: {corpus}, max_length: 16, stride: 4}}
model: {{backbone: {backbone}, dropout: 0.0}}
train: {{learning_rate: 0.01, epochs: 3, tokens_per_batch: 128, precision: fp32}}
search: {{algorithm: grid, scheduler: none, retries: 0}}
resources: {{cpus_per_worker: 1.0, concurrent_trials: 1}}
"""
SPLITS = {"train": (0, 60), "valid": (60, 90), "test": (90, 100)}
RETURN_SECONDS = 60.0


def write_corpus(folder: Path) -> Path:
    """Write 60, 30 and 10 sentences as IOB2 files; each is two of `examples`, to need windows."""
    folder.mkdir(parents=True)
    single = examples(200)
    for name, (start, end) in SPLITS.items():
        text = "".join(
            _lines(first) + _lines(second) + "\n"
            for first, second in zip(
                single[start:end], single[100 + start : 100 + end], strict=True
            )
        )
        (folder / f"{name}.txt").write_text(text, encoding="utf-8")
    return folder


def _lines(example: Example) -> str:
    words, spans = example
    tags = ["O"] * len(words)
    for start, end, kind in spans:
        tags[start:end] = [f"B-{kind}", *[f"I-{kind}"] * (end - start - 1)]
    return "".join(f"{word} {tag}\n" for word, tag in zip(words, tags, strict=True))


@dataclass
class Told:
    """A listener that remembers the order of what it was told."""

    events: list[tuple[str, str, int]] = field(default_factory=list)
    retries: list[Retry] = field(default_factory=list)

    def started(self, trial: Trial) -> None:
        self.events.append(("started", trial.trial_id, 0))

    def epoch(self, trial: Trial, epoch: Epoch) -> None:
        self.events.append(("epoch", trial.trial_id, epoch.number))

    def retried(self, trial: Trial, retry: Retry) -> None:
        self.events.append(("retried", trial.trial_id, retry.division))
        self.retries.append(retry)

    def ended(self, trial: Trial) -> None:
        self.events.append(("ended", trial.trial_id, 0))

    def of(self, trial_id: str) -> list[tuple[str, int]]:
        """What was told of one trial."""
        return [(kind, number) for kind, name, number in self.events if name == trial_id]


@dataclass(frozen=True)
class Ran:
    """A sweep that is over, and what Ray held `RETURN_SECONDS` later at most."""

    trials: list[Trial]
    told: Told
    materials: Materials
    held: Mapping[str, Any]

    def folder(self, trial: Trial) -> TrialFolder:
        return folder_of(self.materials.storage, trial.trial_id)


@dataclass(frozen=True)
class Small:
    """Runs small sweeps, each in a folder of its own below `top`."""

    top: Path
    corpus: Path
    backbone: Path

    def materials(self, name: str, *overrides: str) -> Materials:
        """Share corpus and backbone as a sweep does, and start nothing else."""
        folder = self.top / name
        folder.mkdir()
        path = folder / "s.yaml"
        path.write_text(TEXT.format(corpus=self.corpus, backbone=self.backbone), encoding="utf-8")
        ready = preflight(load_space(path, overrides), local=False)
        plan = plan_slots(ready.space.sweep.resources, cluster_room())
        data = share(ready).wait()
        return Materials(ready.space, folder, plan, ready.backbones, data, storage_at(folder))

    def run(
        self,
        name: str,
        *overrides: str,
        listeners: Sequence[Any] = (),
        say: Callable[[str], None] = lambda text: None,
    ) -> Ran:
        """Run a sweep to its end."""
        materials, told = self.materials(name, *overrides), Told()
        tidy = Tidy(materials.storage, metric="val_f1", keep_top=100)
        trials = search(materials, [told, *listeners, tidy], say=say)
        return Ran(trials, told, materials, held())


def held(seconds: float = RETURN_SECONDS) -> dict[str, Any]:
    """Wait until nothing is held of the cluster, `seconds` at most; give what still is."""
    until = time.monotonic() + seconds
    while (found := _held_now()) and time.monotonic() < until:
        time.sleep(0.2)
    return found


def _held_now() -> dict[str, Any]:
    totals: Callable[[], dict[str, float]] = ray.cluster_resources
    free: dict[str, float] = ray.available_resources()  # type: ignore[no-untyped-call]
    found: dict[str, Any] = {
        name: total - free.get(name, 0.0)
        for name, total in totals().items()
        if "memory" not in name and total - free.get(name, 0.0) > 1e-6
    }
    groups: dict[str, Any] = placement_group_table()
    alive = {key: group["state"] for key, group in groups.items() if group["state"] != "REMOVED"}
    return found | alive
