from __future__ import annotations

import pickle
from typing import get_args

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from seqeval.metrics.sequence_labeling import get_entities  # type: ignore[import-untyped]

from tokcls.config import SchemeName
from tokcls.labels.schemes import SCHEMES, Scheme, detect, join_tag, parse_tag
from tokcls.labels.spans import Span

# A busy machine is no failure.
unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

TYPES = ("LOC", "ORG", "a-b")
# seqeval does not know L, U and M, so they are shown to it as E, S and I.
SEQEVAL_LETTERS = {"L": "E", "U": "S", "M": "I"}
OPENING = {"B", "S", "U"}

every_scheme = pytest.mark.parametrize("scheme", SCHEMES.values(), ids=SCHEMES)


@st.composite
def sentences(draw: st.DrawFn) -> tuple[list[Span], int]:
    """Spans of a sentence, often touching each other, and its length."""
    spans, at = [], 0
    for _ in range(draw(st.integers(0, 5))):
        start = at + draw(st.integers(0, 2))
        at = start + draw(st.integers(1, 4))
        spans.append(Span(start, at, draw(st.sampled_from(TYPES))))
    return spans, at + draw(st.integers(0, 2))


def any_tags(scheme: Scheme) -> st.SearchStrategy[list[str]]:
    return st.lists(st.sampled_from(scheme.tags(TYPES)), max_size=12)


def seqeval_spans(tags: list[str]) -> list[Span]:
    known = [
        join_tag(SEQEVAL_LETTERS.get(letter, letter), type_)
        for letter, type_ in map(parse_tag, tags)
    ]
    return [Span(start, end + 1, type_) for type_, start, end in get_entities(known)]


def is_valid(scheme: Scheme, tags: list[str]) -> bool:
    allowed = scheme.transitions(tags)
    pairs = all(allowed.between[at, at + 1] for at in range(len(tags) - 1))
    return not tags or bool(allowed.start[0] and pairs and allowed.end[-1])


@every_scheme
@unhurried
@given(sentence=sentences())
def test_what_a_scheme_can_express_comes_back_from_its_tags(
    scheme: Scheme, sentence: tuple[list[Span], int]
) -> None:
    spans, length = sentence
    back = scheme.decode(scheme.encode(spans, length))
    assert back == scheme.expressible(spans)
    if scheme.name != "IO":
        assert back == spans


@every_scheme
@unhurried
@given(sentence=sentences())
def test_encoded_spans_follow_the_transition_table(
    scheme: Scheme, sentence: tuple[list[Span], int]
) -> None:
    tags = scheme.encode(*sentence)
    assert set(tags) <= set(scheme.tags(TYPES))
    assert is_valid(scheme, tags)


@every_scheme
@unhurried
@given(data=st.data())
def test_a_sequence_is_valid_exactly_when_its_spans_encode_back_to_it(
    scheme: Scheme, data: st.DataObject
) -> None:
    tags = data.draw(any_tags(scheme))
    assert is_valid(scheme, tags) == (scheme.encode(scheme.decode(tags), len(tags)) == tags)


@every_scheme
@unhurried
@given(data=st.data())
def test_any_sequence_reads_as_conlleval_reads_it(scheme: Scheme, data: st.DataObject) -> None:
    tags = data.draw(any_tags(scheme))
    assert scheme.decode(tags) == seqeval_spans(tags)


@every_scheme
@unhurried
@given(sentence=sentences())
def test_pipeline_names_of_valid_tags_keep_what_the_scheme_can_express(
    scheme: Scheme, sentence: tuple[list[Span], int]
) -> None:
    names = scheme.pipeline_names(scheme.encode(*sentence))
    assert {name[0] for name in names} <= set("OBI")
    # A scheme that opens nothing reads, in a pipeline, as IO does.
    reading = scheme if OPENING & set(scheme.prefixes) else SCHEMES["IO"]
    assert seqeval_spans(list(names)) == reading.expressible(sentence[0])


