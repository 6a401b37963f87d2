"""A small world for the command line: a tiny backbone, a corpus, a search space, and processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.tiny import Example, examples, tiny_model

SPACE = """\
name: small
data: {source: corpus}
labels: {scheme: {choice: [IOB2, BIOES]}}
model: {backbone: ./bert}
train:
  learning_rate: {loguniform: [1e-2, 2e-2]}
  epochs: 2
  tokens_per_batch: 128
search: {trials: 2, algorithm: random, scheduler: none}
tracking: {experiment: small-runs}
output: {register_as: ner-small}
"""
SPLITS = {"train": slice(0, 60), "valid": slice(60, 80), "test": slice(80, 100)}
ROOT = Path(__file__).resolve().parents[2]
SILENT = ("wandb", "runs", "mlflow.db", "mlruns", "ray_results")
MARK = "STARTED_IN"  # an environment variable that all processes below a command inherit
FOREIGN = ("RAY_", "TUNE_", "MLFLOW_", "HF_", "PYTHONPATH")


def conll(sentences: Sequence[Example]) -> str:
    """Write sentences as CoNLL text in IOB2, ten to a document."""
    lines = []
    for number, (words, spans) in enumerate(sentences):
        if number % 10 == 0:
            lines.append("-DOCSTART- O\n")
        tags = ["O"] * len(words)
        for start, end, kind in spans:
            tags[start:end] = [f"B-{kind}", *[f"I-{kind}"] * (end - start - 1)]
        lines.append("".join(f"{word} {tag}\n" for word, tag in zip(words, tags, strict=True)))
    return "\n".join(lines)


def make_world(folder: Path) -> Path:
    """Put `s.yaml`, the folder `corpus` and the backbone `bert` into `folder`; return it."""
    tiny_model("bert", folder / "bert")
    made = examples(100)
    (folder / "corpus").mkdir()
    for name, part in SPLITS.items():
        (folder / "corpus" / f"{name}.txt").write_text(conll(made[part]), encoding="utf-8")
    (folder / "s.yaml").write_text(SPACE, encoding="utf-8")
    return folder


def environment(**added: str) -> dict[str, str]:
    """Give this process's environment without what other tests put there, and with no network.

    Commands run the code of this very checkout, wherever the installed package is.
    """
    kept = {key: value for key, value in os.environ.items() if not key.startswith(FOREIGN)}
    return kept | {"HF_HUB_OFFLINE": "1", "PYTHONPATH": str(ROOT)} | added


def start(
    folder: Path,
    *arguments: str,
    module: str = "sweeps.run",
    env: Mapping[str, str] | None = None,
    within: Sequence[str] = (),
) -> subprocess.Popen[str]:
    """Start a command in `folder`, in a process group of its own, both outputs in pipes.

    `within` comes before it on the command line, for example to run it on another host.
    """
    return subprocess.Popen(
        [*within, sys.executable, "-m", module, *arguments],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**(environment() if env is None else env), MARK: str(folder)},
    )


@dataclass(frozen=True)
class Done:
    """A command that has ended; `seconds` is its whole time."""

    code: int
    out: str
    err: str
    seconds: float


def command(
    folder: Path,
    *arguments: str,
    module: str = "sweeps.run",
    env: Mapping[str, str] | None = None,
    limit: float = 400.0,
) -> Done:
    """Run a command to its end; end its process group if it needs more than `limit` seconds."""
    began = time.monotonic()
    with ended(start(folder, *arguments, module=module, env=env)) as process:
        out, err = process.communicate(timeout=limit)
    return Done(process.returncode, out, err, time.monotonic() - began)


@contextmanager
def ended(process: subprocess.Popen[str]) -> Iterator[subprocess.Popen[str]]:
    """Leave no process and no pipe behind, whatever happens in the block."""
    try:
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()


def seconds_to_first_byte(folder: Path, *arguments: str, module: str = "sweeps.run") -> float:
    """Measure how long a command is silent on both outputs, then interrupt it."""
    began = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        env=environment(),
    )
    assert process.stdout is not None
    first = process.stdout.read(1)
    seconds = time.monotonic() - began
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert first, "the command said nothing at all"
    return seconds


def check(world: Path, *overrides: str) -> Done:
    """Run `--check` of the world's file."""
    return command(world, "s.yaml", *overrides, "--check", limit=120)


def assert_refused(done: Done, world: Path, *said: str) -> None:
    """Exit 2, all of `said` in one message without a traceback, nothing left, nothing on stdout."""
    assert done.code == 2, done.err
    for part in said:
        assert part in done.err
    assert "Traceback" not in done.err
    assert done.out == ""
    assert [name for name in SILENT if (world / name).exists()] == []


def interrupted(
    folder: Path,
    *arguments: str,
    at: Callable[[str], bool],
    later: float = 0.0,
    module: str = "sweeps.run",
) -> Done:
    """Run a command and do what Ctrl-C does, `later` seconds after a line of stderr is `at` it.

    `seconds` of the result are counted from the interrupt.
    """
    with ended(start(folder, *arguments, module=module)) as process:
        assert process.stderr is not None
        lines: list[str] = []
        for line in process.stderr:
            lines.append(line)
            if at(line):
                break
        else:
            raise AssertionError(f"the line to interrupt at never came:\n{''.join(lines)}")
        time.sleep(later)
        began = time.monotonic()
        os.killpg(process.pid, signal.SIGINT)
        out, err = process.communicate(timeout=120)
    return Done(process.returncode, out, "".join(lines) + err, time.monotonic() - began)


@dataclass(frozen=True)
class Events:
    """What a ledger says, by trial."""

    started: list[str] = field(default_factory=list)
    ended: list[str] = field(default_factory=list)
    epochs: dict[str, list[int]] = field(default_factory=dict)
    winner: str = ""


def newest(folder: Path) -> Path:
    """Give the folder of the newest run of the sweep `small`."""
    return sorted((folder / "runs" / "small").iterdir())[-1]


def ledger(run: Path) -> Events:
    """Read the raw lines of a run's ledger."""
    events = Events()
    winner = ""
    for line in (run / "ledger.jsonl").read_text(encoding="utf-8").splitlines():
        event: dict[str, Any] = json.loads(line)
        if event["event"] == "started":
            events.started.append(event["trial"])
        elif event["event"] == "ended":
            events.ended.append(event["trial"])
        elif event["event"] == "epoch":
            events.epochs.setdefault(event["trial"], []).append(event["number"])
        elif event["event"] == "done":
            winner = event["winner"]
    return Events(events.started, events.ended, events.epochs, winner)


def processes_of(folder: Path) -> list[int]:
    """List the living processes that a command in `folder` started, however far below it."""
    mark = f"{MARK}={folder}".encode()
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            inherited = (place / "environ").read_bytes().split(b"\0")
        except OSError:
            continue
        if mark in inherited:
            found.append(int(place.name))
    return found
