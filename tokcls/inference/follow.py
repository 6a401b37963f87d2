"""A server follows an alias: a new version is loaded beside the old one, tried, then swapped in.

Whatever is wrong with the new version, or with the registry, the old one goes on answering.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass

from tokcls.errors import without_keys
from tokcls.inference import fetched
from tokcls.inference.engines import FP32, has_engine
from tokcls.inference.parity import check_parity
from tokcls.inference.predictor import Predictor
from tokcls.inference.sources import Located, Unanswered, locate, version_of

EVERY_S = 5.0
AGAIN_AFTER_S = 60.0
"""until a version that could not be fetched is tried again: it may be downloaded whole each time"""

_LOG = logging.getLogger("ray.serve")


@dataclass(frozen=True)
class Loaded:
    """A version that answers: where it comes from, and its predictor."""

    located: Located
    predictor: Predictor


def try_out(located: Located, threads: int | None, engine: str = FP32) -> Loaded:
    """Load a bundle and try it; raises BundleError if it cannot be used here."""
    predictor = Predictor.from_bundle(located.folder, threads=threads, engine=engine)
    check_parity(predictor)
    return Loaded(located, predictor)


def load(located: Located, threads: int | None, engine: str = FP32) -> Loaded:
    """Try a bundle out to answer with it in this process.

    What this process has fetched for it is removed: by then it is in memory, or of no use.
    """
    try:
        return try_out(located, threads, engine)
    finally:
        fetched.remove(located.folder)


class Complaints:
    """Logs what is wrong once, not each time that it is found again."""

    def __init__(self) -> None:
        self._said = ""

    def say(self, what: str, error: Exception) -> None:
        """Log what is the matter, and the error, unless that was the last thing said."""
        text = without_keys(f"{what}: {type(error).__name__}: {error}")
        if text != self._said:
            self._said = text
            _LOG.warning("%s", text)

    def forget(self) -> None:
        """Say again what was said, if it comes again."""
        self._said = ""


class Follower:
    """Looks which version an alias (models:/NAME@ALIAS) names, and loads one that is new.

    A version that cannot be used is tried once, and again when the alias has named another; one
    that cannot be fetched, again after a while.
    """

    def __init__(
        self, alias: str, threads: int | None, engine: str = FP32, *, or_fp32: bool = False
    ) -> None:
        """Load versions with an engine; `or_fp32`: with fp32 those that do not have it."""
        self.alias, self._threads = alias, threads
        self._engine, self._or_fp32 = engine, or_fp32
        self._refused, self._until = "", math.inf
        self._why = ""

    @property
    def refused(self) -> dict[str, str] | None:
        """The version that the alias names and that cannot be used here, and why."""
        return {"version": self._refused, "why": self._why} if self._refused else None

    def look(self, present: str) -> Loaded | None:
        """Give the version that is named if it is not the one that is `present`.

        Raises whatever is wrong with it, or with the registry.
        """
        version = version_of(self.alias)
        if version == self._refused and time.monotonic() < self._until:
            return None
        self._refused, self._until = "", math.inf
        if version == present:
            return None
        try:
            return self._load(version)
        except Exception as error:
            self._refused, self._why = version, without_keys(str(error))
            if isinstance(error, Unanswered):
                self._until = time.monotonic() + AGAIN_AFTER_S
            raise

    def _load(self, version: str) -> Loaded:
        located = locate(f"{self.alias.partition('@')[0]}/{version}")
        has = not self._or_fp32 or has_engine(located.folder, self._engine)
        return load(located, self._threads, self._engine if has else FP32)


async def follow(
    follower: Follower,
    present: Callable[[], Loaded],
    swap: Callable[[Loaded], None],
    *,
    every: float = EVERY_S,
) -> None:
    """Look every so many seconds, and `swap` what is new for what is `present`, until cancelled.

    What is wrong is logged once; nothing that is wrong ends the following.
    """
    complaints = Complaints()
    while True:
        await asyncio.sleep(every)
        try:
            loaded = await asyncio.to_thread(follower.look, present().located.version)
        except Exception as error:  # whatever it is, the old version answers on
            complaints.say(f"{follower.alias} is not followed, the old version answers on", error)
            continue
        if loaded is not None:
            swap(loaded)
            complaints.forget()
            _LOG.info("%s is version %s now", follower.alias, loaded.located.version)
