from __future__ import annotations

import pytest

from tokcls.labels.spans import Span, check_spans


def test_sorted_spans_inside_the_sentence_are_accepted() -> None:
    check_spans([Span(0, 1, "A"), Span(1, 3, "A"), Span(4, 5, "B")], 5)


@pytest.mark.parametrize(
    ("spans", "message"),
    [
        ([Span(0, 6, "A")], r"0 <= start < end <= 5"),
        ([Span(-1, 1, "A")], r"0 <= start < end <= 5"),
        ([Span(2, 2, "A")], r"0 <= start < end <= 5"),
        ([Span(0, 3, "A"), Span(2, 4, "B")], r"must not overlap, got Span\(start=2"),
        ([Span(3, 4, "A"), Span(0, 1, "B")], r"must be sorted"),
        ([Span(0, 1, "")], r"needs a type"),
    ],
)
def test_impossible_spans_are_refused_with_the_rule(spans: list[Span], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_spans(spans, 5)
