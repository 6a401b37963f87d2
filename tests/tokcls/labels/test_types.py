from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokcls.config import LabelsConfig
from tokcls.labels.plan import label_schema, type_plan
from tokcls.labels.spans import Span
from tokcls.labels.types import TypeMap

CORPUS = ("GPE", "LOC", "MISC", "PER")
SPANS = (Span(0, 1, "GPE"), Span(1, 2, "LOC"), Span(3, 4, "MISC"))
targets = st.dictionaries(
    st.sampled_from(CORPUS), st.none() | st.sampled_from((*CORPUS, "NEW")), max_size=4
)


def test_types_are_renamed_merged_and_dropped() -> None:
    made = TypeMap({"GPE": "LOC", "MISC": None, "PER": "PERSON"})
    assert made.apply(SPANS) == (Span(0, 1, "LOC"), Span(1, 2, "LOC"))
    assert made.image(CORPUS) == ("LOC", "PERSON")
    assert TypeMap().apply(SPANS) == SPANS


@given(fine=targets, coarse=targets)
def test_a_map_without_breaches_goes_on_to_the_coarser_one(
    fine: dict[str, str | None], coarse: dict[str, str | None]
) -> None:
    learned, scored = TypeMap(fine), TypeMap(coarse)
    both = learned.onward(scored, CORPUS).apply(learned.apply(SPANS))
    if not learned.breaches(scored):
        assert both == scored.apply(SPANS)
    elif {*fine.values(), *coarse.values()} <= {*CORPUS, None}:
        # A breach is real: some span of these types is scored otherwise than it was learned.
        whole = tuple(Span(at, at + 1, type_) for at, type_ in enumerate(CORPUS))
        assert learned.onward(scored, CORPUS).apply(learned.apply(whole)) != scored.apply(whole)


@pytest.mark.parametrize(
    ("fine", "coarse", "said"),
    [
        ({}, {"GPE": "LOC"}, []),
        ({"GPE": "LOC"}, {"GPE": "LOC"}, []),
        ({"GPE": "PLACE", "LOC": "PLACE"}, {"GPE": "LOC", "PLACE": "LOC"}, []),
        ({"MISC": None}, {"MISC": None, "GPE": "LOC"}, []),
        ({"MISC": None}, {}, ["MISC is dropped, but scored as MISC"]),
        ({"GPE": "LOC"}, {}, ["GPE and LOC become LOC, but are scored GPE as GPE, LOC as LOC"]),
        (
            {"GPE": "LOC"},
            {"GPE": None},
            ["GPE and LOC become LOC, but are scored GPE as nothing, LOC as LOC"],
        ),
    ],
)
def test_breaches_name_the_types(
    fine: dict[str, str | None], coarse: dict[str, str | None], said: list[str]
) -> None:
    assert TypeMap(fine).breaches(TypeMap(coarse)) == said


def test_a_plan_learns_fine_types_and_scores_coarse_ones() -> None:
    labels = LabelsConfig(types={"MISC": None}, score_types={"MISC": None, "GPE": "LOC"})
    plan = type_plan(labels, CORPUS)
    assert plan.types == ("LOC", "PER")
    assert label_schema(labels, CORPUS).types == ("GPE", "LOC", "PER")
    assert plan.judged.apply(plan.learned.apply(SPANS)) == plan.scored.apply(SPANS)


def test_what_is_scored_is_what_is_learned_unless_told_otherwise() -> None:
    assert type_plan(LabelsConfig(types={"GPE": "LOC"}), CORPUS).types == ("LOC", "MISC", "PER")
    assert type_plan(LabelsConfig(), CORPUS).types == CORPUS
    assert type_plan(LabelsConfig(types={}, score_types={"GPE": "LOC"}), CORPUS).types == (
        *("LOC", "MISC", "PER"),
    )


def test_learned_types_that_the_score_keeps_apart_are_refused() -> None:
    with pytest.raises(
        ValueError, match=r"must merge what labels.types merges.*GPE and LOC become"
    ):
        LabelsConfig(types={"GPE": "LOC"}, score_types={})


def test_a_type_with_blanks_is_refused() -> None:
    with pytest.raises(ValueError, match="a type has no blanks in it, got 'A B'"):
        LabelsConfig(types={"X": "A B"})
