"""A server follows an alias: a new version is loaded beside the old one, tried, then swapped in.

Whatever is wrong with the new version, or with the registry, the old one goes on answering.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass

from tokcls.errors import TokclsError
from tokcls.inference.parity import check_parity
from tokcls.inference.predictor import Predictor
from tokcls.inference.sources import Located, locate

EVERY_S = 5.0

_LOG = logging.getLogger("ray.serve")


@dataclass(frozen=True)
class Loaded:
    """A version that answers: where it comes from, and its predictor."""

    located: Located
    predictor: Predictor


def load(located: Located, threads: int | None) -> Loaded:
    """Load a bundle and try it; raises BundleError if it cannot be used here."""
    predictor = Predictor.from_bundle(located.folder, threads=threads)
    check_parity(predictor)
    return Loaded(located, predictor)


async def follow(
    alias: str,
    present: Callable[[], Loaded],
    swap: Callable[[Loaded], None],
    *,
    threads: int | None,
    every: float = EVERY_S,
) -> None:
    """Look every so many seconds which version `alias` (models:/NAME@ALIAS) names, until cancelled.

    `swap` is given a version that is not `present`. What is wrong is logged once.
    """
    said = ""
    while True:
        await asyncio.sleep(every)
        try:
            located = await asyncio.to_thread(locate, alias)
            if located.version == present().located.version:
                said = ""
                continue
            loaded = await asyncio.to_thread(load, located, threads)
        except (TokclsError, OSError) as error:
            if str(error) != said:
                said = str(error)
                _LOG.warning("%s is not followed, the old version answers on: %s", alias, error)
            continue
        swap(loaded)
        said = ""
        _LOG.info("%s is version %s now", alias, located.version)