def test_io_merges_neighbours_of_one_type_and_no_others() -> None:
    spans = [Span(0, 1, "LOC"), Span(1, 3, "LOC"), Span(3, 4, "ORG")]
    assert SCHEMES["IO"].expressible(spans) == [Span(0, 3, "LOC"), Span(3, 4, "ORG")]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("IO", "I-X O I-X I-X I-X I-X I-Y"),
        ("IOB1", "I-X O I-X I-X I-X B-X I-Y"),
        ("IOB2", "B-X O B-X I-X I-X B-X B-Y"),
        ("BIOES", "S-X O B-X I-X E-X S-X S-Y"),
        ("BILOU", "U-X O B-X I-X L-X U-X U-Y"),
        ("BMES", "S-X O B-X M-X E-X S-X S-Y"),
        ("IOE2", "E-X O I-X I-X E-X E-X E-Y"),
    ],
)
def test_each_scheme_writes_its_own_letters(name: str, expected: str) -> None:
    spans = [Span(0, 1, "X"), Span(2, 5, "X"), Span(5, 6, "X"), Span(6, 7, "Y")]
    assert SCHEMES[name].encode(spans, 7) == expected.split()


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("IO", "O I-A I-B"),
        ("IOB1", "O B-A I-A B-B I-B"),
        ("IOB2", "O B-A I-A B-B I-B"),
        ("BIOES", "O B-A I-A E-A S-A B-B I-B E-B S-B"),
        ("BILOU", "O B-A I-A L-A U-A B-B I-B L-B U-B"),
        ("BMES", "O B-A M-A E-A S-A B-B M-B E-B S-B"),
        ("IOE2", "O I-A E-A I-B E-B"),
    ],
)
def test_tags_are_listed_in_a_fixed_order(name: str, expected: str) -> None:
    assert SCHEMES[name].tags(["B", "A", "B"]) == tuple(expected.split())


def test_a_tag_that_is_no_tag_is_refused_with_what_is_expected() -> None:
    for wrong in ("", "X-PER", "B", "B-", "PER", "O-PER", "o", "b-PER", "B- PER", "BPER"):
        with pytest.raises(ValueError, match=r"is not a tag; expected O, or B- I- M- E- S- L- U-"):
            parse_tag(wrong)


def test_a_type_may_contain_hyphens() -> None:
    assert parse_tag("B-creative-work") == ("B", "creative-work")


def test_a_scheme_refuses_letters_of_another() -> None:
    with pytest.raises(ValueError, match=r"'E-X' is not a tag of IOB2, whose prefixes are O B I"):
        SCHEMES["IOB2"].decode(["B-X", "E-X"])


def test_schemes_survive_pickling() -> None:
    for scheme in SCHEMES.values():
        assert pickle.loads(pickle.dumps(scheme)) == scheme


@pytest.mark.parametrize(
    ("tags", "scheme", "violations"),
    [
        ("O O", "IOB2", 0),
        ("B-X I-X B-X O", "IOB2", 0),
        ("B-X O B-Y", "IOB2", 0),
        ("I-X I-X O I-Y", "IOB1", 0),
        ("I-X B-X O I-Y", "IOB1", 0),
        ("B-X O B-X O I-X", "IOB2", 1),
        ("B-X E-X O S-Y", "BIOES", 0),
        ("S-X O S-Y", "BIOES", 0),
        ("B-X L-X O U-Y", "BILOU", 0),
        ("U-X I-X", "BILOU", 2),
        ("B-X M-X E-X O S-Y", "BMES", 0),
        ("B-X M-X O", "BMES", 1),
        ("E-X O I-X E-X E-X", "IOE2", 0),
        ("I-X E-X O I-Y O", "IOE2", 1),
    ],
)
def test_the_scheme_of_a_file_is_found_from_its_tags(
    tags: str, scheme: str, violations: int
) -> None:
    found = detect([tags.split()])
    assert (found.scheme, found.violations) == (scheme, violations)
    assert f"{scheme} {violations}" in found.evidence


@every_scheme
@unhurried
@given(many=st.lists(sentences(), min_size=1, max_size=4))
def test_well_formed_files_are_read_without_loss_whatever_their_scheme(
    scheme: Scheme, many: list[tuple[list[Span], int]]
) -> None:
    tags = [scheme.encode(spans, length) for spans, length in many]
    found = detect(tags)
    assert found.violations == 0
    for (spans, _), row in zip(many, tags, strict=True):
        assert SCHEMES[found.scheme].decode(row) == scheme.expressible(spans)


def test_every_scheme_but_bmes_can_be_trained() -> None:
    assert {*SCHEMES} == {*get_args(SchemeName), "BMES"}


def test_letters_that_no_scheme_has_together_are_refused() -> None:
    with pytest.raises(ValueError, match="no scheme has all the prefixes O S L; use the tags of"):
        detect([["S-X", "O"], ["L-X"]])
