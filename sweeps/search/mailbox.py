"""What a slot and its workers say to each other: assignments one way, epochs and failures back.

Workers never wait inside a torch collective for Tune's decision; they wait here, so that nothing
times out while a slot is idle, and a group that was replaced finds the trial it lost.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from sweeps.search.storage import Storage
from tokcls.config import TrialConfig
from tokcls.data.prepared import Prepared
from tokcls.model.backbones import Backbone


class Verdict(StrEnum):
    """What becomes of a trial after an epoch. CLOSED: the slot goes, the trial may be resumed."""

    CONTINUE = "continue"
    STOP = "stop"
    CLOSED = "closed"


@dataclass(frozen=True)
class Assignment:
    """One trial to train: `data` refers to a `Prepared`; Tune knows `reported` epochs already."""

    trial_id: str
    config: TrialConfig
    backbone: Backbone
    data: ray.ObjectRef[Prepared]
    folder: Storage
    reported: int = 0


@dataclass(frozen=True)
class Epoch:
    """One scored epoch (counted from 1), and when it was heard of (seconds since 1970).

    `note` says what of it, or before it, was not saved.
    """

    number: int
    metrics: dict[str, float] = field(default_factory=dict)
    at: float = field(default_factory=time.time, compare=False)
    note: str = ""


@dataclass(frozen=True)
class Failure:
    """The trial cannot be trained as it was; `reason` is one line for people."""

    reason: str
    out_of_memory: bool = False


Event = Epoch | Failure


LOST = "a worker was lost, and the group was built again"


class Mailbox:
    """Lives in an actor of its own, so that it outlives any worker."""

    def __init__(self) -> None:
        self._changed = asyncio.Condition()
        self._assignment: Assignment | None = None
        self._sequence = self._taken = 0
        self._lost = False
        self._events: asyncio.Queue[Event] = asyncio.Queue()
        self._decided: tuple[int, Verdict] = (0, Verdict.CONTINUE)
        self._closed = False

    async def assign(self, assignment: Assignment) -> None:
        """Give the workers a trial; what is left of the one before is forgotten.

        Opens the mailbox again for workers that were to go, but have not asked yet.
        """
        async with self._changed:
            self._closed = False
            self._sequence += 1
            self._lost = False
            self._assignment = assignment
            self._events = asyncio.Queue()
            self._decided = (assignment.reported, Verdict.CONTINUE)
            self._changed.notify_all()

    async def next_assignment(self, after: int, rank: int = 0) -> tuple[int, Assignment] | None:
        """Wait for an assignment newer than `after`; None means that the slot closes.

        The first worker asks for the same one again only where the group had to be built again.
        """
        async with self._changed:
            await self._changed.wait_for(
                lambda: self._closed or (self._assignment and self._sequence > after)
            )
            if self._closed or self._assignment is None:
                return None
            if rank == 0:
                self._lost = self._lost or self._taken == self._sequence
                self._taken = self._sequence
            return self._sequence, self._assignment

    async def post(self, sequence: int, event: Event) -> None:
        """Take what a worker reports; a report on a trial that is over is dropped."""
        async with self._changed:
            if sequence != self._sequence or self._assignment is None:
                return
            if isinstance(event, Epoch):
                if event.number <= self._assignment.reported:
                    return
                self._assignment = replace(self._assignment, reported=event.number)
                if self._lost:
                    event = replace(event, note="; ".join(filter(None, (LOST, event.note))))
                    self._lost = False
            else:
                self._assignment = None
            await self._events.put(event)

    async def verdict(self, sequence: int, epoch: int) -> Verdict:
        """Wait until it is decided whether the trial goes on after `epoch`."""
        async with self._changed:
            await self._changed.wait_for(
                lambda: self._closed or sequence != self._sequence or self._decided[0] >= epoch
            )
            if sequence != self._sequence:
                return Verdict.STOP
            if self._decided[0] >= epoch:
                return self._decided[1]
            return Verdict.CLOSED

    async def next_event(self) -> Event:
        """Wait for what the workers report next."""
        return await self._events.get()

    async def decide(self, epoch: int, verdict: Verdict) -> None:
        """Let the trial go on after `epoch`, or end it."""
        async with self._changed:
            self._decided = (epoch, verdict)
            if verdict is Verdict.STOP:
                self._assignment = None
            self._changed.notify_all()

    async def close(self) -> None:
        """Send the workers home."""
        async with self._changed:
            self._closed = True
            self._changed.notify_all()


def start_mailbox() -> Any:
    """Start a mailbox actor that takes no CPU from the trials, on this node: only workers roam."""
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    mailbox = ray.remote(num_cpus=0)(Mailbox)
    return mailbox.options(max_concurrency=64, scheduling_strategy=here).remote()
