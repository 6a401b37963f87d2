"""What a slot and its workers say to each other, without Ray: the class behind the actor."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from sweeps.search.mailbox import LOST, Assignment, Epoch, Failure, Mailbox, Verdict
from sweeps.search.storage import storage_at
from tests.sweeps.search.made_trials import make_space
from tokcls.model.backbones import Backbone

Give = Callable[..., Assignment]
PATIENCE = 0.02  # seconds after which a call counts as one that waits


@pytest.fixture
def assignment(tmp_path: Path) -> Give:
    config = make_space(tmp_path).trial({"train.learning_rate": 1e-4})
    no_data: Any = None

    def give(trial_id: str = "t001", reported: int = 0) -> Assignment:
        backbone = Backbone("b", tmp_path)
        return Assignment(trial_id, config, backbone, no_data, storage_at(tmp_path), reported)

    return give


def run(conversation: Coroutine[Any, Any, None]) -> None:
    async def limited() -> None:
        await asyncio.wait_for(conversation, timeout=10)

    asyncio.run(limited())


async def waits(call: Awaitable[Any]) -> bool:
    """Tell whether a call has no answer yet; it is given up."""
    try:
        await asyncio.wait_for(call, timeout=PATIENCE)
    except TimeoutError:
        return True
    return False


def test_a_worker_that_waits_gets_the_next_assignment(assignment: Give) -> None:
    async def talk() -> None:
        mailbox = Mailbox()
        worker = asyncio.create_task(mailbox.next_assignment(0))
        assert await waits(asyncio.shield(worker))
        await mailbox.assign(assignment("t007"))
        given = await worker
        assert given is not None
        sequence, got = given
        assert got.trial_id == "t007"
        assert await waits(mailbox.next_assignment(sequence))

    run(talk())


def test_a_restarted_worker_gets_its_trial_again_with_what_was_reported(assignment: Give) -> None:
    async def talk() -> None:
        mailbox = Mailbox()
        await mailbox.assign(assignment(reported=1))
        first = await mailbox.next_assignment(0)
        assert first is not None
        await mailbox.post(first[0], Epoch(2, {"val_f1": 0.5}))
        again = await mailbox.next_assignment(0)
        assert again is not None
        assert again[0] == first[0]
        assert (first[1].reported, again[1].reported) == (1, 2)

    run(talk())


def test_the_epoch_after_a_worker_was_lost_says_so(assignment: Give) -> None:
    async def talk() -> None:
        mailbox = Mailbox()
        await mailbox.assign(assignment())
        for rank in (0, 1):  # a group of two, once
            await mailbox.next_assignment(0, rank)
        await mailbox.post(1, Epoch(1, {}))
        assert await mailbox.next_event() == Epoch(1, {})
        for rank in (1, 0):  # and its successor
            await mailbox.next_assignment(0, rank)
        await mailbox.post(1, Epoch(2, {}, note="a disk is full"))
        await mailbox.post(1, Epoch(3, {}))
        assert (await mailbox.next_event()).note == f"{LOST}; a disk is full"
        assert await mailbox.next_event() == Epoch(3, {})
        await mailbox.assign(assignment("t002"))
        assert await mailbox.next_assignment(1) is not None
        await mailbox.post(2, Epoch(1, {}))
        assert await mailbox.next_event() == Epoch(1, {})

    run(talk())


def test_an_epoch_that_is_reported_twice_is_heard_once(assignment: Give) -> None:
    async def talk() -> None:
        mailbox = Mailbox()
        await mailbox.assign(assignment(reported=1))
        await mailbox.post(1, Epoch(1, {}))
        await mailbox.post(1, Epoch(2, {}))
        await mailbox.post(1, Epoch(2, {}))
        assert await mailbox.next_event() == Epoch(2, {})
        assert await waits(mailbox.next_event())

    run(talk())


def test_reports_on_a_trial_that_is_over_are_dropped(assignment: Give) -> None:
    async def talk() -> None:
        mailbox = Mailbox()
        await mailbox.assign(assignment("t001"))
        await mailbox.assign(assignment("t002"))
        await mailbox.post(1, Epoch(1, {"val_f1": 0.1}))
        await mailbox.post(1, Failure("late"))
        await mailbox.post(2, Epoch(1, {"val_f1": 0.2}))
        assert await mailbox.next_event() == Epoch(1, {"val_f1": 0.2})
        assert await waits(mailbox.next_event())

    run(talk())


def test_events_that_nobody_took_do_not_reach_the_next_trial(assignment: Give) -> None:
    async def talk() -> None:
        mailbox = Mailbox()
        await mailbox.assign(assignment("t001"))
        await mailbox.post(1, Epoch(1, {}))
        await mailbox.assign(assignment("t002"))
        assert await waits(mailbox.next_event())

    run(talk())


@pytest.mark.parametrize("decided", [Verdict.CONTINUE, Verdict.STOP])
def test_a_worker_waits_for_the_verdict_on_its_epoch(assignment: Give, decided: Verdict) -> None:
    async def talk() -> None:
        mailbox = Mailbox()
        await mailbox.assign(assignment())
        await mailbox.decide(1, Verdict.CONTINUE)
        ranks = [asyncio.create_task(mailbox.verdict(1, 2)) for _ in range(2)]
        assert await waits(asyncio.shield(ranks[0]))
        await mailbox.decide(2, decided)
        assert await asyncio.gather(*ranks) == [decided, decided]

    run(talk())


def test_a_resumed_trial_goes_on_after_the_epochs_that_were_decided(assignment: Give) -> None:
    async def talk() -> None:
        mailbox = Mailbox()
        await mailbox.assign(assignment(reported=2))
        assert await mailbox.verdict(1, 2) is Verdict.CONTINUE
        assert await waits(mailbox.verdict(1, 3))

    run(talk())


def test_a_stopped_trial_is_not_given_to_anyone_again(assignment: Give) -> None:
    async def talk() -> None:
        mailbox = Mailbox()
        await mailbox.assign(assignment())
        await mailbox.decide(1, Verdict.STOP)
        assert await waits(mailbox.next_assignment(0))
        await mailbox.post(1, Epoch(2, {}))
        assert await waits(mailbox.next_event())

    run(talk())


def test_a_rank_that_comes_late_is_told_to_stop_when_the_next_trial_is_there(
    assignment: Give,
) -> None:
    async def talk() -> None:
        mailbox = Mailbox()
        await mailbox.assign(assignment("t001"))
        late = asyncio.create_task(mailbox.verdict(1, 1))
        assert await waits(asyncio.shield(late))
        await mailbox.assign(assignment("t002"))
        assert await late is Verdict.STOP

    run(talk())


def test_a_failure_is_told_once_and_clears_the_assignment(assignment: Give) -> None:
    async def talk() -> None:
        mailbox = Mailbox()
        await mailbox.assign(assignment())
        await mailbox.post(1, Failure("rank 0: out of memory"))
        await mailbox.post(1, Failure("rank 1: connection lost"))
        assert await mailbox.next_event() == Failure("rank 0: out of memory")
        assert await waits(mailbox.next_event())
        assert await waits(mailbox.next_assignment(0))

    run(talk())


def test_closing_releases_everyone_who_waits(assignment: Give) -> None:
    async def talk() -> None:
        mailbox = Mailbox()
        await mailbox.assign(assignment())
        idle = asyncio.create_task(mailbox.next_assignment(1))
        ranks = [asyncio.create_task(mailbox.verdict(1, 1)) for _ in range(2)]
        assert await waits(asyncio.shield(idle))
        await mailbox.close()
        assert await idle is None
        assert await asyncio.gather(*ranks) == [Verdict.CLOSED, Verdict.CLOSED]

    run(talk())


def test_a_closed_mailbox_hands_out_nothing_but_keeps_what_was_decided(assignment: Give) -> None:
    async def talk() -> None:
        mailbox = Mailbox()
        await mailbox.assign(assignment())
        await mailbox.decide(1, Verdict.STOP)
        await mailbox.close()
        assert await mailbox.next_assignment(0) is None
        assert await mailbox.verdict(1, 1) is Verdict.STOP

    run(talk())


def test_a_trial_opens_a_closed_mailbox_for_workers_that_have_not_asked(assignment: Give) -> None:
    async def talk() -> None:
        mailbox = Mailbox()
        await mailbox.close()
        assert await mailbox.next_assignment(0) is None
        await mailbox.assign(assignment())
        given = await mailbox.next_assignment(0)
        assert given is not None
        assert given[1].trial_id == "t001"

    run(talk())
