"""From scores to spans, counts and metrics, in one part or in the parts of several ranks."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from tokcls.data.prepared import PreparedSplit
from tokcls.data.windows import Encoded, Windows
from tokcls.errors import TokclsError
from tokcls.labels.schema import LabelSchema
from tokcls.labels.scoring import count, per_sentence
from tokcls.labels.spans import Span
from tokcls.model.evaluation import Evaluation, Part, decode_part, evaluate

TYPES = ("LOC", "PER")
SCHEMA = LabelSchema("IOB2", TYPES)
GOLD = ((Span(0, 2, "PER"), Span(3, 4, "LOC")), (), (Span(0, 1, "LOC"),), (Span(1, 3, "PER"),))
GUESSED = ((Span(0, 2, "PER"), Span(3, 4, "PER")), (), (Span(0, 1, "LOC"),), (Span(1, 2, "PER"),))
LENGTHS = (5, 3, 1, 3)
SURE = 0.9

Floats = NDArray[np.float32]


def split_of(gold: Sequence[tuple[Span, ...]] = GOLD) -> PreparedSplit:
    """A split whose sub-words nobody asks for."""
    none, offsets = np.zeros(0, np.int32), np.zeros(len(gold) + 1, np.int64)
    encoded = Encoded(none, none, offsets, np.array(LENGTHS, np.int32))
    return PreparedSplit(encoded, Windows(none, offsets[:0], offsets[:0]), tuple(gold))


def scores_for(spans: Sequence[Span], length: int, sure: float = SURE) -> Floats:
    """Log-probabilities that give every word's tag in `spans` the probability `sure`."""
    tags = len(SCHEMA.tags)
    rows = np.full((length, tags), math.log((1 - sure) / (tags - 1)), np.float32)
    rows[np.arange(length), SCHEMA.encode_ids(spans, length)] = math.log(sure)
    return rows


def part_of(sentences: Sequence[int], decoding: str = "viterbi") -> Part:
    chosen = np.array(sentences, np.int64)
    scores = [scores_for(GUESSED[number], LENGTHS[number]) for number in sentences]
    return decode_part(split_of(), chosen, scores, SCHEMA, decoding=decoding)


def same(one: Evaluation, two: Evaluation) -> bool:
    return (
        one.spans == two.spans
        and np.array_equal(one.counts.vector(), two.counts.vector())
        and np.array_equal(one.per_sentence, two.per_sentence)
        and math.isclose(one.loss, two.loss)
    )


@pytest.mark.parametrize("decoding", ["argmax", "viterbi"])
def test_the_spans_are_those_that_the_scores_say(decoding: str) -> None:
    assert part_of(range(4), decoding).spans == GUESSED


def test_viterbi_allows_only_what_the_scheme_does_and_argmax_repairs() -> None:
    # B-LOC is sure; I-PER after it is likeliest by itself, though I-LOC is not far behind.
    rows = np.full((2, len(SCHEMA.tags)), -9.0, np.float32)
    rows[0, SCHEMA.index["B-LOC"]] = -0.01
    rows[1, [SCHEMA.index["I-PER"], SCHEMA.index["I-LOC"]]] = -0.5, -1.0
    split, one = split_of(((), (), (), ())), np.array([0])
    viterbi = decode_part(split, one, [rows], SCHEMA, decoding="viterbi")
    argmax = decode_part(split, one, [rows], SCHEMA, decoding="argmax")
    assert viterbi.spans == ((Span(0, 2, "LOC"),),)
    assert argmax.spans == ((Span(0, 1, "LOC"), Span(1, 2, "PER")),)


def test_the_metrics_are_those_of_the_scorer() -> None:
    evaluation = evaluate(split_of(), [part_of(range(4))], TYPES)
    metrics = evaluation.metrics("val")
    # Two of four guesses are right, and two of four gold spans are found.
    assert metrics["val_precision"] == metrics["val_recall"] == metrics["val_f1"] == 0.5
    assert metrics["val_accuracy"] == pytest.approx(10 / 12)
    assert metrics["val_precision_LOC"] == 1.0
    assert metrics["val_recall_LOC"] == 0.5
    assert metrics["val_f1_LOC"] == pytest.approx(2 / 3)
    assert metrics["val_f1_PER"] == pytest.approx(2 / 5)
    expected = count(GOLD, GUESSED, LENGTHS, TYPES)
    assert np.array_equal(evaluation.counts.vector(), expected.vector())
    assert np.array_equal(evaluation.per_sentence, per_sentence(GOLD, GUESSED, TYPES))
    assert set(evaluation.metrics("test")) == {key.replace("val_", "test_") for key in metrics}


def test_the_loss_is_the_cross_entropy_of_the_gold_tags_per_word() -> None:
    right = [scores_for(GOLD[number], LENGTHS[number]) for number in range(4)]
    part = decode_part(split_of(), np.arange(4), right, SCHEMA, decoding="argmax")
    assert evaluate(split_of(), [part], TYPES).loss == pytest.approx(-math.log(SURE))
    wrong = -math.log((1 - SURE) / (len(SCHEMA.tags) - 1))
    mixed = (10 * -math.log(SURE) + 2 * wrong) / 12
    assert evaluate(split_of(), [part_of(range(4))], TYPES).loss == pytest.approx(mixed)


@pytest.mark.parametrize("ranks", [([0, 2], [1, 3]), ([3, 0], [2, 1]), ([0, 1, 2, 3], [])])
def test_the_parts_of_several_ranks_are_scored_as_one(ranks: tuple[list[int], ...]) -> None:
    whole = evaluate(split_of(), [part_of(range(4))], TYPES)
    assert same(evaluate(split_of(), [part_of(rank) for rank in ranks], TYPES), whole)


def test_the_f1_of_parts_is_not_the_mean_of_their_f1s() -> None:
    parts = [part_of([0, 1]), part_of([2, 3])]
    joint = evaluate(split_of(), parts, TYPES).metrics("val")["val_f1"]
    halves = [
        count([GOLD[i] for i in ids], [GUESSED[i] for i in ids], [LENGTHS[i] for i in ids], TYPES)
        for ids in ([0, 1], [2])
    ]
    assert joint != pytest.approx(sum(half.scores().f1 for half in halves) / 2)


@pytest.mark.parametrize(
    ("ranks", "message"),
    [
        (([0, 1, 2],), r"4 sentences must each be predicted once, got 3 predictions for 3"),
        (([0, 1, 2, 3], [3]), r"got 5 predictions for 4 of them"),
        (([0, 1], [1, 2]), r"got 4 predictions for 3 of them"),
    ],
)
def test_a_sentence_that_is_missing_or_double_is_an_error(
    ranks: tuple[list[int], ...], message: str
) -> None:
    with pytest.raises(TokclsError, match=message):
        evaluate(split_of(), [part_of(rank) for rank in ranks], TYPES)


def test_a_gold_span_that_would_not_be_scored_is_an_error() -> None:
    twice = ((Span(0, 1, "LOC"), Span(0, 1, "LOC")), (), (), ())
    parts = [Part(np.arange(4), ((), (), (), ()), 0.0, 12)]
    with pytest.raises(TokclsError, match=r"the file has 2, scored 1"):
        evaluate(split_of(twice), parts, TYPES)
