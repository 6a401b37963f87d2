"""A challenger in the champion's shadow: it answers too, is compared, and nobody waits for it.

It is loaded beside the champion, by an alias that is followed, and reads what the champion has
answered already, in a thread of its own. While it is at work, other requests are passed over.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

from tokcls.inference.answer import answer
from tokcls.inference.engines import FP32
from tokcls.inference.follow import EVERY_S, Complaints, Follower, Loaded
from tokcls.inference.request import Request
from tokcls.inference.sources import NoSuchAlias

MOST_CHARACTERS = 20_000
"""of a batch: one long text must not keep the challenger from all others for minutes"""

_LOG = logging.getLogger("ray.serve")


@dataclass(frozen=True)
class Agreement:
    """In how many texts two versions were compared, and how many spans which of them found."""

    champion: str
    challenger: str
    texts: int = 0
    both: int = 0
    champion_only: int = 0
    challenger_only: int = 0

    def plus(self, texts: int, champion: set[Any], challenger: set[Any]) -> Agreement:
        """Add texts, with what each of the two found in them."""
        return replace(
            self,
            texts=self.texts + texts,
            both=self.both + len(champion & challenger),
            champion_only=self.champion_only + len(champion - challenger),
            challenger_only=self.challenger_only + len(challenger - champion),
        )

    def as_dict(self) -> dict[str, Any]:
        """Give what `GET /model` says; `agreement` is the F1 of one held against the other."""
        found = 2 * self.both + self.champion_only + self.challenger_only
        return {
            "version": self.challenger,
            "texts": self.texts,
            "spans_both": self.both,
            "spans_champion_only": self.champion_only,
            "spans_challenger_only": self.challenger_only,
            "agreement": round(2 * self.both / found, 4) if found else None,
        }


class Shadow:
    """Follows a challenger and counts where it agrees with the champion, since either changed."""

    def __init__(self, alias: str, engine: str = FP32) -> None:
        """Shadow with the version that `alias` (models:/NAME@ALIAS) names, on one CPU.

        `engine` is that of what answers, so that models are compared and not engines; a version
        that does not have it runs in fp32.
        """
        self._follower = Follower(alias, 1, engine, or_fp32=True)
        self._challenger: Loaded | None = None
        self._counted = Agreement("", "")
        self._lane = ThreadPoolExecutor(max_workers=1, thread_name_prefix="shadow")
        self._busy = False

    async def watch(self, *, every: float = EVERY_S) -> None:
        """Look every so many seconds which version it is, until cancelled; nothing wrong ends it.

        Without the alias there is no challenger; where one cannot be used, the one before stays.
        """
        complaints = Complaints()
        while True:
            try:
                await self._look()
            except Exception as error:  # whatever it is, the champion answers
                complaints.say(f"{self._follower.alias} is not compared", error)
            await asyncio.sleep(every)

    async def _look(self) -> None:
        present = self._challenger.located.version if self._challenger else ""
        try:
            loaded = await asyncio.to_thread(self._follower.look, present)
        except NoSuchAlias:
            self._challenger = None
            return
        if loaded is not None:
            self._challenger = loaded
            version = loaded.located.version
            _LOG.info("%s is version %s, and is compared", self._follower.alias, version)

    def offer(
        self, champion: str, requests: Sequence[Request], answers: Sequence[bytes | Exception]
    ) -> None:
        """Compare what a version has answered, if there is time for it; from the event loop."""
        challenger = self._challenger
        if self._busy or challenger is None or challenger.located.version == champion:
            return
        chosen, room = [], MOST_CHARACTERS
        for request, text in zip(requests, answers, strict=True):
            # Sub-words of other tokenizers, and spans that these make, tell nothing of the models.
            if isinstance(text, Exception) or request.parameters.aggregation_strategy is not None:
                continue
            if request.characters <= room:
                room -= request.characters
                chosen.append((request, text))
        if chosen:
            self._busy = True
            self._lane.submit(self._compare, champion, challenger, chosen)

    def _compare(
        self, champion: str, challenger: Loaded, chosen: list[tuple[Request, bytes]]
    ) -> None:
        began = time.perf_counter()
        try:
            counted = self._since(champion, challenger.located.version)
            requests = [request for request, _ in chosen]
            theirs = answer(challenger.predictor, requests)
            for (request, ours), their in zip(chosen, theirs, strict=True):
                found = _spans(request, ours), _spans(request, their)
                counted = counted.plus(len(request), *found)
            self._counted = counted
        except Exception as error:  # its message may hold a text
            _LOG.warning("the challenger could not answer: %s", type(error).__name__)
        finally:
            # It rests as long as it worked: half a CPU at most is taken from the champion.
            time.sleep(time.perf_counter() - began)
            self._busy = False

    def _since(self, champion: str, challenger: str) -> Agreement:
        """What was counted of these two versions; nothing, if it was of others."""
        counted = self._counted
        same = (counted.champion, counted.challenger) == (champion, challenger)
        return counted if same else Agreement(champion, challenger)

    def about(self, champion: str) -> dict[str, Any] | None:
        """Give what `GET /model` says beside a champion; None: there is nobody to compare."""
        challenger = self._challenger
        if challenger is None or challenger.located.version == champion:
            return None
        counted = self._since(champion, challenger.located.version)
        return counted.as_dict() | {"engine": challenger.predictor.engine}


def _spans(request: Request, text: bytes) -> set[tuple[int, str, int, int]]:
    """Read the spans of an answer: number of the text, type, start, end."""
    plain = json.loads(text)
    rows = [plain] if request.single else plain
    return {
        (number, one["entity_group"], one["start"], one["end"])
        for number, row in enumerate(rows)
        for one in row
    }
