"""What measurements of serving need: a trained model, real sentences, and servers that run."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokcls.config import DataConfig
from tokcls.data.source import load_corpus
from tokcls.processes import below

ROOT = Path(__file__).parents[1]
SPACE = ROOT / "search_spaces" / "quickstart.yaml"
ONE_TRIAL = ("search.trials=1", "train.epochs=2", "labels.scheme=IOB2", "model.backbone=minilm-l6")
UP_WITHIN_S, NAMED_WITHIN_S, GONE_WITHIN_S = 120.0, 60.0, 20.0


def trained_bundle(folder: Path, *overrides: str) -> Path:
    """Train one model on the bundled corpus in `folder`, about a minute; gives its bundle."""
    command = [sys.executable, "-m", "sweeps.run", str(SPACE), "--quiet", *ONE_TRIAL, *overrides]
    subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
    return max(folder.glob("runs/*/*/bundle"))


def promote(folder: Path, *arguments: str) -> None:
    """Run `sweeps.promote` in a folder, whose registry it is then."""
    command = [sys.executable, "-m", "sweeps.promote", *arguments]
    subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)


def sentences() -> list[str]:
    """Give the sentences of the bundled corpus that no model was trained on."""
    splits = load_corpus(DataConfig(source="bundled"), seed=0).splits
    return [" ".join(one.words) for name in ("validation", "test") for one in splits[name]]


def free_port() -> int:
    """Find a port that nothing listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def replicas(server: int) -> list[int]:
    """List the processes of the replicas below a server's, the oldest first."""
    found = {}
    for pid in below(server):
        with suppress(OSError):  # it has ended
            if Path(f"/proc/{pid}/cmdline").read_bytes().startswith(b"ray::ServeReplica"):
                found[pid] = began(pid)
    return sorted(found, key=lambda pid: found[pid])


def await_replicas(server: int, count: int) -> list[int]:
    """Wait for so many: Ray may give a process its name after the first answer came from it."""
    until = time.monotonic() + NAMED_WITHIN_S
    while len(found := replicas(server)) < count:
        if time.monotonic() > until:
            raise TimeoutError(f"{count} replicas should run below {server}, found {found}")
        time.sleep(0.1)
    return found


def began(pid: int) -> float:
    """Say when a process began, in seconds since the machine was started (Linux)."""
    ticks = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
    return ticks / os.sysconf("SC_CLK_TCK")


def answer_of(url: str, text: str, **parameters: str) -> list[dict[str, Any]]:
    """Ask for the entities of one text."""
    asked_for: dict[str, Any] = {"parameters": parameters} if parameters else {}
    body = json.dumps({"inputs": text} | asked_for).encode()
    asked = urllib.request.Request(f"{url}/predict", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(asked, timeout=60) as answer:
        found: list[dict[str, Any]] = json.load(answer)
    return found


@dataclass(frozen=True)
class Running:
    """A server that answers, and when it first did, in seconds since the machine was started."""

    url: str
    pid: int
    answered: float

    def replica_seconds(self) -> float:
        """Give the seconds from the start of a replica's process to the first answer."""
        return round(self.answered - began(await_replicas(self.pid, 1)[-1]), 2)


@contextmanager
def running(module: str, *arguments: str, cwd: Path) -> Iterator[Running]:
    """Run a module as a server, `{port}` standing for its port, until the block ends."""
    port = free_port()
    words = [argument.format(port=port) for argument in arguments]
    path = f"{ROOT}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
    with (cwd / f"{module}.log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", module, *words],
            cwd=cwd,
            stdout=log,
            stderr=log,
            start_new_session=True,
            env=os.environ | {"PYTHONPATH": path},
        )
    try:
        url = f"http://127.0.0.1:{port}"
        _await_answer(url, process, cwd / f"{module}.log")
        yield Running(url, process.pid, time.clock_gettime(time.CLOCK_BOOTTIME))
    finally:
        _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Interrupt a server as Ctrl-C does; what is not gone soon, with all below it, is killed."""
    everything = [process.pid, *below(process.pid)]
    os.killpg(process.pid, signal.SIGINT)
    try:
        process.wait(timeout=GONE_WITHIN_S)
    except subprocess.TimeoutExpired:
        for pid in everything:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        process.wait()


def _await_answer(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + UP_WITHIN_S
    while True:
        try:
            answer_of(url, "Is anybody there?")
            return
        except (urllib.error.URLError, OSError):
            if process.poll() is not None or time.monotonic() > until:
                raise SystemExit(f"the server did not start:\n{log.read_text()}") from None
            time.sleep(0.2)


def bare_engine(bundle: Path, texts: Path, seconds: float) -> float:
    """Measure a predictor in a loop over the lines of a file, all CPUs: words a second."""
    command = [sys.executable, "-m", "benchmarks._bare", str(bundle), str(texts), str(seconds)]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    return float(done.stdout)


def places(found: Sequence[dict[str, Any]]) -> list[tuple[str, int, int]]:
    """Reduce an answer to what must be equal: type, start, end."""
    return [(one["entity_group"], one["start"], one["end"]) for one in found]
