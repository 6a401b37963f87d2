"""`python -m sweeps.serve --replicas 2` goes on when a replica is killed while many are asking."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from pathlib import Path

import pytest

from benchmarks._asking import Answers, Asked, ask
from benchmarks._made import await_replicas, places
from benchmarks.serving_chaos import late_failures
from tests.tiny import examples
from tests.tokcls.inference.made import RunningServer, make_bundle, served
from tokcls.inference.predictor import Predictor

CONNECTIONS, BEFORE_S, AFTER_S = 8, 4.0, 8.0


def answers(bundle: Path) -> dict[str, Answers]:
    """Give what the one version answers to each text."""
    texts = [" ".join(words) for words, _ in examples(60)]
    found = Predictor.from_bundle(bundle, threads=1).predict_texts(texts)
    return {
        text: {"1": places([one.as_dict() for one in each])}
        for text, each in zip(texts, found, strict=True)
    }


async def under_load(on: RunningServer, right: dict[str, Answers]) -> tuple[Asked, float]:
    """Ask, and kill one of two replicas; also gives when that was."""
    until = asyncio.Event()
    asking = asyncio.create_task(
        ask(on.url, right, current={"1"}, connections=CONNECTIONS, until=until)
    )
    await asyncio.sleep(BEFORE_S)
    first, _ = await asyncio.to_thread(await_replicas, on.pid, 2)
    os.kill(first, signal.SIGKILL)
    killed = time.monotonic()
    await asyncio.sleep(AFTER_S)
    until.set()
    return await asking, killed


@pytest.mark.alone
def test_a_killed_replica_costs_at_most_what_was_in_flight_and_no_answer_is_wrong(
    tmp_path: Path,
) -> None:
    bundle = make_bundle(tmp_path / "made")
    with served(bundle, tmp_path, "--replicas", "2") as on:
        asked, killed = asyncio.run(under_load(on, answers(bundle)))
    assert asked.wrong == 0
    assert len(asked.failed) <= CONNECTIONS, asked.failed
    assert late_failures(asked, [killed]) == 0, asked.failed
    # The other one answers as it did.
    assert len(asked.seconds) > 10 * CONNECTIONS
    assert asked.percentile(0.99) < 5.0
