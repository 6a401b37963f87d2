"""From words to sub-words, and from texts to windows that fit a backbone; no word is dropped.

A text is a sentence or a whole document (`tokcls.data.texts` says which). Works with a raw
`tokenizers.Tokenizer`; knows nothing of tags, torch or transformers. All arrays are flat, with
offsets, so that processes can share them without a copy.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

Ints = npt.NDArray[np.int32]
Longs = npt.NDArray[np.int64]

_CHUNK = 1024


@dataclass(frozen=True)
class Tokenizing:
    """A tokenizer without truncation and padding, the ids around a window, and the longest window.

    `max_length` is in sub-words and counts prefix and suffix.
    """

    tokenizer: Tokenizer
    prefix: tuple[int, ...]
    suffix: tuple[int, ...]
    pad_id: int
    max_length: int

    @property
    def room(self) -> int:
        """How many sub-words of text fit into a window."""
        return self.max_length - len(self.prefix) - len(self.suffix)


def tokenizing(
    tokenizer: Tokenizer,
    *,
    prefix: Sequence[int],
    suffix: Sequence[int],
    pad_id: int,
    max_length: int,
) -> Tokenizing:
    """Prepare a tokenizer for windows; turns off the truncation and padding baked into its file.

    Raises:
        ValueError: nothing fits between prefix and suffix.
    """
    tokenizer.no_truncation()
    tokenizer.no_padding()
    made = Tokenizing(tokenizer, tuple(prefix), tuple(suffix), pad_id, max_length)
    if made.room < 1:
        special = len(made.prefix) + len(made.suffix)
        raise ValueError(f"max_length must be more than {special} special ids, got {max_length}")
    return made


@dataclass(frozen=True)
class Encoded:
    """T texts as N sub-words.

    ids: int32[N]; word: int32[N], the sub-word's word in its text, never decreasing in it;
    offsets: int64[T + 1], where each text's sub-words begin; words: int32[T], words per text.
    """

    ids: Ints
    word: Ints
    offsets: Longs
    words: Ints

    @property
    def word_offsets(self) -> Longs:
        """int64[T + 1]: where each text begins in an array with one entry per word."""
        return _offsets(self.words)

    @property
    def owners(self) -> Longs:
        """int64[N]: the word of each sub-word, numbered among the words of all texts."""
        return np.repeat(self.word_offsets[:-1], np.diff(self.offsets)) + self.word


def encode(texts: Sequence[Sequence[str]], tokenizing: Tokenizing) -> Encoded:
    """Tokenise texts that are already split into words; some words may give no sub-word."""
    ids: list[int] = []
    word: list[int | None] = []
    sizes: list[int] = []
    for at in range(0, len(texts), _CHUNK):
        chunk = [list(words) for words in texts[at : at + _CHUNK]]
        # Not encode_batch_fast(): it does not tell which word a sub-word belongs to.
        for encoding in tokenizing.tokenizer.encode_batch(
            chunk, is_pretokenized=True, add_special_tokens=False
        ):
            ids.extend(encoding.ids)
            word.extend(encoding.word_ids)
            sizes.append(len(encoding.ids))
    return Encoded(
        ids=np.array(ids, np.int32),
        word=np.array(word, np.int32),
        offsets=_offsets(np.array(sizes, np.int64)),
        words=np.array([len(words) for words in texts], np.int32),
    )


def _offsets(sizes: npt.NDArray[np.integer]) -> Longs:
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(sizes, dtype=np.int64)])


@dataclass(frozen=True)
class Windows:
    """W slices of texts: int32[W] text, int64[W] start and end among all sub-words."""

    text: Ints
    start: Longs
    end: Longs

    def __len__(self) -> int:
        return len(self.text)

    def lengths(self) -> Longs:
        """int64[W]: sub-words per window, without prefix and suffix."""
        return self.end - self.start

    def take(self, rows: Longs) -> Windows:
        """Give the windows of these row numbers, in their order."""
        return Windows(self.text[rows], self.start[rows], self.end[rows])


def cut(encoded: Encoded, *, room: int, stride: int) -> Windows:
    """Cut texts into windows of at most `room` sub-words, in the order of the text.

    A text that fits is one window; a longer one is cut at word boundaries, and neighbours
    share about `stride` sub-words (at most half the room; rounded to whole words, fewer where a
    long word needs the place). A word longer than the room is a window of its own, reduced to its
    first `room` sub-words. A text without sub-words has no window.

    Raises:
        ValueError: `room` is below 1 or `stride` below 0.
    """
    if room < 1 or stride < 0:
        raise ValueError(f"room must be >= 1 and stride >= 0, got room={room}, stride={stride}")
    sizes = np.diff(encoded.offsets)
    whole = np.flatnonzero((sizes > 0) & (sizes <= room))
    text = whole.tolist()
    start, end = encoded.offsets[whole].tolist(), encoded.offsets[whole + 1].tolist()
    for number in np.flatnonzero(sizes > room).tolist():
        begin, stop = encoded.offsets[number : number + 2].tolist()
        changes = np.flatnonzero(np.diff(encoded.word[begin:stop])) + begin + 1
        bounds = [begin, *changes.tolist(), stop]
        for low, high in _slices(bounds, room, min(stride, room // 2)):
            text.append(number)
            start.append(low)
            end.append(high)
    order = np.argsort(np.array(text, np.int64), kind="stable")
    windows = Windows(np.array(text, np.int32), np.array(start, np.int64), np.array(end, np.int64))
    return windows.take(order)


def _slices(bounds: Sequence[int], room: int, stride: int) -> Iterator[tuple[int, int]]:
    """Cut one long text; `bounds` are its words' first sub-words, and its end."""
    start, stop = bounds[0], bounds[-1]
    while start < stop:
        here = bisect_right(bounds, start + room) - 1
        end = bounds[here]
        if end == start:
            yield start, start + room
            start = bounds[here + 1]
            continue
        yield start, end
        if end == stop:
            return
        # The next window must reach past the word that did not fit, or it would add nothing.
        back = bounds[max(0, bisect_right(bounds, end - stride) - 1)]
        needed = bounds[bisect_left(bounds, bounds[here + 1] - room)]
        start = min(end, max(back, needed))


