"""Character offsets become word spans, or problems that name the nearest word boundary."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokcls.data.readers.offsets import Placed, outermost, place
from tokcls.data.words import split
from tokcls.labels.spans import Span, check_spans

TEXT = "Ada Lovelace, of London."


def entity(start: Any, end: Any, label: Any = "PER") -> dict[str, Any]:
    return {"start": start, "end": end, "label": label}


def placed(*entities: Any, text: Any = TEXT, overlaps: Any = "outermost") -> Placed:
    return place(text, list(entities), overlaps)


def test_entities_become_spans_of_the_words_that_serving_makes() -> None:
    found = placed(entity(17, 23, "LOC"), entity(0, 12))
    assert found.words == ("Ada", "Lovelace", ",", "of", "London", ".")
    assert found.spans == (Span(0, 2, "PER"), Span(4, 5, "LOC"))
    assert found.problems == ()


def test_offsets_count_characters_and_not_bytes_or_surrogates() -> None:
    found = placed(entity(2, 8, "LOC"), text="😀 Zürich")
    assert found.spans == (Span(1, 2, "LOC"),)


@pytest.mark.parametrize(
    ("given_", "message"),
    [
        (
            entity(1, 12),
            "start 1 is inside the word 'Ada'; the nearest word start is 0; PER is 'da Lovelace'",
        ),
        (entity(0, 10), "end 10 is inside the word 'Lovelace'; the nearest word end is 12"),
        (entity(3, 12), "start 3 is between words; the nearest word start is 4"),
        (entity(0, 14), "end 14 is between words; the nearest word end is 13"),
        (entity(17, 99), "expected 0 <= start < end <= 24 (the characters of the text)"),
        (entity(5, 5), "expected 0 <= start < end"),
        (entity(-3, 3), "expected 0 <= start < end"),
        (entity(True, 3), 'expected {"start": 0, "end": 5, "label": "PER"} with whole numbers'),
        (entity(0.0, 3), "with whole numbers, got start 0.0"),
        (entity(0, 3, "two words"), "expected a label without blanks"),
        (entity(0, 3, ""), "expected a label without blanks"),
        (entity(0, 3, None), "expected a label without blanks"),
        (entity(0, 3, "\ud800"), "has half a surrogate pair"),
        ([0, 3, "PER"], 'expected {"start": 0'),
        ({"start": 0, "end": 3}, 'expected {"start": 0'),
    ],
)
def test_an_entity_that_does_not_fit_is_a_problem(given_: Any, message: str) -> None:
    found = placed(entity(17, 23), given_)
    (problem,) = found.problems
    assert problem.startswith("entity 2: ")
    assert message in problem


def test_nothing_can_be_placed_in_a_text_without_words() -> None:
    assert placed(text=" \n").words == ()
    assert "the text has none" in placed(entity(0, 1), text="  ").problems[0]


@pytest.mark.parametrize(("text", "entities"), [(None, []), (7, []), ("a", None), ("a", "b")])
def test_what_is_no_text_or_no_list_is_a_problem(text: Any, entities: Any) -> None:
    (problem,) = place(text, entities, "outermost").problems
    assert "; expected a " in problem


def test_of_nested_and_crossing_entities_the_outermost_are_kept_and_the_others_counted() -> None:
    crossing = placed(entity(0, 12), entity(4, 16, "X"))
    assert (crossing.spans, crossing.dropped) == (
        (Span(1, 4, "X"),),
        ("PER at 0 to 12 is left out",),
    )
    nested = placed(entity(0, 3), entity(0, 12), entity(4, 12), entity(0, 12, "ORG"))
    assert (nested.spans, len(nested.dropped)) == ((Span(0, 2, "PER"),), 3)


def test_overlapping_entities_can_be_refused() -> None:
    found = placed(entity(0, 12), entity(4, 12, "X"), entity(17, 23), overlaps="refuse")
    assert found.problems == (
        "PER at 0 to 12 and X at 4 to 12 overlap; keep one, or set data.overlaps to outermost",
    )
    assert placed(entity(0, 3), entity(4, 12), overlaps="refuse").problems == ()


SPANS = st.lists(
    st.tuples(st.integers(0, 9), st.integers(1, 5), st.sampled_from("XY")).map(
        lambda drawn: Span(drawn[0], drawn[0] + drawn[1], drawn[2])
    ),
    max_size=8,
)


@given(SPANS)
def test_no_two_outermost_spans_overlap_and_each_other_span_overlaps_one(spans: list[Span]) -> None:
    kept = outermost(spans)
    check_spans(kept, 20)
    for span in spans:
        over = [k for k in kept if k.start < span.end and span.start < k.end]
        assert over
        assert max(k.end - k.start for k in over) >= span.end - span.start


@given(st.text(max_size=30).filter(lambda text: text.isprintable()), st.data())
def test_every_run_of_whole_words_is_found_again(text: str, data: st.DataObject) -> None:
    words = split(text)
    if not words:
        return
    first = data.draw(st.integers(0, len(words) - 1))
    last = data.draw(st.integers(first, len(words) - 1))
    found = place(text, [entity(words[first].start, words[last].end)], "refuse")
    assert found.spans == (Span(first, last + 1, "PER"),)
