"""Asynchronous successive halving on any measure of work: who goes on, and who is stopped.

Li et al., "A System for Massively Parallel Hyperparameter Tuning" (2020), in the form that only
stops trials (as Ray Tune has it): a trial that comes to a rung goes on unless it is below the best
1/reduction of those that were there before. What is ours:

- The first rung is the work of the cheapest trial's grace epochs, each next one `reduction` times
  as much. Nothing is kept but the trials' curves, so a cheaper trial that comes later moves the
  rungs for all, and replaying the curves of an earlier session restores every decision.
- An epoch is seldom as long as a rung is high. A trial is judged at the highest rung that an epoch
  brought it to, by its score there: on the line between the two epochs around the rung.
- Trials are compared inside their bracket (one a backbone): at equal work a small backbone is far
  in its learning rate's schedule and a large one has hardly begun. At the last rung before its last
  epoch, a trial that has passed another before meets the other brackets: those at this rung by
  their score there, those that are finished with less work by their best.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

NEAR = 1 + 1e-9  # work is a sum of floats
LEAST = 1e-9  # a clock may say that an epoch took no time


@dataclass(frozen=True)
class Point:
    """One epoch (counted from 1): all the work so far, and the score it came to."""

    epoch: int
    work: float
    score: float


@dataclass
class Curve:
    """What one trial came to; it may have `epochs` epochs."""

    bracket: str
    epochs: int
    points: list[Point] = field(default_factory=list)

    @property
    def work(self) -> float:
        return self.points[-1].work if self.points else 0.0

    @property
    def finished(self) -> bool:
        return bool(self.points) and self.points[-1].epoch >= self.epochs

    @property
    def best(self) -> float:
        return max(point.score for point in self.points)

    def reached(self, level: float) -> bool:
        return self.work * NEAR >= level

    def at(self, level: float) -> float:
        """The score when so much work was done; before the first epoch's end, the first one's."""
        work = [point.work for point in self.points]
        return float(np.interp(level, work, [point.score for point in self.points]))


class Rungs:
    """Decides after every epoch; `first` fixes the first rung, None measures it."""

    def __init__(self, *, grace: int, reduction: int, first: float | None = None) -> None:
        self._grace, self._reduction, self._first = grace, reduction, first
        self.curves: dict[str, Curve] = {}

    def add(self, name: str, *, bracket: str, epochs: int) -> None:
        """Know a trial; one that is resumed keeps its curve."""
        self.curves.setdefault(name, Curve(bracket, epochs))

    def report(self, name: str, point: Point) -> bool:
        """Note an epoch and tell whether the trial goes on; one that is known already does."""
        curve = self.curves[name]
        if curve.points and point.epoch <= curve.points[-1].epoch:
            return True
        before = curve.points[-1] if curve.points else None
        if not math.isfinite(point.score):
            return True
        curve.points.append(point)
        if curve.finished:
            return False
        first = self.first()
        rung, passed = self._rung(point, first), self._rung(before, first)
        if rung <= passed:
            return True
        level = first * self._reduction**rung
        inside = self._bracket(curve, level)
        if not self._survives(curve, level, inside):
            return False
        if passed < 0 or not self._is_last(curve, level):
            return True
        outside = self._others(curve, rung, first)
        return not outside or self._survives(curve, level, inside + outside)

    def first(self) -> float:
        """The work at the first rung; infinite while no trial has come through its grace."""
        if self._first is not None:
            return self._first
        after_grace = (
            next((point.work for point in curve.points if point.epoch >= self._grace), math.inf)
            for curve in self.curves.values()
        )
        return max(min(after_grace), LEAST)

    def _rung(self, point: Point | None, first: float) -> int:
        """The highest rung at or below a point, -1 where there is none."""
        if point is None or point.epoch < self._grace:
            return -1
        rung, level = -1, first
        while level <= point.work * NEAR:
            rung, level = rung + 1, level * self._reduction
        return rung

    def _is_last(self, curve: Curve, level: float) -> bool:
        """Tell whether no other rung comes before the last epoch."""
        point = curve.points[-1]
        before_the_end = point.work / point.epoch * (curve.epochs - 1)
        return level * self._reduction > before_the_end * NEAR

    def _bracket(self, curve: Curve, level: float) -> list[float]:
        rivals = self._rivals(curve, same=True)
        return [other.at(level) for other in rivals if other.reached(level)]

    def _others(self, curve: Curve, rung: int, first: float) -> list[float]:
        """Scores of other brackets' trials: at this very rung, or finished below it."""
        level, scores = first * self._reduction**rung, []
        for other in self._rivals(curve, same=False):
            if any(self._rung(point, first) == rung for point in other.points):
                scores.append(other.at(level))
            elif other.finished and not other.reached(level):
                scores.append(other.best)
        return scores

    def _rivals(self, curve: Curve, *, same: bool) -> list[Curve]:
        return [
            other
            for other in self.curves.values()
            if other is not curve and other.points and same == (other.bracket == curve.bracket)
        ]

    def _survives(self, curve: Curve, level: float, rivals: Sequence[float]) -> bool:
        if not rivals:
            return True
        return curve.at(level) >= float(np.percentile(rivals, (1 - 1 / self._reduction) * 100))

    def describe(self) -> Mapping[str, int]:
        """Count the trials of each bracket."""
        brackets = [curve.bracket for curve in self.curves.values()]
        return {name: brackets.count(name) for name in sorted(set(brackets))}
