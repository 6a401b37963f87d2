from __future__ import annotations

import pickle
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tokcls.labels.schema import LabelSchema
from tokcls.labels.schemes import SCHEMES
from tokcls.labels.spans import Span

SPANS = [Span(0, 1, "LOC"), Span(2, 5, "ORG")]


@pytest.mark.parametrize("scheme", SCHEMES)
def test_spans_come_back_from_their_ids(scheme: str) -> None:
    schema = LabelSchema(scheme, ("LOC", "ORG"))
    ids = schema.encode_ids(SPANS, 6)
    assert ids.dtype == np.int32
    assert ids.shape == (6,)
    assert schema.decode_ids(ids) == SPANS


def test_an_empty_sentence_has_no_ids() -> None:
    schema = LabelSchema("BIOES", ("LOC",))
    assert schema.encode_ids([], 0).shape == (0,)
    assert schema.decode_ids([]) == []


@pytest.mark.parametrize(
    ("scheme", "expected"),
    [
        ("IO", "O I-X"),
        ("IOB1", "O I-X I-X"),
        ("IOB2", "O I-X I-X"),
        ("BIOES", "O I-X I-X E-X I-X"),
        ("BILOU", "O I-X I-X L-X I-X"),
        ("BMES", "O M-X M-X E-X M-X"),
        ("IOE2", "O I-X E-X"),
    ],
)
def test_further_subwords_carry_on_the_words_tag(scheme: str, expected: str) -> None:
    schema = LabelSchema(scheme, ("X",), "all")
    assert [schema.tags[number] for number in schema.continuation] == expected.split()
    assert schema.continuation.dtype == np.int32


def test_a_schema_comes_back_from_pickle() -> None:
    schema = LabelSchema("BILOU", ("LOC", "ORG"), "all")
    assert schema.index["O"] == 0
    assert pickle.loads(pickle.dumps(schema)) == schema


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"scheme": "IOE"}, "scheme must be one of IOB2, BIOES, .* IO, IOE2, got 'IOE'"),
        ({"subwords": "last"}, "subwords must be first or all, got 'last'"),
        ({"types": ("B", "A")}, r"types must be sorted and distinct, got \['B', 'A'\]"),
    ],
)
def test_a_wrong_schema_is_refused_with_the_rule(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(LabelSchema("IO", ("A",)), **change)


def test_a_type_outside_the_schema_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"types \['PER'\] are not in the label schema"):
        LabelSchema("IOB2", ("LOC",)).encode_ids([Span(0, 1, "PER")], 1)
