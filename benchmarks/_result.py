"""What every benchmark ends with: one JSON line, kept under `benchmarks/results/`."""

from __future__ import annotations

import json
import os
import platform
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).with_name("results")


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    return {
        "cpus": len(os.sched_getaffinity(0)),
        "processor": platform.processor() or platform.machine(),
        "python": platform.python_version(),
        "load_before": round(os.getloadavg()[0], 2),
    }


def finish(result: dict[str, Any], *, keep: bool) -> int:
    """Print the JSON line, keep it if asked, and give the exit code: 0 if within the budget."""
    line = json.dumps(result)
    print(line)
    if keep:
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / f"{result['name']}.json").write_text(line + "\n", encoding="utf-8")
    return 0 if result["pass"] else 1
