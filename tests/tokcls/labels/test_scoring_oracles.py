"""Our counts beside seqeval's and seqscore's, to the last one: random taggings and real corpora."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from seqeval.metrics.sequence_labeling import (  # type: ignore[import-untyped]
    get_entities,
    precision_recall_fscore_support,
)
from seqscore.scoring import score_label_sequences  # type: ignore[import-untyped]

from tokcls.config import DataConfig
from tokcls.data.source import load_corpus
from tokcls.labels.schemes import SCHEMES
from tokcls.labels.scoring import Counts, count

Tags = list[list[str]]
IOB2 = SCHEMES["IOB2"]
REAL_DATA = Path(__file__).parents[4] / "shared" / "data"


def counted(gold: Tags, predicted: Tags) -> Counts:
    sides = [[IOB2.decode(tags) for tags in side] for side in (gold, predicted)]
    types = sorted({span.type for side in sides for spans in side for span in spans})
    return count(sides[0], sides[1], [len(tags) for tags in gold], types)


def check(gold: Tags, predicted: Tags) -> Counts:
    ours = counted(gold, predicted)
    true, guessed = set(get_entities(gold)), set(get_entities(predicted))
    for counted_by_us, by_seqeval in (
        (ours.tp, true & guessed),
        (ours.fp, guessed - true),
        (ours.fn, true - guessed),
    ):
        by_type = Counter(type_ for type_, _, _ in by_seqeval)
        assert counted_by_us.tolist() == [by_type[type_] for type_ in ours.types]
    scores = precision_recall_fscore_support(gold, predicted, zero_division=0)
    per_type = ours.per_type().values()
    assert np.array_equal(scores[0], [one.precision for one in per_type])
    assert np.array_equal(scores[1], [one.recall for one in per_type])
    assert scores[2] == pytest.approx([one.f1 for one in per_type])
    assert scores[3].tolist() == [one.gold for one in per_type]
    theirs, _ = score_label_sequences(predicted, gold, "BIO", repair="conlleval")
    for number, type_ in enumerate(ours.types):
        one = theirs.type_scores[type_]
        counts = (int(ours.tp[number]), int(ours.fp[number]), int(ours.fn[number]))
        assert counts == (one.true_pos, one.false_pos, one.false_neg), type_
    whole = (int(ours.tp.sum()), int(ours.fp.sum()), int(ours.fn.sum()))
    assert whole == (theirs.true_pos, theirs.false_pos, theirs.false_neg)
    return ours


def disturbed(gold: Tags, chance: random.Random) -> Tags:
    """Predictions as a model makes them: mostly right, at times any tag at all."""
    tags = sorted({tag for row in gold for tag in row})
    return [[chance.choice(tags) if chance.random() < 0.15 else tag for tag in row] for row in gold]


def test_thousands_of_random_taggings_are_counted_as_seqeval_and_seqscore_count_them() -> None:
    chance = random.Random(7)
    tags = IOB2.tags(("LOC", "MISC", "ORG"))
    for _ in range(100):
        lengths = [chance.randint(1, 12) for _ in range(40)]
        gold, predicted = ([chance.choices(tags, k=length) for length in lengths] for _ in range(2))
        check(gold, predicted)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["bundled", "wikigold", "wnut17", "ncbi-disease", "uner-danish-ddt", "sec-filings"]
)
def test_real_corpora_are_counted_as_seqeval_and_seqscore_count_them(name: str) -> None:
    folder = REAL_DATA / name
    if name != "bundled" and not folder.is_dir():
        pytest.skip(f"{folder} is not there")
    corpus = load_corpus(DataConfig(source="bundled" if name == "bundled" else str(folder)), seed=1)
    sentences = corpus.validation
    gold = [IOB2.encode(one.spans, len(one.words)) for one in sentences]
    ours = check(gold, disturbed(gold, random.Random(name)))
    assert int((ours.tp + ours.fn).sum()) == sum(len(one.spans) for one in sentences)
    assert int(ours.tp.sum()) > 0
