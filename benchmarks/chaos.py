"""Sweeps in which everything is killed -9 once: worker, slot, controller, node, server, driver.

    python -m benchmarks.chaos [--small]

Each seed draws an order and the moments. Every sweep must do what an undisturbed one does: the same
configurations come to their last epoch, MLflow has one run a trial and each epoch once, and nothing
is left in the cluster. Lines are added to `results/chaos.jsonl`; seeds that are there are skipped,
so a run that ended early goes on (delete the file to start anew). `--small`: one seed, not kept.
"""

from __future__ import annotations

import json
import random
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks._chaos_checks import wrong
from benchmarks._chaos_run import KINDS, Sweep, blows, tail
from benchmarks._chaos_world import World, world
from benchmarks._result import RESULTS, finish, machine

SEEDS = range(1, 11)
UNDISTURBED = 0
LINES = RESULTS / "chaos.jsonl"
NO_NEW_SEED_AFTER_S = 360.0
BUDGET = {"seeds": len(SEEDS), "wrong": 0}


def disturbed(around: World, seed: int, kinds: Sequence[str] = tuple(KINDS)) -> dict[str, Any]:
    """Run one sweep in which each of `kinds` is killed once; tell what was killed and is wrong."""
    sweep = Sweep(around, f"chaos-{seed}", random.Random(seed))
    ahead = blows(seed, kinds)
    began = time.monotonic()
    try:
        code = sweep.run(ahead)
        seconds = time.monotonic() - began
        found = wrong(sweep, code)
    except (RuntimeError, TimeoutError) as error:
        seconds, found = time.monotonic() - began, {"harness": str(error)}
    spared = [blow.what for blow in ahead[len(sweep.log) :]]
    if spared:
        found["never killed"] = spared
    result = {"seed": seed, "seconds": round(seconds, 1), "killed": sweep.log, "wrong": found}
    return result | ({"said": tail(sweep.stderr)} if found else {})


def main(arguments: list[str]) -> int:
    """Run the seeds that are not in the file yet, as many as there is time for."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # what was started ends as well
    small = "--small" in arguments
    about, began = machine(), time.monotonic()
    done = [] if small else _kept()
    ahead = (
        [1] if small else [s for s in (UNDISTURBED, *SEEDS) if s not in {d["seed"] for d in done}]
    )
    with tempfile.TemporaryDirectory(prefix="chaos", ignore_cleanup_errors=True) as folder:
        done += _run(Path(folder), ahead, keep=not small, until=began + NO_NEW_SEED_AFTER_S)
    disturbed_ = [line for line in done if line["seed"] != UNDISTURBED]
    result = {
        "name": "chaos",
        "budget": BUDGET,
        "ours": {"seeds": len(disturbed_), "wrong": sum(bool(line["wrong"]) for line in done)},
        "kills": sum(len(line["killed"]) for line in done),
        "seconds": {str(line["seed"]): line["seconds"] for line in done},
        "pass": not any(line["wrong"] for line in done),
        "machine": about,
    }
    if len(disturbed_) < len(SEEDS) and not small:
        print("run again for the seeds that are missing")
    return finish(result, keep=len(disturbed_) == len(SEEDS))


def _kept() -> list[dict[str, Any]]:
    if not LINES.is_file():
        return []
    return [json.loads(line) for line in LINES.read_text(encoding="utf-8").splitlines()]


def _run(folder: Path, seeds: Sequence[int], *, keep: bool, until: float) -> list[dict[str, Any]]:
    done: list[dict[str, Any]] = []
    if not seeds:
        return done
    with world(folder) as around:
        for seed in seeds:
            if time.monotonic() > until:
                break
            line = disturbed(around, seed, tuple(KINDS) if seed != UNDISTURBED else ())
            killed = ", ".join(f"{each['what']} at {each['epochs']}" for each in line["killed"])
            verdict = json.dumps(line["wrong"]) if line["wrong"] else "good"
            print(f"seed {seed:2}  {line['seconds']:6.1f} s  {killed or 'undisturbed'}: {verdict}")
            done.append(line)
            if keep:
                RESULTS.mkdir(exist_ok=True)
                with LINES.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(line) + "\n")
    return done


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
