"""Every word gets the scores of the window that its vote names, whatever comes when."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from tokcls.data.windows import Encoded, Windows, cut, votes
from tokcls.data.word_scores import WordScores
from tokcls.errors import TokclsError
from tokcls.labels.decoding import log_softmax

TAGS = 4
PREFIX = 1
UNREAD = np.log(np.array([0.4, 0.3, 0.2, 0.1], np.float32))


def encoded(*sentences: list[int]) -> Encoded:
    """Build sentences from the number of sub-words of each word."""
    word = [index for sizes in sentences for index, size in enumerate(sizes) for _ in range(size)]
    return Encoded(
        ids=np.arange(len(word), dtype=np.int32),
        word=np.array(word, np.int32),
        offsets=np.cumsum([0, *(sum(sizes) for sizes in sentences)], dtype=np.int64),
        words=np.array([len(sizes) for sizes in sentences], np.int32),
    )


def outputs(windows: Windows, seed: int = 0) -> npt.NDArray[np.float32]:
    """Draw logits for all windows at once, with a column for the prefix and one for the suffix."""
    length = int(windows.lengths().max()) + 2
    draw = np.random.default_rng(seed)
    return draw.normal(size=(len(windows), length, TAGS)).astype(np.float32)


@pytest.mark.parametrize("order", [[[0, 1, 2, 3]], [[3], [1, 0], [2]]])
def test_each_word_is_read_where_its_vote_says(order: list[list[int]]) -> None:
    sentences = encoded([1, 2, 1, 1, 3, 1, 1], [2, 1])
    windows = cut(sentences, room=5, stride=2)
    assert len(windows) == 4
    logits = outputs(windows)
    scores = WordScores(sentences, windows, UNREAD)
    for batch in order:
        scores.add(np.array(batch), logits[batch], offset=PREFIX)
    chosen = votes(sentences, windows)
    expected = log_softmax(logits[chosen.window, PREFIX + chosen.position])
    found = scores.by_sentence()
    assert [rows.shape for rows in found] == [(7, TAGS), (2, TAGS)]
    np.testing.assert_array_equal(np.concatenate(found), expected)


def test_a_word_without_subwords_has_the_row_that_is_given_for_it() -> None:
    sentences = encoded([1, 0, 1], [0], [])
    windows = cut(sentences, room=8, stride=0)
    scores = WordScores(sentences, windows, UNREAD)
    scores.add(np.arange(len(windows)), outputs(windows), offset=PREFIX)
    first, second, third = scores.by_sentence()
    assert first[1].tolist() == UNREAD.tolist()
    assert second.tolist() == [UNREAD.tolist()]
    assert third.shape == (0, TAGS)


def test_rows_are_log_probabilities() -> None:
    sentences = encoded([1, 0, 2])
    windows = cut(sentences, room=8, stride=0)
    scores = WordScores(sentences, windows, UNREAD)
    scores.add(np.arange(len(windows)), 50 * outputs(windows), offset=PREFIX)
    (rows,) = scores.by_sentence()
    assert rows.dtype == np.float32
    np.testing.assert_allclose(np.exp(rows).sum(axis=1), 1.0, atol=1e-6)


def test_sentences_whose_windows_never_came_leave_the_others_alone() -> None:
    sentences = encoded([1, 1], [1, 1, 1])
    windows = cut(sentences, room=8, stride=0)
    logits = outputs(windows)
    scores = WordScores(sentences, windows, UNREAD)
    scores.add(np.array([1]), logits[[1]], offset=PREFIX)
    (second,) = scores.by_sentence(chosen=np.array([1]))
    np.testing.assert_array_equal(second, log_softmax(logits[1, PREFIX : PREFIX + 3]))


def test_a_sentence_whose_window_never_came_is_an_error_with_counts() -> None:
    sentences = encoded([1, 1], [1, 0, 1])
    windows = cut(sentences, room=8, stride=0)
    scores = WordScores(sentences, windows, UNREAD)
    scores.add(np.array([0]), outputs(windows)[[0]], offset=PREFIX)
    message = "every word must be decided: 2 of 5 words in 2 sentences were in no window"
    with pytest.raises(TokclsError, match=message):
        scores.by_sentence()
