"""A server under load while its champion changes, and while a replica is killed.

    python -m benchmarks.serving_chaos [--small] [--bundles FOLDER FOLDER]

32 connections that never retry, every answer compared with those of the versions that may answer.
First 60 s in which the champion is promoted twice and rolled back once; then 60 s on two replicas,
of which one is killed -9 three times.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from benchmarks._asking import Asked, Places, ask
from benchmarks._made import places, running, sentences, trained_bundle
from benchmarks._result import finish, machine
from tokcls.inference.predictor import Predictor
from tokcls.processes import below

CONNECTIONS = 32
BUDGET = {"failed": 0, "wrong": 0, "p99_seconds": 1.0, "late_failures": 0}
LATE_S = 1.0
NAME = "ner-chaos"
KILLS = (0.1, 0.4, 0.7)
Step = tuple[float, Callable[[], None]]  # when, as a share of the time, and what


def main(arguments: list[str]) -> int:
    """Run both; exit code 0 if all is within the budget."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--small", action="store_true", help="15 s each, keeps no result")
    parser.add_argument("--bundles", type=Path, nargs=2, help="two models; else they are trained")
    given = parser.parse_args(arguments)
    about, seconds = machine(), 15.0 if given.small else 60.0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        bundles = [path.resolve() for path in given.bundles or ()] or [
            trained_bundle(_made(folder / each), f"train.seed={each}") for each in "12"
        ]
        right = _right(bundles)
        for bundle in bundles:
            _promote(folder, str(bundle), "--name", NAME)
        swaps = _swaps(folder, right, seconds)
        kill = _kill(folder, right, seconds)
    measured = {"swaps": swaps, "kill": kill}
    passed = (
        swaps["failed"] == 0
        and swaps["wrong"] == kill["wrong"] == 0
        and swaps["p99_seconds"] <= BUDGET["p99_seconds"]
        and kill["late_failures"] == 0
        and kill["failed"] <= kill["killed"] * CONNECTIONS
        and kill["killed"] == len(KILLS)
        and sorted(swaps["versions"]) == ["1", "1", "2", "2"]
    )
    for kind, each in measured.items():
        print(f"{kind:8} {each}")
    result = {
        "name": "serving_chaos",
        "budget": BUDGET,
        "ours": measured,
        "connections": CONNECTIONS,
        "seconds": seconds,
        "pass": passed,
        "machine": about,
    }
    return finish(result, keep=not given.small)


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def _right(bundles: list[Path]) -> dict[str, Places]:
    """What each version answers to each text."""
    texts = sentences()
    found = [Predictor.from_bundle(bundle).predict_texts(texts) for bundle in bundles]
    return {
        text: [places([one.as_dict() for one in each]) for each in versions]
        for text, *versions in zip(texts, *found, strict=True)
    }


def _promote(folder: Path, *arguments: str) -> None:
    command = [sys.executable, "-m", "sweeps.promote", *arguments]
    subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)


def _swaps(folder: Path, right: Mapping[str, Places], seconds: float) -> dict[str, Any]:
    """Promote the first version, the second, and roll back, while all are asking."""
    versions: list[str] = []
    with running("sweeps.serve", f"models:/{NAME}@champion", "--port", "{port}", cwd=folder) as on:

        def step(*arguments: str) -> Callable[[], None]:
            return lambda: _promote(folder, *arguments)

        steps = [
            (0.1, step(f"models:/{NAME}/1")),
            (0.35, step(f"models:/{NAME}/2")),
            (0.6, step(f"models:/{NAME}", "--rollback")),
        ]
        asked = asyncio.run(_under_load(on.url, right, seconds, steps, versions))
    return _told(asked) | {"versions": versions}


def _kill(folder: Path, right: Mapping[str, Places], seconds: float) -> dict[str, Any]:
    """Kill one of two replicas again and again; each time another has come up by then."""
    arguments = (f"models:/{NAME}/1", "--port", "{port}", "--replicas", "2")
    killed: list[float] = []

    def kill() -> None:
        first, _ = _replicas(on.pid)
        os.kill(first, signal.SIGKILL)
        killed.append(time.monotonic())

    with running("sweeps.serve", *arguments, cwd=folder) as on:
        steps = [(share, kill) for share in KILLS]
        asked = asyncio.run(_under_load(on.url, right, seconds, steps, []))
    late = [
        at for at, _ in asked.failed if min((at - k for k in killed if k <= at), default=0) > LATE_S
    ]
    return _told(asked) | {"killed": len(killed), "late_failures": len(late)}


def _replicas(server: int) -> list[int]:
    """List the processes of a server's replicas."""
    titles = {pid: Path(f"/proc/{pid}/cmdline") for pid in below(server)}
    return [
        pid
        for pid, title in titles.items()
        if title.exists() and title.read_bytes().startswith(b"ray::ServeReplica")
    ]


async def _under_load(
    url: str,
    right: Mapping[str, Places],
    seconds: float,
    steps: list[Step],
    versions: list[str],
) -> Asked:
    """Ask for so long, and take each step when its time has come."""
    import aiohttp

    until, begun = asyncio.Event(), time.monotonic()
    asking = asyncio.create_task(ask(url, right, connections=CONNECTIONS, until=until))

    async def note_version() -> None:
        async with aiohttp.ClientSession() as session, session.get(f"{url}/model") as answer:
            versions.append((await answer.json())["version"])

    await note_version()
    for share, take in steps:
        await asyncio.sleep(max(0.0, begun + share * seconds - time.monotonic()))
        await asyncio.to_thread(take)
        await asyncio.sleep(min(10.0, 0.2 * seconds))  # the alias is looked up every five seconds
        await note_version()
    await asyncio.sleep(max(0.0, begun + seconds - time.monotonic()))
    until.set()
    return await asking


def _told(asked: Asked) -> dict[str, Any]:
    for _, what in asked.failed[:5]:
        print(f"failed: {what}", file=sys.stderr)
    return {
        "requests": len(asked.seconds),
        "per_second": round(len(asked.seconds) / asked.lasted, 1),
        "failed": len(asked.failed),
        "wrong": asked.wrong,
        "p50_seconds": round(asked.percentile(0.5), 3),
        "p99_seconds": round(asked.percentile(0.99), 3),
    }


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
