"""A run that this driver holds: no other writes to it, and its record is copied to its storage."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from sweeps.search.events import Listener
from sweeps.search.heartbeat import driving
from sweeps.search.ledger import NAME, History
from sweeps.search.ledger_copy import LedgerCopy
from sweeps.search.lock import held
from sweeps.search.place import Place, bring_ledger, new_run, newest_run
from sweeps.search.resume import reopen
from sweeps.space.space import SearchSpace


@dataclass(frozen=True)
class Opened:
    """Where a run is, what it was before, and who copies its ledger."""

    place: Place
    history: History | None
    copies: Sequence[Listener]


@contextmanager
def opened(
    space: SearchSpace, corpus: str, *, resume: bool, say: Callable[[str], None]
) -> Iterator[Opened]:
    """Hold a new run of `space`, or its newest; `corpus` is a fingerprint.

    Raises LedgerError if another driver holds it or takes it over, or it cannot be resumed.
    """
    place = newest_run(space) if resume else new_run(space)
    with held(place.folder), _kept_elsewhere(place, say) as copies:
        history = None
        if resume:
            for note in bring_ledger(place):
                say(f"note: {note}")
            history = reopen(place.folder, space=space.to_yaml(), corpus=corpus)
        yield Opened(place, history, copies)


@contextmanager
def _kept_elsewhere(place: Place, say: Callable[[str], None]) -> Iterator[list[Listener]]:
    """Be the one driver of the run's storage, and copy the ledger there, if it has one."""
    if place.stored is None:
        yield []
        return
    with driving(place.stored, say) as heartbeat:
        copy = LedgerCopy(place.folder / NAME, place.stored, allowed=heartbeat.ours)
        try:
            yield [copy]
        finally:
            copy.close()
