"""From scores to spans, counts and metrics, in one share or in the shares of several ranks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.tiny import build_tokenizer
from tokcls.config import LabelsConfig
from tokcls.data.corpus import Corpus, Sentence
from tokcls.data.prepared import PreparedSplit, prepare
from tokcls.data.windows import Tokenizing, tokenizing
from tokcls.errors import TokclsError
from tokcls.labels.plan import type_plan
from tokcls.labels.schema import LabelSchema
from tokcls.labels.scoring import count, per_sentence
from tokcls.labels.spans import Span
from tokcls.model.evaluation import Evaluation, Share, decode_share, evaluate

TYPES = ("LOC", "PER")
SCHEMA = LabelSchema("IOB2", TYPES)
GOLD = ((Span(0, 2, "PER"), Span(3, 4, "LOC")), (), (Span(0, 1, "LOC"),), (Span(1, 3, "PER"),))
GUESSED = ((Span(0, 2, "PER"), Span(3, 4, "PER")), (), (Span(0, 1, "LOC"),), (Span(1, 2, "PER"),))
LENGTHS = (5, 3, 1, 3)
SURE = 0.9
PLAN = type_plan(LabelsConfig(), TYPES)

Floats = NDArray[np.float32]


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Tokenizing:
    tokenizer = build_tokenizer("wordpiece", tmp_path_factory.mktemp("tokenizer"))
    raw = tokenizer.backend_tokenizer
    return tokenizing(raw, prefix=(), suffix=(), pad_id=0, max_length=16)


@pytest.fixture
def split(small: Tokenizing) -> PreparedSplit:
    return prepared_split(small, GOLD)


def prepared_split(small: Tokenizing, gold: Sequence[tuple[Span, ...]]) -> PreparedSplit:
    """Prepare sentences of `LENGTHS` words, each of one part, with these gold spans."""
    sentences = tuple(
        Sentence(("word",) * length, spans, document=0)
        for length, spans in zip(LENGTHS, gold, strict=True)
    )
    corpus = Corpus(sentences, sentences, (), "made", {})
    return prepare(corpus, small, stride=4).splits["validation"]


def scores_for(spans: Sequence[Span], length: int, sure: float = SURE) -> Floats:
    """Log-probabilities that give every word's tag in `spans` the probability `sure`."""
    tags = len(SCHEMA.tags)
    rows = np.full((length, tags), math.log((1 - sure) / (tags - 1)), np.float32)
    rows[np.arange(length), SCHEMA.encode_ids(spans, length)] = math.log(sure)
    return rows


def share_of(split: PreparedSplit, sentences: Sequence[int], decoding: str = "viterbi") -> Share:
    chosen = np.array(sentences, np.int64)
    scores = [scores_for(GUESSED[number], LENGTHS[number]) for number in sentences]
    return decode_share(split, chosen, scores, SCHEMA, PLAN, decoding=decoding)


def same(one: Evaluation, two: Evaluation) -> bool:
    return (
        one.spans == two.spans
        and np.array_equal(one.counts.vector(), two.counts.vector())
        and np.array_equal(one.per_sentence, two.per_sentence)
        and math.isclose(one.loss, two.loss)
    )


@pytest.mark.parametrize("decoding", ["argmax", "viterbi"])
def test_the_spans_are_those_that_the_scores_say(split: PreparedSplit, decoding: str) -> None:
    assert share_of(split, range(4), decoding).spans == GUESSED


def test_viterbi_allows_only_what_the_scheme_does_and_argmax_repairs(small: Tokenizing) -> None:
    # B-LOC is sure; I-PER after it is likeliest by itself, though I-LOC is not far behind.
    rows = np.full((3, len(SCHEMA.tags)), -9.0, np.float32)
    rows[0, SCHEMA.index["B-LOC"]] = -0.01
    rows[1, [SCHEMA.index["I-PER"], SCHEMA.index["I-LOC"]]] = -0.5, -1.0
    rows[2, SCHEMA.index["O"]] = -0.01
    split, one = prepared_split(small, ((), (), (), ())), np.array([1])
    viterbi = decode_share(split, one, [rows], SCHEMA, PLAN, decoding="viterbi")
    argmax = decode_share(split, one, [rows], SCHEMA, PLAN, decoding="argmax")
    assert viterbi.tally.invalid == argmax.tally.invalid == 1
    assert viterbi.spans == ((Span(0, 2, "LOC"),),)
    assert argmax.spans == ((Span(0, 1, "LOC"), Span(1, 2, "PER")),)


def test_the_metrics_are_those_of_the_scorer(split: PreparedSplit) -> None:
    evaluation = evaluate(split, [share_of(split, range(4))], SCHEMA, PLAN)
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


def test_the_loss_is_the_cross_entropy_of_the_gold_tags_per_word(split: PreparedSplit) -> None:
    right = [scores_for(GOLD[number], LENGTHS[number]) for number in range(4)]
    share = decode_share(split, np.arange(4), right, SCHEMA, PLAN, decoding="argmax")
    assert evaluate(split, [share], SCHEMA, PLAN).loss == pytest.approx(-math.log(SURE))
    wrong = -math.log((1 - SURE) / (len(SCHEMA.tags) - 1))
    mixed = (10 * -math.log(SURE) + 2 * wrong) / 12
    assert evaluate(split, [share_of(split, range(4))], SCHEMA, PLAN).loss == pytest.approx(mixed)


@pytest.mark.parametrize("ranks", [([0, 2], [1, 3]), ([3, 0], [2, 1]), ([0, 1, 2, 3], [])])
def test_the_shares_of_several_ranks_are_scored_as_one(
    split: PreparedSplit, ranks: tuple[list[int], ...]
) -> None:
    whole = evaluate(split, [share_of(split, range(4))], SCHEMA, PLAN)
    assert same(evaluate(split, [share_of(split, rank) for rank in ranks], SCHEMA, PLAN), whole)


def test_the_f1_of_shares_is_not_the_mean_of_their_f1s(split: PreparedSplit) -> None:
    shares = [share_of(split, [0, 1]), share_of(split, [2, 3])]
    joint = evaluate(split, shares, SCHEMA, PLAN).metrics("val")["val_f1"]
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
    split: PreparedSplit, ranks: tuple[list[int], ...], message: str
) -> None:
    with pytest.raises(TokclsError, match=message):
        evaluate(split, [share_of(split, rank) for rank in ranks], SCHEMA, PLAN)


def test_a_gold_span_that_was_lost_after_it_was_read_is_an_error(split: PreparedSplit) -> None:
    lost = replace(split, gold=((), *split.gold[1:]))
    in_file, left = sum(map(len, split.gold)), sum(map(len, lost.gold))
    shares = [share_of(lost, range(len(lost.gold)))]
    with pytest.raises(TokclsError, match=f"the file has {in_file}, scored {left}"):
        evaluate(lost, shares, SCHEMA, PLAN)


def test_a_gold_span_that_would_not_be_scored_is_an_error(small: Tokenizing) -> None:
    twice = ((Span(0, 1, "LOC"), Span(0, 1, "LOC")), (), (), ())
    split = prepared_split(small, twice)
    honest = share_of(prepared_split(small, ((Span(0, 1, "LOC"),), (), (), ())), range(4))
    with pytest.raises(TokclsError, match=r"the file has 2, scored 1"):
        evaluate(split, [honest], SCHEMA, PLAN)
