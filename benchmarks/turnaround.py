"""From trial to trial: warm slots beside the pattern of Ray's documentation, in one Ray session.

    python -m benchmarks.turnaround [--small]

The same trials, one after the other on one CPU, by a slot and then by a fresh TorchTrainer each.
Both are given the tokenised corpus in the object store. `turnaround_seconds` is the median time
from the end of a trial's training to the first step of the next; `overhead_seconds_a_trial` is all
the time between the first trial's end and the last one's that was not training, files and reports
included. What is paid once, up to the first step, stands beside them. `--small` runs fewer and
shorter trials, and keeps no result.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from benchmarks._documented import Watching, documented_sweep
from benchmarks._result import finish, machine
from benchmarks._timeline import Timeline, read_events, timeline
from benchmarks._tiny import tiny_backbone
from sweeps.preflight import preflight
from sweeps.search.cluster import ray_session
from sweeps.search.events import Trial
from sweeps.search.ledger import NAME, Ledger
from sweeps.search.resources import plan_slots
from sweeps.search.room import cluster_room
from sweeps.search.share import share
from sweeps.search.slot import Materials, assignment_of
from sweeps.search.storage import storage_at
from sweeps.search.tuner import search
from sweeps.space.space import load_space

BUDGET = {"turnaround_seconds": 1.0, "ratio": 10.0}
SPACE = """\
name: turnaround
data: {{source: bundled, limit: {limit}}}
model: {{backbone: {backbone}}}
train: {{learning_rate: {{choice: {rates}}}, epochs: 2, tokens_per_batch: 512}}
search: {{algorithm: grid, scheduler: none}}
resources: {{concurrent_trials: 1, cpus_per_worker: 1, gpus_per_worker: 0}}
"""


@dataclass(frozen=True)
class Figures:
    """What one way to run the trials took; seconds."""

    turnaround_seconds: float
    overhead_seconds_a_trial: float
    seconds_to_first_step: float
    train_seconds_a_trial: float
    wall_seconds: float


@dataclass(frozen=True)
class Size:
    """How many trials, of how many sentences, and on which backbone; None: a tiny one."""

    trials: int
    limit: int
    backbone: str | None


FULL = Size(trials=5, limit=300, backbone="minilm-l6")
SMALL = Size(trials=2, limit=60, backbone=None)
RATIOS = ("turnaround_seconds", "overhead_seconds_a_trial")


def main(arguments: list[str]) -> int:
    """Run the trials both ways and hold the figures against the budget."""
    about, small = machine(), "--small" in arguments
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        session = ray_session(None, folder / "ray.log")
        try:
            materials = _materials(folder, SMALL if small else FULL)
            warm, trials = _warm(materials)
            documented, their_scores = _documented(materials, trials)
        finally:
            session.close()
    result = _compare(asdict(warm), asdict(documented)) | {"trials": len(trials)}
    scores = [epoch.metrics["val_f1"] for trial in trials for epoch in trial.epochs]
    apart = max(abs(one - other) for one, other in zip(scores, their_scores, strict=True))
    print(f"F1 of the same epoch differs by {apart:.4f} at most")
    recorded = _recorded(trials)
    print(f"as the sweep records it, from the last validation batch: {recorded:.3f} s")
    result |= {"recorded_turnaround_seconds": recorded, "f1_apart": round(apart, 4)}
    result["pass"] &= recorded <= BUDGET["turnaround_seconds"]
    return finish(result | {"machine": about}, keep=not small)


def _compare(ours: dict[str, float], theirs: dict[str, float]) -> dict[str, Any]:
    """Print both side by side, and hold them against the budget."""
    ratio = {name: round(theirs[name] / ours[name], 1) for name in RATIOS}
    print(f"{'':26}{'slot':>10}{'documented':>12}{'ratio':>8}")
    for name, seconds in ours.items():
        print(f"{name:26}{seconds:10.3f}{theirs[name]:12.3f}{ratio.get(name, ''):>8}")
    quick = ours["turnaround_seconds"] <= BUDGET["turnaround_seconds"]
    result = {"name": "turnaround", "budget": BUDGET, "ours": ours, "theirs": theirs}
    return result | {"ratio": ratio, "pass": quick and min(ratio.values()) >= BUDGET["ratio"]}


def _recorded(trials: Sequence[Trial]) -> float:
    """The median of what users see in MLflow."""
    values = [trial.epochs[0].metrics["turnaround_seconds"] for trial in trials[1:]]
    return round(statistics.median(values), 3)


def _materials(folder: Path, size: Size) -> Materials:
    """Look up, place and tokenise, as a sweep does."""
    backbone = size.backbone or tiny_backbone(folder / "tiny")
    rates = [2e-4 + 1e-4 * number for number in range(size.trials)]
    file = folder / "turnaround.yaml"
    text = SPACE.format(limit=size.limit, backbone=backbone, rates=rates)
    file.write_text(text, encoding="utf-8")
    ready = preflight(load_space(file, ()))
    plan = plan_slots(ready.space.sweep.resources, cluster_room())
    data = share(ready).wait()
    return Materials(ready.space, folder, plan, ready.backbones, data, storage_at(folder))


def _warm(materials: Materials) -> tuple[Figures, list[Trial]]:
    began = time.time()
    trials = search(materials, [Ledger(materials.folder)])
    line = timeline(read_events(materials.folder / NAME))
    return figures(line, began=began, ended=time.time()), trials


def _documented(materials: Materials, trials: Sequence[Trial]) -> tuple[Figures, list[float]]:
    assignments = [assignment_of(materials, trial) for trial in trials]
    watching, began = Watching(), time.time()
    documented_sweep(assignments, materials.plan, materials.folder / "documented", watching)
    return figures(watching.timeline(), began=began, ended=time.time()), watching.scores


def figures(line: Timeline, *, began: float, ended: float) -> Figures:
    """Sum up trials that ran one after the other between two moments."""
    trials = line.by_trial()
    gaps = [after[0].began - before[-1].ended for before, after in pairwise(trials)]
    first_over = trials[0][-1].ended
    return Figures(
        turnaround_seconds=round(statistics.median(gaps), 3),
        overhead_seconds_a_trial=round(
            (line.over - first_over - line.trained_from(first_over)) / (len(trials) - 1), 3
        ),
        seconds_to_first_step=round(trials[0][0].began - began, 1),
        train_seconds_a_trial=round(line.trained_from(0.0) / len(trials), 1),
        wall_seconds=round(ended - began, 1),
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
