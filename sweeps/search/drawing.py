"""Which configuration comes next: the points of the file first, and none twice.

A draw that was run before, or that a rule between keys forbids, is given back to the study as
failed and drawn again. Where that does not help, one of the configurations that are left is taken
at random; where none is left, the sweep ends with the trials there are.
"""

from __future__ import annotations

import itertools
import logging
import random
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sweeps.search.events import Trial
from sweeps.search.study import Draw, Study
from sweeps.space.combinations import product
from sweeps.space.space import SearchSpace
from tokcls.errors import ConfigError

REDRAWS = 20
RANDOM_DRAWS = 1000

logger = logging.getLogger(__name__)


class Drawing:
    """Gives the configurations of one session; `past` are the trials of those before."""

    def __init__(self, space: SearchSpace, study: Study, past: Sequence[Trial]) -> None:
        self._space, self._study = space, study
        self._seed = space.seed + len(past)
        self._known = {space.trial(trial.values).config_hash for trial in past}
        self._points = deque(untried(space.points, past))
        self._grid = space.sweep.search.algorithm == "grid"
        self._passed = 0  # of the grid; not an iterator, since Tune pickles its searcher

    def next(self) -> Draw | None:
        """Draw a configuration that was not run before; None if there is none left."""
        while self._points:
            point = self._points.popleft()
            tries = 1 if len(point) == len(self._space.parameters) else REDRAWS
            if (draw := self._new(point, tries)) is not None:
                return draw
            logger.warning("the point %s is not run: it was run before, or cannot be", point)
        if self._grid:
            return self._first(self._rest_of_the_grid())
        if (draw := self._new({}, REDRAWS)) is not None:
            return draw
        return self._first(self._left_over())

    def _new(self, values: Mapping[str, Any], tries: int) -> Draw | None:
        """Draw up to `tries` times, until it is something new."""
        for _ in range(tries):
            draw = self._study.ask(values)
            identity = self._identity(draw.values)
            if identity is not None and identity not in self._known:
                self._known.add(identity)
                return draw
            self._study.tell(draw, None)
        return None

    def _identity(self, values: Mapping[str, Any]) -> str | None:
        try:
            return self._space.trial(values).config_hash
        except ConfigError:
            return None

    def _first(self, candidates: Iterator[dict[str, Any]]) -> Draw | None:
        """Take the first candidate that is new, without troubling the study with the others."""
        for values in candidates:
            identity = self._identity(values)
            if identity is not None and identity not in self._known:
                return self._new(values, 1)
        return None

    def _rest_of_the_grid(self) -> Iterator[dict[str, Any]]:
        for values in itertools.islice(product(self._space.parameters), self._passed, None):
            self._passed += 1
            yield values

    def _left_over(self) -> Iterator[dict[str, Any]]:
        """Give all configurations in random order, or as many random ones as it takes."""
        listed, seed = self._space.combinations, self._seed + len(self._known)
        if listed is not None:
            yield from random.Random(seed).sample(listed, len(listed))
            return
        chance = Study(self._space.parameters, algorithm="random", seed=seed, trials=RANDOM_DRAWS)
        for _ in range(RANDOM_DRAWS):
            yield chance.ask().values


def untried(points: Sequence[Mapping[str, Any]], past: Sequence[Trial]) -> list[dict[str, Any]]:
    """Give the points that no trial of `past` was; one trial answers one point."""
    trials = [dict(trial.values) for trial in past]
    left: list[dict[str, Any]] = []
    for point in points:
        same = (t for t in trials if all(t.get(name) == point[name] for name in point))
        if (answered := next(same, None)) is None:
            left.append(dict(point))
        else:
            trials.remove(answered)
    return left
