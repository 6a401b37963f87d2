"""What truncation would lose is counted as the truncating tokenizer itself loses it."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tokcls.config import Context, DataConfig
from tokcls.data.corpus import Corpus, Sentence
from tokcls.data.prepared import prepare
from tokcls.data.source import load_corpus
from tokcls.data.truncation import lost_by_truncation
from tokcls.data.windows import Tokenizing, votes
from tokcls.labels.spans import Span

# A busy machine is no failure, and the tokenizer is the same for every example.
unhurried = settings(
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
words = st.sampled_from(["ferry", "Inverlochy", "of", "U.S.", "unbelievable", ",", "Jean-Luc"])
texts = st.lists(st.lists(words, min_size=1, max_size=25), min_size=1, max_size=5)


def corpus_of(lines: list[list[str]]) -> Corpus:
    """One document in which every other word is a span, and some spans are two words long."""
    made = tuple(
        Sentence(
            tuple(line),
            tuple(
                Span(at, min(at + 1 + at % 4 // 2, len(line)), "X") for at in range(0, len(line), 2)
            ),
            0,
        )
        for line in lines
    )
    return Corpus(made, (), (), "made", {})


def lost_in(sentence: Sentence, made: Tokenizing, room: int) -> int:
    """Truncate for real, and count the spans of which a word has no first sub-word left."""
    raw = made.tokenizer.from_str(made.tokenizer.to_str())
    raw.enable_truncation(room)
    encoding = raw.encode(list(sentence.words), is_pretokenized=True, add_special_tokens=False)
    left = set(encoding.word_ids)
    return sum(not set(range(span.start, span.end)) <= left for span in sentence.spans)


@unhurried
@given(lines=texts, room=st.integers(1, 30), context=st.sampled_from(["sentence", "document"]))
def test_the_count_is_that_of_a_tokenizer_that_truncates(
    wordpiece: Tokenizing, lines: list[list[str]], room: int, context: Context
) -> None:
    corpus = corpus_of(lines)
    split = prepare(corpus, wordpiece, stride=4, context=context).splits["train"]
    expected = sum(lost_in(sentence, wordpiece, room) for sentence in corpus.train)
    assert lost_by_truncation(split, room) == expected


def test_nothing_is_lost_of_sentences_that_fit_or_of_none(wordpiece: Tokenizing) -> None:
    prepared = prepare(corpus_of([["of", "ferry"], [","]]), wordpiece, stride=4)
    assert lost_by_truncation(prepared.splits["train"], wordpiece.room) == 0
    assert lost_by_truncation(prepared.splits["test"], wordpiece.room) == 0


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["wordpiece", "byte_level"])
def test_of_whole_books_truncation_loses_most_and_windows_nothing(
    kind: str, real_data: Path, request: pytest.FixtureRequest
) -> None:
    made: Tokenizing = request.getfixturevalue(kind)
    corpus = load_corpus(DataConfig(source=str(real_data / "litbank-longdoc")), seed=1)
    books = Corpus(corpus.validation, (), (), "books", {})
    split = prepare(books, made, stride=4).splits["train"]
    gold = sum(map(len, split.gold))
    assert gold == 1061
    assert lost_by_truncation(split, 510) > gold / 2
    assert (votes(split.encoded, split.windows).window >= 0).all()
