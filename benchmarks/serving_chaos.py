"""A server under load while its champion changes, and while a replica is killed.

    python -m benchmarks.serving_chaos [--small] [--bundles FOLDER FOLDER]

32 connections that never retry, every answer compared with those of the versions that may answer.
First 60 s in which the champion is promoted twice and rolled back once: both versions may answer
from then until a little after `GET /model` shows the new one. Then 60 s on two replicas, of which
one is killed -9 three times.
"""

from __future__ import annotations

import argparse
import asyncio
import math
import os
import signal
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence, Set
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks._asking import Answers, Asked, ask
from benchmarks._made import (
    await_replicas,
    places,
    promote,
    running,
    sentences,
    trained_bundle,
)
from benchmarks._result import finish, machine
from tokcls.inference.predictor import Predictor

CONNECTIONS = 32
BUDGET = {"failed": 0, "wrong": 0, "p99_seconds": 1.0, "late_failures": 0}
LATE_S = 1.0
SWAPPED_WITHIN_S, GRACE_S = 30.0, 3.0
NAME = "ner-chaos"
KILLS = (0.1, 0.4, 0.7)
Right = Mapping[str, Answers]
Step = tuple[float, Callable[[], Awaitable[None]]]  # when, as a share of the time, and what


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
            promote(folder, str(bundle), "--name", NAME)
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
        and swaps["versions"] == ["1", "2", "1"]
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


def _right(bundles: list[Path]) -> Right:
    """What each version, numbered from 1, answers to each text."""
    texts = sentences()
    found = [Predictor.from_bundle(bundle).predict_texts(texts) for bundle in bundles]
    return {
        text: {
            str(number): places([one.as_dict() for one in each])
            for number, each in enumerate(versions, 1)
        }
        for text, *versions in zip(texts, *found, strict=True)
    }


def _swaps(folder: Path, right: Right, seconds: float) -> dict[str, Any]:
    """Promote the first version, the second, and roll back, while all are asking."""
    champion = f"models:/{NAME}@champion"
    current, versions = {"2"}, list[str]()

    async def swap(url: str, to: str, *arguments: str) -> None:
        take = partial(promote, folder, *arguments)
        versions.append(await swapped(url, to, take, current))

    with running("sweeps.serve", champion, "--port", "{port}", cwd=folder) as on:
        steps: list[Step] = [
            (0.1, partial(swap, on.url, "1", f"models:/{NAME}/1")),
            (0.35, partial(swap, on.url, "2", f"models:/{NAME}/2")),
            (0.6, partial(swap, on.url, "1", f"models:/{NAME}", "--rollback")),
        ]
        asked = asyncio.run(_under_load(on.url, right, current, seconds, steps))
    return _told(asked) | {"versions": versions}


async def swapped(
    url: str, to: str, take: Callable[[], None], current: set[str], *, grace: float = GRACE_S
) -> str:
    """Change the champion, and keep in `current` who may answer; gives the version shown last."""
    current.add(to)
    await asyncio.to_thread(take)
    until = time.monotonic() + SWAPPED_WITHIN_S
    while (shown := await _version(url)) != to and time.monotonic() < until:
        await asyncio.sleep(0.2)
    await asyncio.sleep(grace)  # what the one before had begun is answered
    if shown == to:
        current.intersection_update({to})
    return shown


async def _version(url: str) -> str:
    import aiohttp

    async with aiohttp.ClientSession() as session, session.get(f"{url}/model") as answer:
        return str((await answer.json())["version"])


def _kill(folder: Path, right: Right, seconds: float) -> dict[str, Any]:
    """Kill one of two replicas again and again; each time another has come up by then."""
    arguments = (f"models:/{NAME}/1", "--port", "{port}", "--replicas", "2")
    killed: list[float] = []

    async def kill() -> None:
        first, _ = await asyncio.to_thread(await_replicas, on.pid, 2)
        os.kill(first, signal.SIGKILL)
        killed.append(time.monotonic())

    with running("sweeps.serve", *arguments, cwd=folder) as on:
        steps = [(share, kill) for share in KILLS]
        asked = asyncio.run(_under_load(on.url, right, {"1"}, seconds, steps))
    return _told(asked) | {"killed": len(killed), "late_failures": late_failures(asked, killed)}


def late_failures(asked: Asked, killed: Sequence[float]) -> int:
    """Count the failures that no kill of the second before can excuse."""
    return sum(
        min((at - kill for kill in killed if kill <= at), default=math.inf) > LATE_S
        for at, _ in asked.failed
    )


async def _under_load(
    url: str, right: Right, current: Set[str], seconds: float, steps: Sequence[Step]
) -> Asked:
    """Ask for so long, and take each step when its time has come."""
    until, begun = asyncio.Event(), time.monotonic()
    asking = asyncio.create_task(
        ask(url, right, current=current, connections=CONNECTIONS, until=until)
    )
    for share, take in steps:
        await asyncio.sleep(max(0.0, begun + share * seconds - time.monotonic()))
        await take()
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
