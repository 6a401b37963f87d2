"""Broken tags: what is counted and what is read, beside what seqscore counts and reads."""

from __future__ import annotations

import random
from typing import Any, Literal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from seqscore.encoding import get_encoding  # type: ignore[import-untyped]
from seqscore.validation import validate_labels  # type: ignore[import-untyped]

from tokcls.config import Repair
from tokcls.labels.repair import REPAIRS, read_tags, violations
from tokcls.labels.schemes import SCHEMES, Scheme, detect
from tokcls.labels.spans import Span

# A busy machine is no failure.
unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

SEQSCORE = {"IO": "IO", "IOB1": "IOB", "IOB2": "BIO", "BIOES": "BIOES", "BILOU": "BILOU"} | {
    "BMES": "BMES"
}
every_scheme = pytest.mark.parametrize("scheme", SCHEMES.values(), ids=SCHEMES)


def taggings(scheme: Scheme, number: int = 3000) -> list[list[str]]:
    """Random tags, most of them against the rules."""
    chance = random.Random(scheme.name)
    tags = scheme.tags(("LOC", "ORG"))
    return [chance.choices(tags, k=chance.randint(1, 9)) for _ in range(number)]


def seqscore_spans(tags: list[str], encoding: Any, repair: str) -> tuple[Span, ...]:
    checked = validate_labels(tags, encoding, repair=repair)
    labels = tags if checked.is_valid() else checked.repaired_labels
    mentions = encoding.decode_labels(labels)
    return tuple(Span(one.span.start, one.span.end, one.type) for one in mentions)


@pytest.mark.parametrize(
    ("name", "repair"), [("IOB2", "conlleval"), ("IOB2", "discard"), ("IOB1", "conlleval")]
)
def test_a_repair_reads_what_seqscore_reads(
    name: str, repair: Literal["conlleval", "discard"]
) -> None:
    scheme, encoding = SCHEMES[name], get_encoding(SEQSCORE[name])
    for tags in taggings(scheme):
        expected = seqscore_spans(tags, encoding, repair)
        assert read_tags(tags, scheme, repair).spans == expected, tags


@pytest.mark.parametrize("name", SEQSCORE)
def test_violations_are_as_many_as_seqscore_counts(name: str) -> None:
    scheme, encoding = SCHEMES[name], get_encoding(SEQSCORE[name])
    for tags in taggings(scheme):
        assert len(violations(tags, scheme)) == len(validate_labels(tags, encoding)), tags


@every_scheme
def test_violations_add_up_to_what_detection_counts(scheme: Scheme) -> None:
    for tags in taggings(scheme, 300):
        found = detect([tags])
        if found.scheme == scheme.name:
            assert len(violations(tags, scheme)) == found.violations


@every_scheme
@unhurried
@given(data=st.data())
def test_what_is_discarded_breaks_a_rule_and_what_is_kept_does_not(
    scheme: Scheme, data: st.DataObject
) -> None:
    tags = data.draw(st.lists(st.sampled_from(scheme.tags(("X", "Y"))), max_size=10))
    every = read_tags(tags, scheme, "conlleval")
    kept = read_tags(tags, scheme, "discard")
    assert every.violations == kept.violations
    assert set(kept.spans) <= set(every.spans) == set(scheme.decode(tags))
    assert (kept.spans == every.spans) == (not every.violations)
    assert read_tags(tags, scheme, "refuse") == every


@pytest.mark.parametrize(
    ("name", "tags", "broken", "kept"),
    [
        ("IOB2", "I-X O B-X I-Y I-Y", (0, 3), [Span(2, 3, "X")]),
        ("BIOES", "B-X O S-X", (1,), [Span(2, 3, "X")]),
        ("BIOES", "S-X B-X I-X", (2,), [Span(0, 1, "X")]),
        ("BILOU", "U-X I-X", (1, 1), [Span(0, 1, "X")]),
        ("BMES", "M-X E-X S-Y", (0,), [Span(2, 3, "Y")]),
        ("IOE2", "I-X E-X I-X O", (3,), [Span(0, 2, "X")]),
        ("IOB1", "O B-X O I-X", (1,), [Span(3, 4, "X")]),
        ("IO", "I-X I-Y O", (), [Span(0, 1, "X"), Span(1, 2, "Y")]),
    ],
)
def test_a_violation_is_named_by_its_word(
    name: str, tags: str, broken: tuple[int, ...], kept: list[Span]
) -> None:
    reading = read_tags(tags.split(), SCHEMES[name], "discard")
    assert reading.violations == broken
    assert list(reading.spans) == kept


@pytest.mark.parametrize("repair", REPAIRS)
def test_an_empty_sentence_breaks_no_rule(repair: Repair) -> None:
    assert read_tags([], SCHEMES["BIOES"], repair).violations == ()


def test_a_repair_that_does_not_exist_is_refused_with_those_that_do() -> None:
    wrong: Any = "seqscore"
    with pytest.raises(ValueError, match="one of conlleval, discard, refuse, got 'seqscore'"):
        read_tags(["O"], SCHEMES["IOB2"], wrong)
