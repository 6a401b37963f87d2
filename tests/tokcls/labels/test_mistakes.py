from __future__ import annotations

from dataclasses import asdict

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tokcls.labels.mistakes import Mistakes, mistakes
from tokcls.labels.scoring import per_sentence
from tokcls.labels.spans import Span

# A busy machine is no failure.
unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

TYPES = ("A", "B")


@st.composite
def spans(draw: st.DrawFn) -> list[Span]:
    found, at = [], 0
    for _ in range(draw(st.integers(0, 5))):
        start = at + draw(st.integers(0, 2))
        at = start + draw(st.integers(1, 4))
        found.append(Span(start, at, draw(st.sampled_from(TYPES))))
    return found


def slowly(gold: list[Span], predicted: list[Span]) -> Mistakes:
    """The definition, word for word: every pair is looked at for every kind, in order."""
    left = [span for span in gold if span not in predicted]
    right = [span for span in predicted if span not in gold]
    found = dict.fromkeys(("type", "boundary", "boundary_type"), 0)
    for kind in found:
        for one in list(left):
            for two in list(right):
                same = (one.start, one.end) == (two.start, two.end)
                fits = {"type": same, "boundary": one.type == two.type, "boundary_type": True}
                if max(one.start, two.start) < min(one.end, two.end) and fits[kind]:
                    left.remove(one)
                    right.remove(two)
                    found[kind] += 1
                    break
    return Mistakes(**found, missed=len(left), spurious=len(right))


@unhurried
@given(pairs=st.lists(st.tuples(spans(), spans()), max_size=4))
def test_every_wrong_span_is_in_exactly_one_kind(
    pairs: list[tuple[list[Span], list[Span]]],
) -> None:
    gold, predicted = [one for one, _ in pairs], [two for _, two in pairs]
    found = mistakes(gold, predicted)
    _, false_positive, false_negative = per_sentence(gold, predicted, TYPES).sum(axis=(0, 1))
    paired = found.boundary + found.type + found.boundary_type
    assert paired + found.missed == false_negative
    assert paired + found.spurious == false_positive
    assert found == sum((slowly(*pair) for pair in pairs), Mistakes())


@pytest.mark.parametrize(
    ("gold", "predicted", "expected"),
    [
        ([(0, 2, "A")], [(0, 2, "A")], {}),
        ([(0, 2, "A")], [(0, 2, "B")], {"type": 1}),
        ([(0, 2, "A")], [(1, 3, "A")], {"boundary": 1}),
        ([(0, 2, "A")], [(1, 3, "B")], {"boundary_type": 1}),
        ([(0, 2, "A")], [], {"missed": 1}),
        ([(0, 2, "A")], [(2, 3, "A")], {"missed": 1, "spurious": 1}),
        # One long prediction over two gold spans makes up for one of them only.
        ([(0, 2, "A"), (2, 4, "A")], [(0, 4, "A")], {"boundary": 1, "missed": 1}),
        ([(0, 4, "A")], [(0, 1, "B"), (2, 4, "A")], {"boundary": 1, "spurious": 1}),
        # What is right is nobody's partner.
        ([(0, 1, "A"), (1, 3, "A")], [(0, 1, "A")], {"missed": 1}),
    ],
)
def test_kinds_of_mistakes(
    gold: list[tuple[int, int, str]],
    predicted: list[tuple[int, int, str]],
    expected: dict[str, int],
) -> None:
    found = mistakes([[Span(*one) for one in gold]], [[Span(*one) for one in predicted]])
    assert {kind: n for kind, n in asdict(found).items() if n} == expected


def test_mistakes_of_unequal_numbers_of_sentences_are_refused() -> None:
    with pytest.raises(ValueError, match="shorter"):
        mistakes([[]], [])
