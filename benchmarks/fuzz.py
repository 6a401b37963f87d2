"""Requests made up from the server's own description, valid and not, against a running server.

    python -m benchmarks.fuzz [--small]

Schemathesis reads `/openapi.json` and sends what it allows and what it forbids. Wrong is a 5xx, an
answer that is not as described, a valid request refused, an invalid one answered, or a method that
is taken or listed against the description. `--small`: 100 requests, not kept.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks._result import finish, machine
from tests.tokcls.inference.made import make_bundle, served

REQUESTS, SMALL = 2000, 100
"""at least; half of them to each of the two operations that take a body"""
SEED = 1
BUDGET = {"wrong": 0, "requests": REQUESTS}
WITHIN_S = 540


@dataclass(frozen=True)
class Fuzzed:
    """What was sent, and all that was wrong, with the requests that show it again."""

    requests: int
    seconds: float
    wrong: list[str]
    operations: dict[str, dict[str, int]]
    """of the valid requests of each operation: how many were accepted and rejected"""
    said: str


def fuzz(url: str, folder: Path, *, requests: int, seed: int = SEED) -> Fuzzed:
    """Send at least so many requests to the server at `url`; what is written goes to `folder`.

    Raises RuntimeError if it could not be done, and subprocess.TimeoutExpired.
    """
    report = folder / "report.json"
    command = [sys.executable, "-m", "schemathesis.cli", "run", f"{url}/openapi.json"]
    command += ["--max-examples", str(requests // 2), "--seed", str(seed), "--continue-on-failure"]
    command += ["--no-color", "--report-json-path", str(report)]
    # In a folder of its own: it keeps what it found for the next run, which would not be the same.
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=WITHIN_S)
    if not report.is_file():
        raise RuntimeError(f"nothing was sent:\n{done.stdout}\n{done.stderr}")
    told: dict[str, Any] = json.loads(report.read_text(encoding="utf-8"))
    wrong = [f"{each['title']}: {', '.join(each['operations'])}" for each in told["failures"]]
    wrong += [str(each) for each in told["errors"]]
    if done.returncode and not wrong:
        wrong.append(f"exit code {done.returncode}")
    operations = {
        name: {
            kind: sum(phase[kind] for phase in phases.values()) for kind in ("accepted", "rejected")
        }
        for name, phases in told["valid_rates"].items()
    }
    sent = told["test_cases"]["generated"]
    return Fuzzed(sent, round(told["running_time"], 1), wrong, operations, done.stdout)


def main(arguments: list[str]) -> int:
    """Serve a small bundle, send it the requests, and count what is wrong."""
    about, small = machine(), "--small" in arguments
    least = SMALL if small else REQUESTS
    with tempfile.TemporaryDirectory(prefix="fuzz") as name:
        folder = Path(name)
        with served(make_bundle(folder), folder) as server:
            done = fuzz(server.url, folder, requests=least)
    print(f"{'valid requests':16}{'accepted':>10}{'rejected':>10}")
    for operation, counts in done.operations.items():
        print(f"{operation:16}{counts['accepted']:10}{counts['rejected']:10}")
    print(f"{done.requests} requests in all in {done.seconds} s")
    if done.wrong:
        print(done.said)
    ours = {"requests": done.requests, "wrong": len(done.wrong), "seconds": done.seconds}
    result = {"name": "fuzz", "budget": BUDGET, "ours": ours, "operations": done.operations}
    result |= {"pass": done.requests >= least and not done.wrong, "machine": about}
    return finish(result, keep=not small)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