@dataclass(frozen=True)
class FirstRows:
    """Where words begin in windows: int64[M] window, int64[M] position in it, int32[M] word."""

    window: Longs
    position: Longs
    word: Ints


def first_rows(encoded: Encoded, windows: Windows) -> FirstRows:
    """List every window's first sub-words, window by window; positions are without the prefix."""
    rows = all_rows(encoded, windows)
    keep = rows.first
    return FirstRows(rows.window[keep], rows.position[keep], encoded.word[rows.at[keep]])


@dataclass(frozen=True)
class Rows:
    """All M sub-words of some windows: int64[M] window, position in it, and number among all.

    first: bool[M], whether it is the first sub-word of its word.
    """

    window: Longs
    position: Longs
    at: Longs
    first: npt.NDArray[np.bool_]


def all_rows(encoded: Encoded, windows: Windows) -> Rows:
    """List every window's sub-words, window by window; positions are without the prefix."""
    lengths = windows.lengths()
    window = np.repeat(np.arange(len(windows)), lengths)
    position = np.arange(len(window)) - np.repeat(_offsets(lengths)[:-1], lengths)
    at = windows.start[window] + position
    # Windows begin with a word; at 0 the look at the sub-word before is meaningless but harmless.
    first = (position == 0) | (encoded.word[at] != encoded.word[at - 1])
    return Rows(window, position, at, first)


@dataclass(frozen=True)
class Votes:
    """The one place each word is read from: int64 window and position, one entry per word.

    Words without a sub-word have -1 in both. `offsets` int64[T + 1] says where each text begins.
    """

    window: Longs
    position: Longs
    offsets: Longs


def votes(encoded: Encoded, windows: Windows) -> Votes:
    """Choose for each word the window in which its first sub-word has most context.

    Context is the distance to the nearer end of the window; equals go to the earlier window.
    """
    rows = first_rows(encoded, windows)
    offsets = encoded.word_offsets
    word = offsets[windows.text[rows.window]] + rows.word
    context = np.minimum(rows.position, windows.lengths()[rows.window] - 1 - rows.position)
    # The best of each word comes first in the order, and unique() points to the first.
    order = np.lexsort((rows.window, -context, word))
    voted, best = np.unique(word[order], return_index=True)
    chosen = order[best]
    window = np.full(offsets[-1], -1, np.int64)
    position = np.full(offsets[-1], -1, np.int64)
    window[voted] = rows.window[chosen]
    position[voted] = rows.position[chosen]
    return Votes(window, position, offsets)
