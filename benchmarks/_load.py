"""Load on a server of this machine: wrk sends prepared bodies over so many connections."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

SCRIPT = """\
local bodies, at = {{}}, 0
for line in io.lines("{bodies}") do bodies[#bodies + 1] = line end
wrk.method, wrk.headers["Content-Type"] = "POST", "application/json"
function request()
  at = at % #bodies + 1
  return wrk.format(nil, "/predict", nil, bodies[at])
end
function done(summary, latency)
  local e = summary.errors
  io.write(string.format(
    '\\n{{"requests": %d, "microseconds": %d, "p50": %d, "p99": %d, ' ..
    '"refused": %d, "broken": %d}}\\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
    e.status, e.connect + e.read + e.write + e.timeout))
end
"""


@dataclass(frozen=True)
class Load:
    """What came of a load: requests answered with 200 in a second, and latencies in ms."""

    per_second: float
    p50: float
    p99: float
    failed: int


def check_wrk() -> None:
    """Refuse to begin without the client; raises SystemExit."""
    if shutil.which("wrk") is None:
        raise SystemExit("this benchmark needs wrk: apt-get install wrk")


def bodies_file(texts: list[str], folder: Path) -> Path:
    """Write a request's body a line."""
    path = folder / "bodies.jsonl"
    path.write_text("".join(json.dumps({"inputs": text}) + "\n" for text in texts))
    return path


def load(url: str, bodies: Path, *, connections: int, seconds: int) -> Load:
    """Send bodies one after the other on each of so many connections, for so long."""
    script = bodies.with_suffix(".lua")
    script.write_text(SCRIPT.format(bodies=bodies))
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "20s"]
    done = subprocess.run(
        [*command, "-s", str(script), url], capture_output=True, text=True, check=True
    )
    said = json.loads(done.stdout.strip().splitlines()[-1])
    failed = said["refused"] + said["broken"]
    return Load(
        per_second=(said["requests"] - said["refused"]) / (said["microseconds"] / 1e6),
        p50=said["p50"] / 1000,
        p99=said["p99"] / 1000,
        failed=failed,
    )
