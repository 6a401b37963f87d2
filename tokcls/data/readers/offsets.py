"""From character offsets to word spans; what does not fit the words is said, never moved.

The words are those of `tokcls.data.words`, so a model is trained on what it will be served.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from reprlib import repr as short
from typing import Any

from tokcls.config import Overlaps
from tokcls.data.words import Word, split
from tokcls.errors import InputError
from tokcls.labels.spans import Span

_KEYS = ("start", "end", "label")
_EXPECTED = 'expected {"start": 0, "end": 5, "label": "PER"}'


@dataclass(frozen=True)
class Placed:
    """The words of a text, its spans in words, which overlaps were dropped, and what is wrong.

    With problems, the spans are those that are right.
    """

    words: tuple[str, ...]
    spans: tuple[Span, ...]
    dropped: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()


def place(text: Any, entities: Any, overlaps: Overlaps, types: Sequence[str] = ()) -> Placed:
    """Split a text into words and place its entities, maps of `start`, `end` and `label`.

    A map of three lists will do as well. `types` says what labels that are numbers mean.
    `start` and `end` count characters (code points), `end` is exclusive. Nothing is raised: every
    entity that is no such map, leaves the text, or starts or ends inside a word is a problem.
    """
    if not isinstance(text, str):
        return Placed((), (), problems=(f"the text is {short(text)}; expected a string",))
    entities = _listed(entities)
    if not isinstance(entities, Sequence) or isinstance(entities, str):
        return Placed((), (), problems=(f"the entities are {short(entities)}; expected a list",))
    try:
        words = split(text)
    except InputError as error:
        return Placed((), (), problems=(str(error),))
    grid = _Grid(text, words, types)
    spans: list[Span] = []
    problems: list[str] = []
    for number, entity in enumerate(entities, start=1):
        found = grid.span(entity)
        if isinstance(found, Span):
            spans.append(found)
        else:
            problems.append(f"entity {number}: {found}")
    kept = outermost(spans)
    if overlaps == "refuse" and not problems:
        problems = _overlapping(spans, words)
    texts = tuple(word.text for word in words)
    left = list((Counter(spans) - Counter(kept)).elements())
    dropped = tuple(f"{_shown(span, words)} is left out" for span in left)
    return Placed(texts, tuple(kept), dropped, tuple(problems))


def _listed(entities: Any) -> Any:
    """Turn a map of lists of one length, as older data sets have it, into a list of maps."""
    if not isinstance(entities, Mapping) or entities.keys() != set(_KEYS):
        return entities
    lists = [entities[key] for key in _KEYS]
    if not all(isinstance(values, list) and len(values) == len(lists[0]) for values in lists):
        return entities
    return [dict(zip(_KEYS, values, strict=True)) for values in zip(*lists, strict=True)]


def outermost(spans: Sequence[Span]) -> list[Span]:
    """Keep spans that do not overlap, in order: the longest first, of equally long ones the first.

    So the outermost of nested spans is kept.
    """
    taken: set[int] = set()
    kept: list[Span] = []
    for span in sorted(spans, key=lambda span: (span.start - span.end, span.start)):
        if taken.isdisjoint(range(span.start, span.end)):
            taken.update(range(span.start, span.end))
            kept.append(span)
    return sorted(kept)


def _overlapping(spans: Sequence[Span], words: Sequence[Word]) -> list[str]:
    problems: list[str] = []
    order = sorted(spans, key=lambda span: (span.start, -span.end))
    widest = order[:1]
    for span in order[1:]:
        if span.start < widest[-1].end:
            one, two = (_shown(each, words) for each in (widest[-1], span))
            problems.append(f"{one} and {two} overlap; keep one, or set data.overlaps to outermost")
        if span.end > widest[-1].end:
            widest.append(span)
    return problems


def _shown(span: Span, words: Sequence[Word]) -> str:
    return f"{span.type} at {words[span.start].start} to {words[span.end - 1].end}"


class _Grid:
    """The word boundaries of a text."""

    def __init__(self, text: str, words: Sequence[Word], types: Sequence[str]) -> None:
        self.text = text
        self.types = types
        self.words = words
        self.starts = [word.start for word in words]
        self.ends = [word.end for word in words]

    def span(self, entity: Any) -> Span | str:
        """Give the span of an entity, or what is wrong with it."""
        if not isinstance(entity, Mapping) or not set(_KEYS) <= entity.keys():
            return f"{_EXPECTED}, got {short(entity)}"
        start, end, label = (entity[key] for key in _KEYS)
        if type(label) is int and 0 <= label < len(self.types):
            label = self.types[label]
        if type(start) is not int or type(end) is not int:
            return f"{_EXPECTED} with whole numbers, got start {short(start)}, end {short(end)}"
        if problem := _check_label(label):
            return problem
        if not 0 <= start < end <= len(self.text):
            return (
                f"expected 0 <= start < end <= {len(self.text)} (the characters of the text), "
                f"got start {short(start)}, end {short(end)}"
            )
        if wrong := self._misaligned("start", start, self.starts):
            return f"{wrong}; {label} is {self.text[start:end]!r}"
        if wrong := self._misaligned("end", end, self.ends):
            return f"{wrong}; {label} is {self.text[start:end]!r}"
        first, last = bisect_left(self.starts, start), bisect_left(self.ends, end)
        if last < first:
            return f"no word stands at {start} to {end}"
        return Span(first, last + 1, label)

    def _misaligned(self, name: str, at: int, bounds: Sequence[int]) -> str:
        """Say that an offset is no word boundary, and which boundary is nearest."""
        after = bisect_left(bounds, at)
        if after < len(bounds) and bounds[after] == at:
            return ""
        near = bounds[max(0, after - 1) : after + 1]
        if not near:
            return f"{name} {at} is at no word, since the text has none"
        nearest = min(near, key=lambda bound: abs(bound - at))
        inside = next((word for word in self.words if word.start < at < word.end), None)
        where = f"is inside the word {inside.text!r}" if inside else "is between words"
        edge = "word start" if name == "start" else "word end"
        return f"{name} {at} {where}; the nearest {edge} is {nearest}"


def _check_label(label: Any) -> str:
    if not isinstance(label, str) or label.split() != [label]:
        return f"expected a label without blanks, such as PER, got {short(label)}"
    try:
        label.encode()
    except UnicodeEncodeError:
        return f"the label {label!r} has half a surrogate pair; expected whole characters"
    return ""
