"""Brings MLflow up to date from a thread of its own, so that no slot waits for a tracking server.

What is to be written is kept by run, the newest state of each, so that an outage costs no memory,
and is tried again until it is done; nothing here stops or slows the sweep.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Protocol

from sweeps.errors import RefusedError, first_line
from sweeps.search.events import Retry, Trial
from sweeps.search.mailbox import Epoch
from sweeps.search.shown import End, Figures
from tokcls.errors import without_keys

SWEEP, FIGURES, END = "the sweep's own run", "the sweep's figures", "the sweep's end"
SHORTEST_WAIT_S, LONGEST_WAIT_S = 2.0, 60.0
HURRIED_WAIT_S = 1.0

logger = logging.getLogger(__name__)


class Writer(Protocol):
    """What brings runs up to date; a call raises if the store does not answer, to be repeated."""

    uri: str

    def open(self) -> None: ...

    def write(self, trial: Trial) -> None: ...

    def survey(self, steps: Sequence[Figures], tags: Mapping[str, str]) -> None: ...

    def close(self, end: End) -> None: ...


class InBackground:
    """A listener that has `writer` write what happens, in order, whenever its store answers."""

    def __init__(self, writer: Writer, past: Iterable[Trial] = ()) -> None:
        """Begin with the sweep's own run and the trials of an earlier session."""
        self._writer, self._uri = writer, without_keys(writer.uri)
        self._changed = threading.Condition()
        self._jobs: dict[str, Callable[[], None]] = {SWEEP: writer.open}
        self._refused: set[str] = set()
        self._hurried = self._closed = self._failed = False
        for trial in past:
            self._tell(trial)
        # A daemon: a server that hangs must not keep the command from ending.
        threading.Thread(target=self._work, name="tracking", daemon=True).start()

    def started(self, trial: Trial) -> None:
        self._tell(trial)

    def epoch(self, trial: Trial, epoch: Epoch) -> None:
        self._tell(trial)

    def retried(self, trial: Trial, retry: Retry) -> None:
        self._tell(trial)

    def ended(self, trial: Trial) -> None:
        self._tell(trial)

    def survey(self, steps: Sequence[Figures], tags: Mapping[str, str]) -> None:
        """Have the sweep's figures and tags written, as far as they are not; steps may grow on."""
        self._add(FIGURES, partial(self._writer.survey, steps, tags))

    def _tell(self, trial: Trial) -> None:
        state = replace(trial, epochs=[*trial.epochs], retries=[*trial.retries])
        self._add(trial.trial_id, partial(self._writer.write, state))

    def _add(self, name: str, job: Callable[[], None]) -> None:
        with self._changed:
            if name not in self._refused:
                self._jobs[name] = job
                self._changed.notify_all()

    def settle(self, *, within: float, patient: bool = False) -> list[str]:
        """Wait until all is written, `within` seconds at most; returns whose runs still lack.

        `patient` means: for as long as something is written every `within` seconds.
        """
        with self._changed:
            self._hurried = True
            self._changed.notify_all()
            while (left := len(self._jobs)) and self._down_to(left - 1 if patient else 0, within):
                continue
            self._hurried = False
            return [*self._jobs]

    def _down_to(self, jobs: int, within: float) -> bool:
        return self._changed.wait_for(lambda: len(self._jobs) <= jobs, timeout=within)

    def finish(self, end: End, *, within: float, patient: bool = False) -> list[str]:
        """Write the end behind all the rest, and stop; waits and returns as `settle` does."""
        self._add(END, partial(self._writer.close, end))
        missing = self.settle(within=within, patient=patient)
        self.stop()
        return missing

    def stop(self) -> None:
        """Begin no other write."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _work(self) -> None:
        wait = SHORTEST_WAIT_S
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._jobs or self._closed)
                if self._closed:
                    return
                name, job = next(iter(self._jobs.items()))
            try:
                self._do(name, job)
                wait = SHORTEST_WAIT_S
            except Exception as error:  # whatever it is, the sweep goes on
                self._say_failed(error)
                self._pause(wait)
                wait = min(2 * wait, LONGEST_WAIT_S)

    def _do(self, name: str, job: Callable[[], None]) -> None:
        try:
            job()
        except RefusedError as error:
            self._refused.add(name)
            logger.warning(
                "MLflow at %s does not take %s (%s); its run stays as it is, the ledger has it all",
                *(self._uri, name, error),
            )
        if self._failed:
            logger.warning("MLflow at %s answers again; what it lacks is written", self._uri)
        self._failed = False
        with self._changed:
            if self._jobs[name] is job or name in self._refused:
                del self._jobs[name]
            self._changed.notify_all()

    def _say_failed(self, error: Exception) -> None:
        if not self._failed:
            logger.warning(
                "MLflow at %s cannot be written (%s); the sweep goes on, the ledger has it all, "
                "and it is written as soon as MLflow answers",
                *(self._uri, first_line(error)),
            )
        self._failed = True

    def _pause(self, wait: float) -> None:
        """Let the server be for a while; for a shorter one if somebody waits for us."""
        with self._changed:
            if not self._hurried:
                self._changed.wait_for(lambda: self._hurried or self._closed, timeout=wait)
            else:
                self._changed.wait_for(lambda: self._closed, timeout=HURRIED_WAIT_S)
