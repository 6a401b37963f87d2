"""Windows are cut over sentences or over documents; everything else stays by sentence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tokcls.data.corpus import Corpus, Sentence
from tokcls.data.prepared import PreparedSplit, prepare
from tokcls.data.texts import check_context, join, texts_of
from tokcls.data.windows import Tokenizing, votes
from tokcls.data.word_scores import WordScores
from tokcls.errors import CorpusError, TokclsError
from tokcls.labels.spans import Span

# A busy machine is no failure, and the tokenizer is the same for every example.
unhurried = settings(
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
UNREAD = np.zeros(3, np.float32)
WORDS = ("The", "ferry", "to", "Inverlochy", "leaves", "at", "Jean-Luc", "\u200b", "said", ",")


def sentences(*documents: Sequence[int]) -> tuple[Sentence, ...]:
    """Sentences of so many words each, document by document; the first word is a span."""
    return tuple(
        Sentence(
            tuple(WORDS[at % len(WORDS)] for at in range(size)),
            (Span(0, 1, "X"),) if size else (),
            number,
        )
        for number, sizes in enumerate(documents)
        for size in sizes
    )


def corpus_of(*documents: Sequence[int]) -> Corpus:
    made = sentences(*documents)
    return Corpus(made, made, (), "letters", {})


def both(tokenizing: Tokenizing, *documents: Sequence[int]) -> tuple[PreparedSplit, PreparedSplit]:
    corpus = corpus_of(*documents)
    return (
        prepare(corpus, tokenizing, stride=4).splits["train"],
        prepare(corpus, tokenizing, stride=4, context="document").splits["train"],
    )


@pytest.mark.parametrize(
    ("documents", "expected"),
    [([], []), ([7], [0]), ([0, 0, 1, 1, 1, 5], [0, 0, 1, 1, 1, 2]), ([0, 1, 0], [0, 1, 2])],
)
def test_neighbours_of_one_document_are_one_text(documents: list[int], expected: list[int]) -> None:
    assert texts_of(documents, "document").tolist() == expected
    assert texts_of(documents, "sentence").tolist() == list(range(len(documents)))


def test_sentences_of_a_text_stand_end_to_end() -> None:
    text = np.array([0, 0, 1], np.int32)
    assert join([["a", "b"], [], ["c"]], text) == [["a", "b"], ["c"]]
    assert join([], np.array([], np.int32)) == []


def test_windows_are_filled_with_neighbours_and_end_with_the_document(
    wordpiece: Tokenizing,
) -> None:
    alone, together = both(wordpiece, [2] * 6, [2, 2])
    assert alone.windows.text.tolist() == list(range(8))
    assert len(together.windows) < len(alone.windows)
    begins = np.searchsorted(together.encoded.owners, together.offsets[:-1])
    inner = [((begins > start) & (begins < end)).sum() for start, end in windows_of(together)]
    assert min(inner) >= 1  # each window holds the border of two sentences at least
    border = int(begins[6])
    assert not any(start < border < end for start, end in windows_of(together))


def windows_of(split: PreparedSplit) -> list[tuple[int, int]]:
    return list(zip(split.windows.start.tolist(), split.windows.end.tolist(), strict=True))


@pytest.mark.parametrize("kind", ["wordpiece", "byte_level"])
def test_the_context_changes_windows_and_nothing_else(
    kind: str, request: pytest.FixtureRequest
) -> None:
    alone, together = both(request.getfixturevalue(kind), [3, 11, 1], [0, 8], [5])
    for name in ("word", "offsets"):
        assert getattr(alone, name).tolist() == getattr(together, name).tolist()
    assert (alone.gold, alone.lengths) == (together.gold, together.lengths)
    assert alone.encoded.ids.tolist() == together.encoded.ids.tolist()
    assert alone.encoded.owners.tolist() == together.encoded.owners.tolist()
    for sentence in range(len(alone.gold)):
        assert alone.gold_parts(sentence) == together.gold_parts(sentence)


@unhurried
@given(
    documents=st.lists(
        st.lists(st.integers(0, 30), min_size=1, max_size=4), min_size=1, max_size=6
    ),
    world=st.integers(1, 4),
)
def test_every_sentence_is_decided_on_one_rank_by_that_rank_s_windows(
    wordpiece: Tokenizing, documents: list[list[int]], world: int
) -> None:
    if not any(map(sum, documents)):
        documents = [*documents, [3, 3]]
    for split in both(wordpiece, [1, 1], *documents):
        found = votes(split.encoded, split.windows)
        seen: list[int] = []
        for rank in range(world):
            mine, windows = split.sentences_of(rank, world), split.windows_of(rank, world)
            seen += mine.tolist()
            assert len(windows)
            needed = {
                int(window)
                for sentence in mine
                for window in found.window[slice(*split.offsets[sentence : sentence + 2])]
                if window >= 0
            }
            assert needed <= set(windows.tolist())
        assert sorted(seen) == list(range(len(split.gold)))


def test_a_rank_without_sentences_has_a_window_all_the_same(wordpiece: Tokenizing) -> None:
    _, together = both(wordpiece, [4, 4])
    assert together.sentences_of(1, 2).tolist() == []
    assert together.windows_of(1, 2).tolist() == [0]


def test_a_split_that_gives_no_subword_is_refused_when_it_is_scored(
    wordpiece: Tokenizing,
) -> None:
    nothing = Sentence(("\u200b", "\u00ad"), (), 0)
    split = prepare(Corpus((nothing,), (), (), "x", {}), wordpiece, stride=4).splits["train"]
    with pytest.raises(CorpusError, match="turns all 2 words of a split into nothing; use other"):
        split.windows_of(0, 1)


def test_scores_are_given_by_sentence_whatever_the_texts(wordpiece: Tokenizing) -> None:
    alone, together = both(wordpiece, [3, 0, 9], [5])
    for split in (alone, together):
        scores = WordScores(split.encoded, split.windows, UNREAD)
        columns = int(split.windows.lengths().max())
        logits = np.zeros((len(split.windows), columns, 3), np.float32)
        scores.add(np.arange(len(split.windows)), logits, offset=0)
        rows = scores.by_sentence(split.offsets)
        assert [len(each) for each in rows] == np.diff(split.offsets).tolist()
        assert len(scores.by_sentence(split.offsets, np.array([2]))[0]) == len(rows[2])


def test_a_word_that_no_window_holds_is_an_error_and_not_silently_outside(
    wordpiece: Tokenizing,
) -> None:
    _, split = both(wordpiece, [20, 20])
    lost = split.windows.take(np.arange(len(split.windows) - 1))
    scores = WordScores(split.encoded, lost, UNREAD)
    logits = np.zeros((len(lost), int(lost.lengths().max()), 3), np.float32)
    scores.add(np.arange(len(lost)), logits, offset=0)
    assert len(scores.by_sentence(split.offsets, np.array([0]))) == 1
    with pytest.raises(TokclsError, match=r"every word must be decided: \d+ of \d+ words in 2 sen"):
        scores.by_sentence(split.offsets)


def test_documents_are_refused_where_there_are_none(wordpiece: Tokenizing) -> None:
    corpus = replace(corpus_of([3], [3]), undocumented=("train", "validation"))
    message = r"letters does not say which sentences of train and validation stand .*; use `senten"
    with pytest.raises(CorpusError, match=message):
        check_context(corpus, "document")
    with pytest.raises(CorpusError, match=message):
        prepare(corpus, wordpiece, stride=4, context="document")
    check_context(corpus, "sentence")
    check_context(corpus_of([3], [3]), "document")
