"""Looks at the cluster every few seconds while Tune runs trials."""

from __future__ import annotations

import time
from abc import abstractmethod
from typing import Any

from ray import tune

EVERY_S = 3.0


class Watching(tune.Callback):
    """A callback of Tune whose `look` is called by the driver, `EVERY_S` apart at least."""

    def __init__(self) -> None:
        self._next = time.monotonic() + EVERY_S

    def __getstate__(self) -> dict[str, Any]:
        return {}  # Tune pickles its callbacks to restore from; a sweep is restored from the ledger

    def on_step_begin(self, iteration: int, trials: list[Any], **_: Any) -> None:
        now = time.monotonic()
        if now >= self._next:
            self._next = now + EVERY_S
            self.look()

    @abstractmethod
    def look(self) -> None:
        """Look once."""
