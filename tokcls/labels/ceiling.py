"""The best score that a label schema allows: what its scheme cannot write, no model can predict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tokcls.labels.schemes import Scheme
from tokcls.labels.scoring import per_sentence
from tokcls.labels.spans import Span
from tokcls.labels.types import TypeMap

_ALL = TypeMap()


@dataclass(frozen=True)
class Ceiling:
    """Of `gold` spans, `lost` cannot come back from their tags; `f1` is that of perfect tags."""

    gold: int
    lost: int
    f1: float


def ceiling(gold: Sequence[Sequence[Span]], scheme: Scheme, *, judged: TypeMap = _ALL) -> Ceiling:
    """Write gold spans (of the types that are learned) in a scheme, read them, and score that.

    Both sides are scored by the types that `judged` makes of theirs. Splitting words into parts
    changes nothing here: a span over words is one over whole words' parts, and comes back as it
    went.
    """
    best = [judged.apply(scheme.expressible(spans)) for spans in gold]
    wanted = [judged.apply(spans) for spans in gold]
    types = sorted({span.type for spans in wanted for span in spans})
    found, wrong, lost = per_sentence(wanted, best, types).sum(axis=(0, 1)).tolist()
    return Ceiling(found + lost, lost, 2 * found / max(2 * found + wrong + lost, 1))
