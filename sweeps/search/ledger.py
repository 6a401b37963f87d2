"""The sweep's own record: append-only JSON lines, one event a line, flushed before anything else.

{"event": "sweep", "version": 3, "name": ..., "space": ..., "corpus": ..., "sweep_id": ...}
{"event": "started", "trial": "t001", "values": {...}, "config": {...}, "config_hash": ..., ...}
{"event": "epoch", "trial": "t001", "number": 1, "metrics": {...}}    and a note, if it has one
{"event": "retried", "trial": "t001", "reason": ..., "batches_cut_into": 2}
{"event": "ended", "trial": "t001", "state": "finished", "reason": ""}
{"event": "bundled", "winner": "t001", "bundle": ..., "metrics": {...}}
{"event": "registered", "name": ..., "version": ..., "champion": true, "why": ...}
{"event": "done", "winner": "t001", "bundle": ...}
{"event": "tracked"}                  MLflow has all of it
{"event": "session", "space": ...}    a resume, maybe with another file: not done any more
"""

from __future__ import annotations

import errno
import json
import logging
import os
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sweeps.errors import LedgerError
from sweeps.search.events import Retry, State, Trial
from sweeps.search.mailbox import Epoch
from sweeps.stop import interrupted_at_once

VERSION = 3
READABLE = (1, 2, 3)  # version 1 knew no sessions, version 2 only one attempt to write to MLflow
NAME = "ledger.jsonl"
AFTER = ("bundled", "registered", "done", "tracked")
AGAIN_S = 2.0
PASSING = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # somebody may make room

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class History:
    """What a ledger tells: the sweep's first line, and its trials in the order they started.

    `space` is the file of the last session, `after` what came of it when its trials were over.
    """

    folder: Path
    header: dict[str, Any]
    trials: list[Trial]
    space: str
    after: dict[str, dict[str, Any]]

    @property
    def run_id(self) -> str:
        """The sweep's own run in MLflow, where that was known when the ledger was begun."""
        return str(self.header.get("run_id", ""))

    @property
    def sweep_id(self) -> str:
        """The tag that the sweep's own run has in MLflow."""
        return str(self.header.get("sweep_id", ""))

    @property
    def done(self) -> bool:
        return "done" in self.after

    @property
    def tracked(self) -> bool:
        """Whether nothing is known to be missing in MLflow."""
        return "tracked" in self.after or (self.done and self.header["version"] < 3)


class Ledger:
    """Appends events to a file; a listener of the sweep."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / NAME
        self._drop_torn_line()

    def _drop_torn_line(self) -> None:
        """Cut off what a kill left of a line, so that the next event starts on its own."""
        if not self.path.is_file():
            return
        whole = self.path.read_bytes()
        end = whole.rfind(b"\n") + 1
        if end != len(whole):
            with self.path.open("rb+") as file:
                file.truncate(end)
                os.fsync(file.fileno())

    def write(self, event: str, *, at: float | None = None, **fields: Any) -> float:
        """Append one event, now or `at` (seconds since 1970), which is returned; then on disk.

        A full disk is waited for: an event that is not written may be a trial that is lost. While
        it waits, KeyboardInterrupt is raised at the first Ctrl-C.
        """
        moment = round(time.time() if at is None else at, 3)
        line = json.dumps({"event": event, **fields, "time": moment})
        said = False
        while (error := self._append(f"{line}\n".encode())) is not None:
            if not said:
                logger.warning(
                    "%s cannot be written, the sweep waits (Ctrl-C ends it): %s", self.path, error
                )
            said = True
            with interrupted_at_once():
                time.sleep(AGAIN_S)
        return moment

    def _append(self, line: bytes) -> OSError | None:
        """Write a line whole or not at all; returns an error that may pass."""
        size = self.path.stat().st_size if self.path.exists() else 0
        try:
            with self.path.open("ab") as file:
                file.write(line)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            with suppress(OSError):
                os.truncate(self.path, size)
            if error.errno not in PASSING:
                raise
            return error
        return None

    def open_sweep(self, **header: Any) -> None:
        """Write the first line."""
        self.write("sweep", version=VERSION, **header)

    def open_session(self, **fields: Any) -> None:
        """Say that the sweep goes on, and with which file."""
        self.write("session", **fields)

    def started(self, trial: Trial) -> None:
        self.write(
            "started",
            trial=trial.trial_id,
            values=dict(trial.values),
            config=dict(trial.config),
            config_hash=trial.config_hash,
        )

    def epoch(self, trial: Trial, epoch: Epoch) -> None:
        note = {"note": epoch.note} if epoch.note else {}
        what = {"trial": trial.trial_id, "number": epoch.number, "metrics": epoch.metrics}
        self.write("epoch", at=epoch.at, **what, **note)

    def retried(self, trial: Trial, retry: Retry) -> None:
        self.write(
            "retried", trial=trial.trial_id, reason=retry.reason, batches_cut_into=retry.division
        )

    def ended(self, trial: Trial) -> None:
        self.write(
            "ended",
            at=trial.ended_at,
            trial=trial.trial_id,
            state=trial.state.value,
            reason=trial.reason,
        )


def read_ledger(folder: Path) -> History:
    """Read a sweep's record; a torn last line is what a kill leaves, and is passed over.

    Raises LedgerError if the file is missing, is no ledger, or is of a newer version.
    """
    path = folder / NAME
    if not path.is_file():
        raise LedgerError(f"{path} does not exist: {folder} is no sweep's folder")
    lines = path.read_bytes().split(b"\n")
    trials: dict[str, Trial] = {}
    header: dict[str, Any] = {}
    space = ""
    after: dict[str, dict[str, Any]] = {}
    for number, line in enumerate(lines[:-1], 1):
        try:
            event = json.loads(line)
            if event["event"] == "sweep":
                header, space = event, event.get("space", "")
                _check_version(path, header)
            elif event["event"] == "session":
                space, after = event["space"], {}
            elif event["event"] in AFTER:
                after[event["event"]] = event
            else:
                _apply(event, trials)
        except (ValueError, KeyError, TypeError) as error:
            raise LedgerError(
                f"{path}:{number}: not a ledger's line ({error}); put back the copy in "
                "output.storage, or begin anew without --resume"
            ) from error
    _check_version(path, header)
    return History(folder, header, list(trials.values()), space, after)


def _check_version(path: Path, header: dict[str, Any]) -> None:
    if header.get("version") not in READABLE:
        raise LedgerError(
            f"{path}: version {header.get('version')!r}, this program reads up to version "
            f"{VERSION}; go on with the program that wrote it, or begin anew without --resume"
        )


def _apply(event: dict[str, Any], trials: dict[str, Trial]) -> None:
    trial_id = event["trial"]
    if event["event"] == "started":
        if trial_id not in trials:  # a trial that is resumed keeps the epochs it has
            trials[trial_id] = Trial(
                trial_id=trial_id,
                values=event["values"],
                config=event["config"],
                config_hash=event["config_hash"],
                started_at=event["time"],
            )
        return
    trial = trials[trial_id]
    if event["event"] == "epoch":
        note = event.get("note", "")
        trial.epochs.append(Epoch(event["number"], event["metrics"], event["time"], note))
    elif event["event"] == "retried":
        trial.retries.append(Retry(event["reason"], event["batches_cut_into"]))
    else:
        trial.state, trial.reason = State(event["state"]), event["reason"]
        trial.ended_at = event["time"]
