"""Six public corpora are read to the last word; the figures were counted by other tools.

Sentences and words with an independent Python reader, spans and violations with seqeval's
`get_entities` and a loop over the tags.
"""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest

from tokcls.config import DataConfig
from tokcls.data.readers.formats import read_split
from tokcls.data.readers.rules import Rules
from tokcls.data.source import load_corpus

pytestmark = pytest.mark.slow  # seconds of reading real corpora


@dataclass(frozen=True)
class Size:
    """What one split holds."""

    sentences: int
    words: int
    violations: int
    spans: dict[str, int]


@dataclass(frozen=True)
class Real:
    """One corpus: its scheme, and its splits in the order train, validation, test."""

    scheme: str
    splits: tuple[Size, Size, Size]


CORPORA = {
    "litbank-longdoc": Real(
        "IOB2",
        (
            Size(
                80,
                168638,
                0,
                {"FAC": 1504, "GPE": 475, "LOC": 799, "ORG": 82, "PER": 6397, "VEH": 162},
            ),
            Size(10, 21037, 0, {"FAC": 218, "GPE": 50, "LOC": 72, "ORG": 4, "PER": 713, "VEH": 4}),
            Size(
                10, 20857, 0, {"FAC": 170, "GPE": 99, "LOC": 99, "ORG": 10, "PER": 896, "VEH": 15}
            ),
        ),
    ),
    "ncbi-disease": Real(
        "IOB2",
        (
            Size(5424, 135701, 0, {"Disease": 5134}),
            Size(923, 23969, 0, {"Disease": 787}),
            Size(940, 24497, 0, {"Disease": 960}),
        ),
    ),
    "sec-filings": Real(
        "IOB1",
        (
            Size(1032, 36414, 0, {"LOC": 135, "ORG": 238, "PER": 544}),
            Size(132, 4596, 0, {"LOC": 36, "MISC": 7, "ORG": 5, "PER": 203}),
            Size(303, 13246, 0, {"LOC": 39, "MISC": 7, "ORG": 56, "PER": 216}),
        ),
    ),
    "uner-danish-ddt": Real(
        "IOB2",
        (
            Size(4383, 80378, 6, {"LOC": 882, "ORG": 909, "PER": 1237}),
            Size(564, 10332, 0, {"LOC": 107, "ORG": 106, "PER": 166}),
            Size(565, 10023, 1, {"LOC": 90, "ORG": 172, "PER": 185}),
        ),
    ),
    "wikigold": Real(
        "IOB1",
        (
            Size(1234, 28050, 0, {"LOC": 693, "MISC": 506, "ORG": 560, "PER": 637}),
            Size(284, 6976, 0, {"LOC": 184, "MISC": 122, "ORG": 198, "PER": 191}),
            Size(178, 3981, 0, {"LOC": 137, "MISC": 84, "ORG": 140, "PER": 106}),
        ),
    ),
    "wnut17": Real(
        "IOB2",
        (
            Size(
                3394,
                62730,
                0,
                {
                    "corporation": 221,
                    "creative-work": 140,
                    "group": 264,
                    "location": 548,
                    "person": 660,
                    "product": 142,
                },
            ),
            Size(
                1009,
                15733,
                0,
                {
                    "corporation": 34,
                    "creative-work": 105,
                    "group": 39,
                    "location": 74,
                    "person": 470,
                    "product": 114,
                },
            ),
            Size(
                1287,
                23394,
                0,
                {
                    "corporation": 66,
                    "creative-work": 142,
                    "group": 165,
                    "location": 150,
                    "person": 429,
                    "product": 127,
                },
            ),
        ),
    ),
}


@pytest.mark.parametrize("name", CORPORA)
def test_a_real_corpus_is_read_whole(real_data: Path, name: str) -> None:
    corpus = load_corpus(DataConfig(source=str(real_data / name)), seed=1)
    found = tuple(
        Size(
            len(sentences),
            sum(len(sentence.words) for sentence in sentences),
            corpus.schemes[split].violations,
            Counter(span.type for sentence in sentences for span in sentence.spans),
        )
        for split, sentences in corpus.splits.items()
    )
    assert found == CORPORA[name].splits
    assert {read.scheme for read in corpus.schemes.values()} == {CORPORA[name].scheme}
    assert bool(corpus.notes) == any(size.violations for size in found)


def test_a_type_that_only_validation_and_test_have_is_kept(real_data: Path) -> None:
    corpus = load_corpus(DataConfig(source=str(real_data / "sec-filings")), seed=1)
    train = {span.type for sentence in corpus.train for span in sentence.spans}
    assert set(corpus.types) - train == {"MISC"}


def test_two_hundred_thousand_words_are_read_in_three_seconds(
    real_data: Path, tmp_path: Path
) -> None:
    texts = [path.read_text() for path in sorted((real_data / "ncbi-disease").glob("*.txt"))]
    (tmp_path / "long.txt").write_text("\n".join((*texts, *texts[:1])))
    started = time.process_time()
    read = read_split([tmp_path / "long.txt"], Rules())
    assert time.process_time() - started < 3
    assert sum(len(sentence.words) for sentence in read.sentences) > 200_000
