"""Tells a slow listener from a thread of its own, so that no slot waits for it.

It is for a listener that looks at trials as they are: of what waits to be told, starts apart, the
newest of a kind stands for those before it.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from sweeps.search.events import Listener, Retry, Trial
from sweeps.search.mailbox import Epoch


class Aside:
    """Hands events to `listener`, one after the other, in order, until `flush`."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="aside")
        self._told: list[Future[None]] = []
        self._newest: dict[str, Future[None]] = {}

    def started(self, trial: Trial) -> None:
        self._told.append(self._thread.submit(self._listener.started, trial))

    def epoch(self, trial: Trial, epoch: Epoch) -> None:
        self._tell(self._listener.epoch, trial, epoch)

    def retried(self, trial: Trial, retry: Retry) -> None:
        self._tell(self._listener.retried, trial, retry)

    def ended(self, trial: Trial) -> None:
        self._tell(self._listener.ended, trial)

    def _tell(self, call: Callable[..., None], *event: Any) -> None:
        before = self._newest.get(call.__name__)
        if before is not None and before.cancel():
            self._told.remove(before)
        self._told = [future for future in self._told if not future.done() or future.exception()]
        self._newest[call.__name__] = self._thread.submit(call, *event)
        self._told.append(self._newest[call.__name__])

    def flush(self) -> None:
        """Wait until all is told, and end; an error of the listener comes out here."""
        self._thread.shutdown()
        for future in self._told:
            future.result()
