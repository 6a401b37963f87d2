"""A run that this driver holds: no other writes to it, and its record is copied to its storage."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from sweeps.search.events import Listener
from sweeps.search.heartbeat import driving
from sweeps.search.ledger import NAME, History
from sweeps.search.ledger_copy import LedgerCopy
from sweeps.search.lock import NAME as LOCK
from sweeps.search.lock import held
from sweeps.search.place import Place, bring_ledger, new_run, newest_run
from sweeps.search.resume import reopen
from sweeps.space.space import SearchSpace


def _nobody() -> bool:
    return False


@dataclass(frozen=True)
class _Kept:
    copies: Sequence[Listener] = ()
    followed: Callable[[], bool] = _nobody


@dataclass(frozen=True)
class Opened:
    """Where a run is, what it was before, who copies its ledger, and whether this driver was
    followed by another, to whom all that the run has then belongs."""

    place: Place
    history: History | None
    copies: Sequence[Listener] = ()
    followed: Callable[[], bool] = _nobody


@contextmanager
def opened(
    space: SearchSpace, corpus: str, *, resume: bool, say: Callable[[str], None]
) -> Iterator[Opened]:
    """Hold a new run of `space`, or its newest; `corpus` is a fingerprint.

    Raises LedgerError if another driver holds it or takes it over, or it cannot be resumed.
    """
    place = newest_run(space) if resume else new_run(space)
    with held(place.folder), _none_left(place.folder), _kept_elsewhere(place, say) as kept:
        history = None
        if resume:
            for note in bring_ledger(place):
                say(f"note: {note}")
            history = reopen(place.folder, space=space.to_yaml(), corpus=corpus)
        yield Opened(place, history, kept.copies, kept.followed)


@contextmanager
def _none_left(folder: Path) -> Iterator[None]:
    """Remove the run's folder if nothing but the lock came to be in it."""
    try:
        yield
    finally:
        if [path.name for path in folder.glob("*")] == [LOCK]:
            (folder / LOCK).unlink()
            with suppress(OSError):
                folder.rmdir()


@contextmanager
def _kept_elsewhere(place: Place, say: Callable[[str], None]) -> Iterator[_Kept]:
    """Be the one driver of the run's storage, and copy the ledger there, if it has one.

    A storage that is the run's own folder has the ledger itself.
    """
    if place.stored is None:
        yield _Kept()
        return
    with driving(place.stored, say) as heartbeat:

        def followed() -> bool:
            return bool(heartbeat.lost)

        if place.is_own(place.stored):
            yield _Kept(followed=followed)
            return
        copy = LedgerCopy(place.folder / NAME, place.stored, allowed=heartbeat.ours)
        try:
            yield _Kept([copy], followed)
        finally:
            copy.close()
