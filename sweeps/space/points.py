"""Configurations to try first (`search.points`): some keys with values, the rest is drawn."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sweeps.space.problems import get
from sweeps.space.verbs import Verb, canonical
from sweeps.space.yaml_nodes import KeyPath, dotted
from sweeps.space.yaml_text import shown

_POINTS: KeyPath = ("search", "points")


@dataclass(frozen=True)
class Given:
    """One value of a point: `where` it stands in the file, and the key it is for."""

    where: KeyPath
    key: KeyPath
    value: Any


def given(point: Mapping[str, Any], index: int) -> Iterator[Given]:
    """Give the values of a point, written as `train.epochs: 3` or as `train: {epochs: 3}`."""
    for name, value in point.items():
        where = (*_POINTS, index, name)
        if "." not in name and isinstance(value, Mapping):
            for inner, nested in value.items():
                yield Given((*where, inner), (name, inner), nested)
        else:
            yield Given(where, tuple(name.split(".", 1)), value)


@dataclass(frozen=True)
class Wrong:
    """A value of a point that cannot be tried, and why."""

    given: Given
    message: str


def wrong_points(
    points: Sequence[Mapping[str, Any]], document: Mapping[str, Any], verbs: Mapping[KeyPath, Verb]
) -> Iterator[Wrong]:
    """Say where and why a point does not lie in the space.

    A key that the file fixes may be given with its own value.
    """
    for index, point in enumerate(points):
        seen: set[KeyPath] = set()
        for one in given(point, index):
            name = dotted(one.key)
            verb = verbs.get(one.key)
            if one.key in seen:
                yield Wrong(one, f"{name} is given twice in this point; keep one")
            elif verb is not None:
                if (wrong := _outside(verb, one.value)) is not None:
                    yield Wrong(one, f"{wrong}, got {shown(one.value)}")
            elif len(one.key) != 2 or get(document, one.key) != one.value:
                searched = ", ".join(map(dotted, verbs)) or "nothing"
                yield Wrong(one, f"{name} is not searched; this file searches {searched}")
            seen.add(one.key)


def _outside(verb: Verb, value: Any) -> str | None:
    try:
        verb.fit(value)
    except ValueError as error:
        return str(error)
    return None


def fitted(
    points: Sequence[Mapping[str, Any]], verbs: Mapping[str, Verb]
) -> tuple[dict[str, Any], ...]:
    """Give the points as a searcher draws them: searched keys only, in canonical form.

    A value that the space holds no more (a backbone that another stands in for) is drawn instead.
    """
    return tuple(
        {
            name: canonical(verb.fit(one.value))
            for one in given(point, index)
            if (verb := verbs.get(name := dotted(one.key))) and _outside(verb, one.value) is None
        }
        for index, point in enumerate(points)
    )
