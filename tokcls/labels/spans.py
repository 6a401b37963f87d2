"""Spans: the form in which gold and predictions are kept; tags are only an encoding of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class Span(NamedTuple):
    """One entity in a sentence: words `start` to `end` (exclusive), and its type."""

    start: int
    end: int
    type: str


def check_spans(spans: Sequence[Span], length: int) -> None:
    """Refuse spans that no sentence of `length` words can hold.

    Raises:
        ValueError: a span is empty, has no type, lies outside the sentence, or does not come after
            the span before it (spans must be in the order of the words and must not overlap).
    """
    free = 0
    for span in spans:
        if not span.type:
            raise ValueError(f"a span needs a type, got {span}; name the entity's type")
        if not 0 <= span.start < span.end <= length:
            raise ValueError(
                f"a span needs 0 <= start < end <= {length} (the words of its sentence), got {span}"
            )
        if span.start < free:
            raise ValueError(
                f"spans must be sorted and must not overlap, got {span} after one that ends at "
                f"{free}; keep the outermost of nested spans and sort them by start"
            )
        free = span.end
