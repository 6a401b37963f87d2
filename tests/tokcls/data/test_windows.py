from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tokcls.data.windows import (
    Encoded,
    Tokenizing,
    Windows,
    cut,
    encode,
    first_rows,
    tokenizing,
    votes,
)

# A busy machine is no failure.
unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

every_tokenizer = pytest.mark.parametrize("kind", ["wordpiece", "byte_level"])


def encoded_from(sizes: list[list[int]]) -> Encoded:
    """Sentences given by the number of sub-words of each word."""
    words = [np.repeat(np.arange(len(row)), row) for row in sizes]
    word = np.concatenate([*words, np.zeros(0, int)]).astype(np.int32)
    return Encoded(
        ids=np.arange(len(word), dtype=np.int32),
        word=word,
        offsets=np.cumsum([0, *(sum(row) for row in sizes)], dtype=np.int64),
        words=np.array([len(row) for row in sizes], np.int32),
    )


word_sizes = st.one_of(st.integers(0, 3), st.integers(0, 25))
texts = st.lists(st.lists(word_sizes, max_size=40), max_size=4)
rooms = st.integers(1, 20)
strides = st.integers(0, 40)


@unhurried
@given(sizes=texts, room=rooms, stride=strides)
def test_windows_cover_every_subword_but_the_tails_of_overlong_words(
    sizes: list[list[int]], room: int, stride: int
) -> None:
    encoded = encoded_from(sizes)
    windows = cut(encoded, room=room, stride=stride)
    covered = np.zeros(len(encoded.ids), bool)
    for start, end in zip(windows.start, windows.end, strict=True):
        covered[start:end] = True
    kept = [np.arange(size) < room for row in sizes for size in row]
    expected = np.concatenate([*kept, np.zeros(0, bool)])
    assert covered.tolist() == expected.tolist()


@unhurried
@given(sizes=texts, room=rooms, stride=strides)
def test_windows_are_short_enough_in_order_and_inside_their_sentence(
    sizes: list[list[int]], room: int, stride: int
) -> None:
    encoded = encoded_from(sizes)
    windows = cut(encoded, room=room, stride=stride)
    assert (windows.lengths() >= 1).all()
    assert (windows.lengths() <= room).all()
    assert (windows.start >= encoded.offsets[windows.text]).all()
    assert (windows.end <= encoded.offsets[windows.text + 1]).all()
    assert (np.diff(windows.text) >= 0).all()
    assert (np.diff(windows.start) > 0).all()
    assert (np.diff(windows.end) > 0).all()


@unhurried
@given(sizes=texts, room=rooms, stride=strides)
def test_windows_begin_with_a_word_and_do_not_cut_words_that_fit(
    sizes: list[list[int]], room: int, stride: int
) -> None:
    encoded = encoded_from(sizes)
    windows = cut(encoded, room=room, stride=stride)
    ends = np.cumsum([0, *(size for row in sizes for size in row)])
    assert set(windows.start) <= set(ends)
    torn = ~np.isin(windows.end, ends)
    assert (windows.lengths()[torn] == room).all()
    assert all(len(set(encoded.word[s : s + room])) == 1 for s in windows.start[torn])


@unhurried
@given(sizes=texts, room=rooms, stride=strides)
def test_every_word_with_a_subword_has_one_vote_at_its_first_subword(
    sizes: list[list[int]], room: int, stride: int
) -> None:
    encoded = encoded_from(sizes)
    windows = cut(encoded, room=room, stride=stride)
    found = votes(encoded, windows)
    flat = [size for row in sizes for size in row]
    assert found.offsets.tolist() == np.cumsum([0, *map(len, sizes)]).tolist()
    assert ((found.window >= 0) == (np.array(flat, int) > 0)).all()
    assert ((found.window >= 0) == (found.position >= 0)).all()
    firsts = np.cumsum([0, *flat])[:-1]
    voted = found.window >= 0
    at = windows.start[found.window[voted]] + found.position[voted]
    assert at.tolist() == firsts[voted].tolist()


@unhurried
@given(sizes=texts, room=rooms, stride=strides)
def test_a_vote_goes_to_the_first_window_with_the_most_context(
    sizes: list[list[int]], room: int, stride: int
) -> None:
    encoded = encoded_from(sizes)
    windows = cut(encoded, room=room, stride=stride)
    found = votes(encoded, windows)
    best: dict[int, tuple[int, int]] = {}
    rows = first_rows(encoded, windows)
    for window, position, word in zip(rows.window, rows.position, rows.word, strict=True):
        key = int(encoded.word_offsets[windows.text[window]] + word)
        context = min(position, windows.lengths()[window] - 1 - position)
        if key not in best or context > best[key][0]:
            best[key] = (context, window)
    assert {key: window for key, (_, window) in best.items()} == {
        key: window for key, window in enumerate(found.window) if window >= 0
    }


def ranges(windows: Windows) -> list[tuple[int, int]]:
    return list(zip(windows.start.tolist(), windows.end.tolist(), strict=True))


