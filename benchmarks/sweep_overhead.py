"""What a sweep costs beyond its training, by the real command: idle slots, and the driver's memory.

    python -m benchmarks.sweep_overhead [--small]

Two sweeps of two slots with one CPU each. The first has 12 trials of about 20 s: the time from the
first training step of the last slot to start until the last trial is over, beside the training
(scoring of the validation split included, see `_timeline`) that fell into it. The second has 200
tiny trials: the driver's resident memory by trials over. `--small` runs 20 tiny trials for all
figures, which says nothing of the first budget, and keeps no result.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks._result import finish, machine
from benchmarks._timeline import read_events, timeline
from benchmarks._tiny import tiny_backbone

SLOTS = 2
BUDGET = {"overhead": 1.05, "memory_growth": 1.10, "seconds_a_tiny_trial": 1.0}
SPACE = """\
data: {{source: bundled, limit: {limit}}}
model: {{backbone: {backbone}}}
train: {{learning_rate: {{loguniform: [2e-4, 8e-4]}}, epochs: {epochs}, tokens_per_batch: 512}}
search: {{trials: {trials}, algorithm: random, scheduler: none}}
resources: {{concurrent_trials: 2, cpus_per_worker: 1, gpus_per_worker: 0}}
"""
LEDGER = "runs/*/*/ledger.jsonl"
SAMPLE_SECONDS = 0.1
REAL = {"trials": 12, "limit": 450, "epochs": 2, "backbone": "minilm-l6"}
TINY = {"limit": 40, "epochs": 1}
FEW, MANY, MANY_IF_SMALL = 10, 200, 20


@dataclass(frozen=True)
class Ran:
    """A command that is over: its ledger, when it ran, and MiB in use when n trials were over."""

    events: list[dict[str, Any]]
    began: float
    ended: float
    memory: Mapping[int, float]


def main(arguments: list[str]) -> int:
    """Run the sweeps and hold them against the budget."""
    about, small = machine(), "--small" in arguments
    many = MANY_IF_SMALL if small else MANY
    with tempfile.TemporaryDirectory() as name:
        top = Path(name)
        work = TINY | {"trials": many, "backbone": tiny_backbone(top / "tiny")}
        tiny = run_sweep(top / "tiny-trials", work)
        real = tiny if small else run_sweep(top / "real-trials", REAL)
    ours = overhead(real) | growth(tiny, few=FEW, many=many)
    budget = {name: most for name, most in BUDGET.items() if not small or name != "overhead"}
    for name, value in ours.items():
        print(f"{name:28} {value}" + (f"   budget {budget[name]}" if name in budget else ""))
    result: dict[str, Any] = {"name": "sweep_overhead", "budget": budget, "ours": ours}
    result |= {"pass": all(ours[name] <= most for name, most in budget.items())}
    return finish(result | {"machine": about}, keep=not small)


def run_sweep(folder: Path, work: Mapping[str, Any]) -> Ran:
    """Run the command in an empty folder, and watch its memory."""
    folder.mkdir()
    (folder / "s.yaml").write_text(SPACE.format(**work), encoding="utf-8")
    memory: dict[int, float] = {}
    began = time.time()
    process = subprocess.Popen([sys.executable, "-m", "sweeps.run", "s.yaml"], cwd=folder)
    while process.poll() is None:
        _sample(process.pid, folder, memory)
        time.sleep(SAMPLE_SECONDS)
    if process.returncode:
        raise RuntimeError(f"the sweep ended with {process.returncode}")
    (ledger,) = folder.glob(LEDGER)
    return Ran(read_events(ledger), began, time.time(), memory)


def _sample(pid: int, folder: Path, memory: dict[int, float]) -> None:
    """Note what the driver has in memory when it has just brought another trial to its end."""
    ledger = next(folder.glob(LEDGER), None)
    over = ledger.read_bytes().count(b'{"event": "ended"') if ledger else 0
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    except OSError:  # it is just over
        return
    fields = dict(line.split(":", 1) for line in status.splitlines() if ":" in line)
    if "VmRSS" in fields:
        memory.setdefault(over, int(fields["VmRSS"].split()[0]) / 1024)


def overhead(ran: Ran) -> dict[str, float]:
    """Hold the time that went by against the training that was done in it."""
    line = timeline(ran.events)
    since = line.all_slots_from(SLOTS)
    trained, all_ = line.trained_from(since), line.trained_from(0.0)
    trials = len({epoch.trial for epoch in line.epochs})
    return {
        "trials": trials,
        "train_seconds_a_trial": round(all_ / trials, 1),
        "wall_seconds": round(ran.ended - ran.began, 1),
        "seconds_to_first_step": round(since - ran.began, 1),
        "seconds_after_last_trial": round(ran.ended - line.over, 1),
        "overhead": round((line.over - since) / (trained / SLOTS), 4),
        "overhead_of_command": round((ran.ended - ran.began) / (all_ / SLOTS), 2),
        "turnaround_seconds": _median(ran.events, "turnaround_seconds"),
        "saving_seconds_an_epoch": _median(ran.events, "saving_seconds"),
        "seconds_between_epochs": round(statistics.median(line.between_epochs() or [0.0]), 3),
    }


def _median(events: list[dict[str, Any]], metric: str) -> float:
    """Of the epochs that have the metric."""
    epochs = [event["metrics"] for event in events if event["event"] == "epoch"]
    values: list[float] = [metrics[metric] for metrics in epochs if metric in metrics]
    return round(statistics.median(values), 3)


def growth(ran: Ran, *, few: int, many: int) -> dict[str, float]:
    """Compare the driver's memory after `few` trials with that after `many`."""
    at = {over: used for over, used in ran.memory.items() if over >= few}
    line = timeline(ran.events)
    seconds = (line.over - line.all_slots_from(SLOTS)) / many
    return {
        "tiny_trials": many,
        "memory_mb_few": round(at[min(at)], 1),
        "memory_mb_many": round(at[max(at)], 1),
        "memory_growth": round(at[max(at)] / at[min(at)], 4),
        "memory_kb_a_trial": round(
            1024 * statistics.linear_regression(list(at), list(at.values())).slope, 1
        ),
        "seconds_a_tiny_trial": round(seconds, 3),
    }


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
