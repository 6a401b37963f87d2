"""A server follows an alias: a new version is loaded beside the old one, tried, then swapped in.

Whatever is wrong with the new version, or with the registry, the old one goes on answering.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass

from tokcls.errors import BundleError
from tokcls.inference.parity import check_parity
from tokcls.inference.predictor import Predictor
from tokcls.inference.sources import Located, locate, version_of

EVERY_S = 5.0

_LOG = logging.getLogger("ray.serve")


@dataclass(frozen=True)
class Loaded:
    """A version that answers: where it comes from, and its predictor."""

    located: Located
    predictor: Predictor


def load(located: Located, threads: int | None, engine: str = "fp32") -> Loaded:
    """Load a bundle and try it; raises BundleError if it cannot be used here."""
    predictor = Predictor.from_bundle(located.folder, threads=threads, engine=engine)
    check_parity(predictor)
    return Loaded(located, predictor)


class Follower:
    """Looks which version an alias (models:/NAME@ALIAS) names, and loads one that is new.

    A version that cannot be used is tried once, and again when the alias has named another.
    """

    def __init__(self, alias: str, threads: int | None, engine: str = "fp32") -> None:
        self.alias, self._threads, self._engine = alias, threads, engine
        self._refused = ""

    def look(self, present: str) -> Loaded | None:
        """Give the version that is named if it is not the one that is `present`.

        Raises whatever is wrong with it, or with the registry.
        """
        version = version_of(self.alias)
        if version == self._refused:
            return None
        self._refused = ""
        if version == present:
            return None
        located = locate(self.alias)
        try:
            return load(located, self._threads, self._engine)
        except BundleError:
            self._refused = located.version
            raise


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
    said = ""
    while True:
        await asyncio.sleep(every)
        try:
            loaded = await asyncio.to_thread(follower.look, present().located.version)
        except Exception as error:  # whatever it is, the old version answers on
            if str(error) != said:
                said = str(error)
                _LOG.warning(
                    "%s is not followed, the old version answers on: %s: %s",
                    *(follower.alias, type(error).__name__, error),
                )
            continue
        if loaded is not None:
            swap(loaded)
            said = ""
            _LOG.info("%s is version %s now", follower.alias, loaded.located.version)
