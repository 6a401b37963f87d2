"""The ledger's copy in the storage, from which another machine can go on.

It is written from a thread of its own, after each epoch and each trial that ends; what happens
while one copy is written goes with the next.
"""

from __future__ import annotations

import logging
import shutil
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path

from sweeps.search.events import Retry, Trial
from sweeps.search.ledger import NAME
from sweeps.search.mailbox import Epoch
from sweeps.search.storage import Storage

logger = logging.getLogger(__name__)


class LedgerCopy:
    """A listener of the sweep; nothing is copied unless `allowed` says so.

    A storage that fails is said once, and tried again at the next event.
    """

    def __init__(self, ledger: Path, storage: Storage, *, allowed: Callable[[], bool]) -> None:
        self._ledger, self._storage, self._allowed = ledger, storage, allowed
        self._changed, self._closing = threading.Event(), False
        self._error: OSError | None = None
        self._thread = threading.Thread(target=self._run, name="ledger-copy", daemon=True)
        self._thread.start()

    def started(self, trial: Trial) -> None:
        self._changed.set()

    def epoch(self, trial: Trial, epoch: Epoch) -> None:
        self._changed.set()

    def retried(self, trial: Trial, retry: Retry) -> None:
        self._changed.set()

    def ended(self, trial: Trial) -> None:
        self._changed.set()

    def _run(self) -> None:
        while self._changed.wait() and not self._closing:
            self._changed.clear()
            self._copy()

    def _copy(self) -> None:
        try:
            if self._ledger.is_file() and self._allowed():
                self._storage.write(NAME, partial(shutil.copyfile, self._ledger))
            self._error = None
        except OSError as error:
            if self._error is None:
                logger.warning(
                    "the ledger's copy in %s cannot be written, the sweep goes on: %s",
                    self._storage,
                    error,
                )
            self._error = error

    def close(self) -> None:
        """Copy the last state, and say so if that fails."""
        self._closing = True
        self._changed.set()
        self._thread.join()
        self._copy()
        if self._error is not None:
            logger.warning(
                "the ledger's copy in %s is old: go on from %s, on this machine",
                self._storage,
                self._ledger,
            )
