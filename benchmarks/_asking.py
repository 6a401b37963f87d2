"""A client that counts and checks every answer: so many connections, no retries, one thread."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from benchmarks._made import places

GIVE_UP_S = 20.0
Answers = Mapping[str, list[tuple[str, int, int]]]
"""what each version of a model answers"""


@dataclass
class Asked:
    """What came of asking, `lasted` seconds: latencies, and when (monotonic) and how it failed."""

    seconds: list[float] = field(default_factory=list)
    failed: list[tuple[float, str]] = field(default_factory=list)
    wrong: int = 0
    lasted: float = 0.0

    def percentile(self, share: float) -> float:
        """Give the latency in seconds that so much of the requests did not exceed."""
        ordered = sorted(self.seconds)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


async def ask(
    url: str,
    right: Mapping[str, Answers],
    *,
    current: Set[str],
    connections: int,
    until: asyncio.Event,
) -> Asked:
    """Ask for the entities of texts in turn until told; `right` are the answers to each.

    `current` are the versions that may answer; it may change meanwhile, and for a request those
    count that were current when it began or when it ended.
    """
    asked, texts, begun = Asked(), list(right), time.monotonic()
    limit = aiohttp.TCPConnector(limit=connections)
    patience = aiohttp.ClientTimeout(total=GIVE_UP_S)
    async with aiohttp.ClientSession(connector=limit, timeout=patience) as session:
        clients = (
            _client(session, url, right, current, texts[number:] + texts[:number], asked, until)
            for number in range(0, 7 * connections, 7)
        )
        await asyncio.gather(*clients)
    asked.lasted = time.monotonic() - begun
    return asked


async def _client(
    session: aiohttp.ClientSession,
    url: str,
    right: Mapping[str, Answers],
    current: Set[str],
    texts: Sequence[str],
    asked: Asked,
    until: asyncio.Event,
) -> None:
    while True:
        for text in texts:
            if until.is_set():
                return
            begun, may_answer = time.monotonic(), {*current}
            try:
                found = await _answer(session, url, text)
            except (aiohttp.ClientError, OSError, TimeoutError) as error:
                asked.failed.append((time.monotonic(), f"{type(error).__name__}: {error}"))
                continue
            asked.seconds.append(time.monotonic() - begun)
            may_answer |= current
            asked.wrong += places(found) not in [right[text][version] for version in may_answer]


async def _answer(session: aiohttp.ClientSession, url: str, text: str) -> list[dict[str, Any]]:
    async with session.post(f"{url}/predict", json={"inputs": text}) as answer:
        if answer.status != 200:
            raise aiohttp.ClientError(f"{answer.status} {(await answer.text())[:200]}")
        found: list[dict[str, Any]] = await answer.json()
        return found
