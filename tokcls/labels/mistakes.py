"""What kind of mistakes were made: the wrong bounds, the wrong type, missed, or invented.

The categories are those of MUC-5 (Chinchor and Sundheim 1993) as SemEval-2013 task 9 and the tool
nervaluate apply them to entities: incorrect, partial, missing and spurious, told apart by bounds
and by type.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass

from tokcls.labels.spans import Span

Spans = Sequence[Sequence[Span]]
Pair = tuple[Span, Span]


@dataclass(frozen=True)
class Mistakes:
    """Numbers of mistakes; every wrong span, gold or predicted, is in exactly one of them.

    The first three count pairs of one gold and one predicted span. So false negatives are the three
    and `missed`, false positives the three and `spurious`.
    """

    boundary: int = 0
    """the right type for words that overlap the gold ones"""
    type: int = 0
    """the right words, another type"""
    boundary_type: int = 0
    """overlapping words, another type"""
    missed: int = 0
    """gold that no prediction is left for"""
    spurious: int = 0
    """predictions that no gold is left for"""

    def __add__(self, other: Mistakes) -> Mistakes:
        theirs = asdict(other)
        return Mistakes(**{kind: own + theirs[kind] for kind, own in asdict(self).items()})


# In the order in which a span looks for its partner: each is paired once, from left to right.
_PAIRINGS: Mapping[str, Callable[[Span, Span], bool]] = {
    "type": lambda one, two: one[:2] == two[:2],
    "boundary": lambda one, two: one.type == two.type,
    "boundary_type": lambda one, two: True,
}


def mistakes(gold: Spans, predicted: Spans) -> Mistakes:
    """Sort the mistakes of S sentences by kind.

    Raises:
        ValueError: the numbers of sentences differ.
    """
    total = dict.fromkeys((*_PAIRINGS, "missed", "spurious"), 0)
    for true, guessed in zip(gold, predicted, strict=True):
        one, two = set(true), set(guessed)
        if one != two:
            _add(total, one - two, two - one)
    return Mistakes(**total)


def _add(total: dict[str, int], left: set[Span], right: set[Span]) -> None:
    """Pair what is wrong in one sentence, and count it."""
    pairs = _overlapping(sorted(left), sorted(right))
    for kind, fits in _PAIRINGS.items():
        for one, two in pairs:
            if one in left and two in right and fits(one, two):
                left.remove(one)
                right.remove(two)
                total[kind] += 1
    total["missed"] += len(left)
    total["spurious"] += len(right)


def _overlapping(left: list[Span], right: list[Span]) -> list[Pair]:
    """Find the pairs that share a word, in the order of the words; no side overlaps itself."""
    pairs: list[Pair] = []
    begin = 0
    for one in left:
        while begin < len(right) and right[begin].end <= one.start:
            begin += 1
        at = begin
        while at < len(right) and right[at].start < one.end:
            pairs.append((one, right[at]))
            at += 1
    return pairs
