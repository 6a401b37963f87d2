"""The first sweep as a new user runs it: wall time, the best F1, the spread, and what a slot loses.

    python -m benchmarks.quickstart [--small] [key=value ...]

`--small` runs two short trials and keeps no result. Overrides go to the sweep, for example
`data.source=FOLDER`; then only the turnaround has a budget.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks._result import finish, machine

SPACE = Path(__file__).parents[1] / "search_spaces" / "quickstart.yaml"
SMALL = ("search.trials=2", "train.epochs=1", "model.backbone=minilm-l3")
BUDGET = {"wall_seconds": 300, "best_f1": 0.65, "spread": 0.10, "turnaround_seconds": 1.0}


def main(arguments: list[str]) -> int:
    """Run the sweep in an empty folder and read its ledger."""
    small = "--small" in arguments
    overrides = [*(SMALL if small else ()), *(a for a in arguments if not a.startswith("--"))]
    about = machine()
    with tempfile.TemporaryDirectory() as folder:
        began = time.monotonic()
        command = [sys.executable, "-m", "sweeps.run", str(SPACE), *overrides]
        subprocess.run(command, cwd=folder, check=True)
        wall = time.monotonic() - began
        ledger = next(Path(folder).glob("runs/*/*/ledger.jsonl"))
        events = [json.loads(line) for line in ledger.read_text().splitlines()]
        manifest = json.loads(next(Path(folder).glob("runs/*/*/bundle/tokcls.json")).read_text())
    measured = _measure(events) | {
        "wall_seconds": round(wall, 1),
        "test_f1": round(manifest["metrics"]["test_f1"], 4),
    }
    held = ["turnaround_seconds"] if overrides else list(BUDGET)
    for name, value in measured.items():
        budget = f"   budget {BUDGET[name]}" if name in held else ""
        print(f"{name:20} {value}{budget}")
    passed = all(_within(name, measured[name]) for name in held)
    result: dict[str, Any] = {
        "name": "quickstart",
        "budget": {name: BUDGET[name] for name in held},
        "ours": measured,
        "overrides": overrides,
        "pass": passed,
        "machine": about,
    }
    return finish(result, keep=not overrides)


def _measure(events: list[dict[str, Any]]) -> dict[str, Any]:
    epochs = [event for event in events if event["event"] == "epoch"]
    best: dict[str, float] = {}
    turnaround: dict[str, float] = {}
    for event in epochs:
        trial, metrics = event["trial"], event["metrics"]
        best[trial] = max(best.get(trial, 0.0), metrics["val_f1"])
        if "turnaround_seconds" in metrics:
            turnaround[trial] = metrics["turnaround_seconds"]
    return {
        "trials": len(best),
        "epochs": len(epochs),
        "best_f1": round(max(best.values()), 4),
        "spread": round(max(best.values()) - min(best.values()), 4),
        "turnaround_seconds": round(statistics.median(turnaround.values()), 3),
        "train_seconds": round(sum(event["metrics"]["train_seconds"] for event in epochs), 1),
    }


def _within(name: str, value: float) -> bool:
    more_is_better = name in ("best_f1", "spread")
    return value >= BUDGET[name] if more_is_better else value <= BUDGET[name]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
