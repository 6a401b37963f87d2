"""Where a sweep's runs are: NAME/TIME in `output.folder`, and the same in `output.storage` if set.

The folder is the driver's own: ledger, logs, bundle. In the storage are the trials' files, and a
copy of the ledger, so that a run can go on from a machine that has no such folder.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sweeps.errors import LedgerError
from sweeps.search.ledger import NAME
from sweeps.search.storage import Folder, Storage, storage_at
from sweeps.space.space import SearchSpace


@dataclass(frozen=True)
class Place:
    """Where a run is: the driver's own folder, and the storage, if that is elsewhere."""

    folder: Path
    stored: Storage | None

    @property
    def storage(self) -> Storage:
        """Where trials keep their files."""
        return self.stored or storage_at(self.folder)

    @property
    def where(self) -> str | None:
        """The storage as a ledger's first line has it; None: the run's own folder."""
        return str(self.stored) if self.stored else None

    def is_own(self, storage: Storage) -> bool:
        """Whether a storage is the driver's own folder, by whatever name; both must be there."""
        return isinstance(storage, Folder) and self.folder.samefile(storage.root)


def new_run(space: SearchSpace) -> Place:
    """Choose a place for a run that starts now."""
    return _places(space, time.strftime("%Y-%m-%dT%H-%M-%S"))


def newest_run(space: SearchSpace) -> Place:
    """Find the newest run of a sweep, here or in its storage.

    Raises LedgerError if there is none, or if the storage cannot be used.
    """
    top = _places(space, "")
    try:
        runs = [
            name
            for place in filter(None, (storage_at(top.folder), top.stored))
            for name in place.folders()
            if NAME in place.below(name)
        ]
    except OSError as error:
        raise LedgerError(f"output.storage: {top.stored} cannot be used: {error}") from error
    if not runs:
        where = " or ".join(str(place) for place in (top.folder, top.stored) if place)
        raise LedgerError(f"nothing to resume: {where} holds no sweep; run without --resume")
    return _places(space, max(runs))


def _places(space: SearchSpace, run: str) -> Place:
    output = space.sweep.output
    folder = Path(output.folder).expanduser().resolve() / space.name / run
    stored = storage_at(output.storage).below(space.name, run) if output.storage else None
    return Place(folder, stored)


def bring_ledger(place: Place) -> list[str]:
    """Fetch the ledger's copy if it knows more than the ledger here; returns what was done.

    Of two that parted, the one that is not believed is kept beside it. Raises LedgerError if the
    run's files are not where `output.storage` is now.
    """
    here = place.folder / NAME
    ours = here.read_bytes() if here.is_file() else b""
    try:
        copy = (place.stored.read(NAME) if place.stored else None) or b""
    except OSError as error:
        raise LedgerError(f"output.storage: {place.stored} cannot be used: {error}") from error
    then, now = _first_line(ours).get("storage"), place.where
    if then != now and not copy:
        raise LedgerError(
            f"{place.folder} cannot be resumed: its files were in {then or 'this folder'}, and "
            f"output.storage now asks for {now or 'this folder'}; put it back, or run without "
            "--resume"
        )
    known, told = _whole(ours), _whole(copy)
    if known.startswith(told):
        return [f"the copy in {place.stored} is older than {here}"] if copy != ours and copy else []
    parted = not told.startswith(known)
    if parted and _knowledge(told) <= _knowledge(known):
        return [f"the copy in {place.stored} parted from {here}, and {_set_aside(place, copy)}"]
    notes = [f"going on from the ledger's copy in {place.stored}"]
    if parted:
        notes += [f"the ledger here parted from it, and {_set_aside(place, ours)}"]
    storage_at(place.folder).write(NAME, lambda path: path.write_bytes(copy))
    return notes


def _set_aside(place: Place, ledger: bytes) -> str:
    name = f"{NAME}.{time.strftime('%Y-%m-%dT%H-%M-%S')}"
    storage_at(place.folder).write(name, lambda path: path.write_bytes(ledger))
    return f"is older: kept as {name}"


def _whole(ledger: bytes) -> bytes:
    """Leave out what a kill left of a last line."""
    return ledger[: ledger.rfind(b"\n") + 1]


def _knowledge(ledger: bytes) -> tuple[int, float]:
    """Rank a record: sessions first, since the clocks of two machines may differ, then its end."""
    try:
        events = [json.loads(line) for line in ledger.splitlines()]
        sessions = sum(event["event"] == "session" for event in events)
        return sessions, float(events[-1]["time"])
    except (IndexError, ValueError, KeyError, TypeError):
        return 0, 0.0  # what is wrong with it is told when it is read


def _first_line(ledger: bytes) -> dict[str, Any]:
    try:
        header = json.loads(ledger.partition(b"\n")[0])
    except ValueError:
        return {}
    return header if isinstance(header, dict) else {}
