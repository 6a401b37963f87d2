"""The verbs that stand in place of a value: what they accept, and the values they span.

Value objects that know nothing of YAML, of keys or of search libraries. Both ends of a range are
included.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

MAX_VALUES = 1000


def canonical(value: Any) -> Any:
    """Give what a searcher is told: maps and lists as JSON text, anything else as it is."""
    if isinstance(value, dict | list | tuple):
        return json.dumps(value, sort_keys=True, separators=(",", ":"))
    return value


@dataclass(frozen=True)
class Choice:
    """One of the values. ValueError for none, too many, a repeated or a non-finite one."""

    values: tuple[Any, ...]
    verb = "choice"

    def __post_init__(self) -> None:
        if not self.values:
            raise ValueError(f"{self.verb} needs at least one value, got []")
        if len(self.values) > MAX_VALUES:
            raise ValueError(
                f"{self.verb} takes at most {MAX_VALUES} values, got {len(self.values)}"
            )
        seen: set[str] = set()
        for value in self.values:
            identity = _identity(value)
            if identity in seen:
                raise ValueError(f"{self.verb} needs different values, got {value!r} twice")
            seen.add(identity)

    @property
    def args(self) -> list[Any]:
        """What stands behind the verb in YAML."""
        return list(self.values)

    def corners(self) -> tuple[Any, ...]:
        """Give the values that a check must try: here all of them."""
        return self.values

    def size(self) -> int | None:
        """Count the different values; None where they cannot be counted."""
        return len(self.values)

    def every(self) -> Sequence[Any]:
        """Give all values in their order; for verbs that have a size."""
        return self.values

    def fit(self, value: Any) -> Any:
        """Give `value` as it would be drawn; ValueError if it is none of the values."""
        wanted = _identity(value)
        for own in self.values:
            if _identity(own) == wanted:
                return own
        raise ValueError(f"must be one of {list(self.values)}")

    def original(self, drawn: Any) -> Any:
        """Turn back what `canonical` made of one of the values."""
        if not isinstance(drawn, str):
            return drawn
        return next((v for v in self.values if canonical(v) == drawn), drawn)


@dataclass(frozen=True)
class Grid(Choice):
    """Every one of the values, combined with every value of the other parameters."""

    verb = "grid"


@dataclass(frozen=True)
class Uniform:
    """Any number of the range. Raises ValueError unless low < high, both finite."""

    low: float
    high: float
    verb = "uniform"

    def __post_init__(self) -> None:
        _need(self, "low < high", self.low < self.high)

    @property
    def args(self) -> list[Any]:
        """What stands behind the verb in YAML."""
        return [self.low, self.high]

    def corners(self) -> tuple[Any, ...]:
        """Give the values that a check must try: the two ends."""
        return (self.low, self.high)

    def size(self) -> int | None:
        """Count the different values; None where they cannot be counted."""
        return None

    def every(self) -> Sequence[Any]:
        """Give all values in their order; for verbs that have a size."""
        raise ValueError(f"the values of {self.verb} cannot be counted")

    def fit(self, value: Any) -> Any:
        """Give `value` as it would be drawn; ValueError if the range does not hold it."""
        if not _is_number(value) or not self.low <= value <= self.high:
            raise ValueError(f"must be a number from {self.low:.12g} to {self.high:.12g}")
        return float(value)

    def original(self, drawn: Any) -> Any:
        """Numbers reach a searcher as they are."""
        return drawn


@dataclass(frozen=True)
class LogUniform(Uniform):
    """Any number of the range, each power of ten equally likely; 0 < low < high, or ValueError."""

    verb = "loguniform"

    def __post_init__(self) -> None:
        _need(self, "0 < low < high", 0 < self.low < self.high)


@dataclass(frozen=True)
class QUniform(Uniform):
    """low, low + step, ... high. Raises ValueError unless the steps end exactly at high."""

    step: float
    verb = "quniform"

    def __post_init__(self) -> None:
        _need(self, "low < high and step > 0", self.low < self.high and self.step > 0)
        steps = (self.high - self.low) / self.step
        whole = math.isfinite(steps) and round(steps) >= 1 and math.isclose(steps, round(steps))
        _need(self, "a whole number of steps from low to high", whole)

    @property
    def args(self) -> list[Any]:
        """What stands behind the verb in YAML."""
        return [self.low, self.high, self.step]

    def size(self) -> int | None:
        """Count the different values."""
        return round((self.high - self.low) / self.step) + 1

    def every(self) -> Sequence[Any]:
        """Give all values in their order."""
        return [self._at(step) for step in range(self.size() or 0)]

    def fit(self, value: Any) -> Any:
        """Give the step that `value` is, whatever its last digit; ValueError if it is none."""
        steps = (super().fit(value) - self.low) / self.step
        if abs(steps - round(steps)) > 1e-6:
            raise ValueError(f"must be {self.low:.12g} and a number of steps of {self.step:.12g}")
        return self._at(round(steps))

    def _at(self, step: int) -> float:
        return min(self.low + step * self.step, self.high)


@dataclass(frozen=True)
class Int(Uniform):
    """Any whole number of the range. Raises ValueError unless low < high."""

    low: int
    high: int
    verb = "int"

    def size(self) -> int | None:
        """Count the different values."""
        return self.high - self.low + 1

    def every(self) -> Sequence[Any]:
        """Give all values in their order."""
        return range(self.low, self.high + 1)

    def fit(self, value: Any) -> Any:
        """Give `value`; ValueError if it is not a whole number of the range."""
        if not isinstance(value, int) or isinstance(value, bool):
            raise ValueError(f"must be a whole number from {self.low} to {self.high}")
        return int(super().fit(value))


Verb = Choice | Uniform


@dataclass(frozen=True)
class _Form:
    """What may stand behind a verb's name."""

    build: Callable[..., Verb]
    shape: str
    length: int | None = None
    whole: bool = False


FORMS: Mapping[str, _Form] = {
    "choice": _Form(lambda *values: Choice(values), "a list of values"),
    "grid": _Form(lambda *values: Grid(values), "a list of values"),
    "uniform": _Form(Uniform, "[low, high]", 2),
    "loguniform": _Form(LogUniform, "[low, high]", 2),
    "quniform": _Form(QUniform, "[low, high, step]", 3),
    "int": _Form(Int, "[low, high]", 2, whole=True),
}


def build(name: str, args: Any) -> Verb:
    """Make the verb called `name`, a key of FORMS; ValueError says what its arguments must be."""
    form = FORMS[name]
    if not isinstance(args, Sequence) or isinstance(args, str):
        raise ValueError(f"{name} takes {form.shape}, got {args!r}")
    if form.length is None:
        return form.build(*args)
    if len(args) != form.length or not all(_is_number(value) for value in args):
        raise ValueError(f"{name} takes {form.shape} as numbers, got {list(args)!r}")
    if form.whole and not all(isinstance(value, int) for value in args):
        raise ValueError(f"{name} needs whole numbers, got {list(args)!r}")
    return form.build(*(args if form.whole else map(float, args)))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _need(verb: Uniform, rule: str, holds: bool) -> None:
    got = ", ".join(f"{value:.12g}" for value in verb.args)
    if not all(math.isfinite(value) for value in verb.args):
        raise ValueError(f"{verb.verb} needs finite numbers, got [{got}]")
    if not holds:
        raise ValueError(f"{verb.verb} needs {rule}, got [{got}]")


def _identity(value: Any) -> str:
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"a value must be finite, got {value}")
    if _is_number(value):
        return repr(float(value))
    return json.dumps(value, sort_keys=True, allow_nan=False)