@pytest.mark.parametrize(
    ("sizes", "room", "stride", "expected"),
    [
        ([1] * 10, 10, 4, [(0, 10)]),
        ([1] * 10, 6, 2, [(0, 6), (4, 10)]),
        ([1] * 10, 4, 0, [(0, 4), (4, 8), (8, 10)]),
        ([1] * 10, 4, 99, [(0, 4), (2, 6), (4, 8), (6, 10)]),
        ([3, 3, 3, 3], 7, 2, [(0, 6), (3, 9), (6, 12)]),
        ([2, 9, 2], 4, 1, [(0, 2), (2, 6), (11, 13)]),
        ([1, 1, 1, 4, 1], 4, 2, [(0, 3), (3, 7), (7, 8)]),
        ([1, 1, 1, 3], 4, 2, [(0, 3), (2, 6)]),
        ([1] * 3, 1, 1, [(0, 1), (1, 2), (2, 3)]),
    ],
)
def test_long_sentences_are_cut_at_words_with_overlap(
    sizes: list[int], room: int, stride: int, expected: list[tuple[int, int]]
) -> None:
    assert ranges(cut(encoded_from([sizes]), room=room, stride=stride)) == expected


def test_a_sentence_without_subwords_has_no_window() -> None:
    windows = cut(encoded_from([[], [0, 0], [2]]), room=4, stride=1)
    assert windows.text.tolist() == [2]
    assert len(cut(encoded_from([]), room=4, stride=1)) == 0


def test_impossible_windows_are_refused() -> None:
    with pytest.raises(ValueError, match="room must be >= 1 and stride >= 0, got room=0, stride=2"):
        cut(encoded_from([[1]]), room=0, stride=2)


@every_tokenizer
def test_encoding_knows_the_word_of_every_subword(
    kind: str, text: str, request: pytest.FixtureRequest
) -> None:
    made: Tokenizing = request.getfixturevalue(kind)
    sentences = [line.split() for line in text.splitlines()]
    encoded = encode(sentences, made)
    assert encoded.words.tolist() == [len(words) for words in sentences]
    for number, words in enumerate(sentences):
        begin, end = encoded.offsets[number : number + 2]
        for place, word in enumerate(words):
            ids = encoded.ids[begin:end][encoded.word[begin:end] == place]
            alone = made.tokenizer.encode([word], is_pretokenized=True, add_special_tokens=False)
            assert ids.tolist() == alone.ids


def test_words_that_give_no_subword_have_none_and_disturb_no_other(wordpiece: Tokenizing) -> None:
    encoded = encode([["Cork", "", "\u200b", "Bergen"], [], ["\u00a0"]], wordpiece)
    assert encoded.words.tolist() == [4, 0, 1]
    assert set(encoded.word.tolist()) == {0, 3}
    found = votes(encoded, cut(encoded, room=wordpiece.room, stride=2))
    assert (found.window < 0).tolist() == [False, True, True, False, True]


def test_encoding_nothing_gives_empty_arrays(wordpiece: Tokenizing) -> None:
    encoded = encode([], wordpiece)
    assert (len(encoded.ids), encoded.offsets.tolist(), len(encoded.words)) == (0, [0], 0)
    assert len(votes(encoded, cut(encoded, room=4, stride=1)).window) == 0


def test_truncation_and_padding_of_the_tokenizer_are_turned_off(wordpiece: Tokenizing) -> None:
    tokenizer = wordpiece.tokenizer.from_str(wordpiece.tokenizer.to_str())
    tokenizer.enable_truncation(4)
    tokenizer.enable_padding(length=128)
    made = tokenizing(tokenizer, prefix=[2], suffix=[3], pad_id=0, max_length=32)
    sentence = [["The", "ferry", "to", "Inverlochy", "leaves"]]
    assert encode(sentence, made).ids.tolist() == encode(sentence, wordpiece).ids.tolist()
    assert (made.room, wordpiece.room) == (30, 14)


def test_a_window_without_room_for_text_is_refused(wordpiece: Tokenizing) -> None:
    with pytest.raises(ValueError, match="max_length must be more than 2 special ids, got 2"):
        tokenizing(wordpiece.tokenizer, prefix=[2], suffix=[3], pad_id=0, max_length=2)


@every_tokenizer
def test_two_hundred_thousand_words_are_prepared_in_seconds(
    kind: str, text: str, request: pytest.FixtureRequest
) -> None:
    made: Tokenizing = request.getfixturevalue(kind)
    words = text.split()
    sentences = [words[at % 50 : at % 50 + 20] for at in range(10_000)]
    started = time.perf_counter()
    encoded = encode(sentences, made)
    tokenised = time.perf_counter()
    votes(encoded, cut(encoded, room=made.room, stride=4))
    done = time.perf_counter()
    assert encoded.words.sum() == 200_000
    # Budgets 6 s and 1 s on a quiet machine; the bounds leave room for a busy one.
    assert tokenised - started < 12
    assert done - tokenised < 3
