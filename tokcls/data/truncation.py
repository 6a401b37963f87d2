"""What plain truncation would have lost: the usual recipe keeps the first sub-words of a sentence.

Here nothing is truncated; this is for telling people what that is worth on their text.
"""

from __future__ import annotations

import numpy as np

from tokcls.data.prepared import PreparedSplit
from tokcls.data.windows import Longs


def lost_by_truncation(split: PreparedSplit, room: int) -> int:
    """Count the gold spans that are lost where each sentence ends after `room` sub-words.

    A span is lost if the first sub-word of its last word is cut off: with it goes the word's label.
    """
    begins = _word_begins(split)
    words = np.concatenate([np.zeros(1, np.int64), np.cumsum(split.lengths, dtype=np.int64)])
    ends = [
        int(begins[first + span.end - 1])
        for first, spans in zip(words.tolist(), split.gold, strict=False)
        for span in spans
    ]
    return int(np.count_nonzero(np.array(ends, np.int64) >= room))


def _word_begins(split: PreparedSplit) -> Longs:
    """How many sub-words of its sentence stand before each word: int64[words]."""
    part = split.encoded.owners
    sentence = np.repeat(np.arange(len(split.lengths)), np.diff(split.offsets))
    # A word begins where the word or the sentence changes; two sentences may be one word each.
    key = np.stack([sentence, split.word])
    first = np.flatnonzero(np.diff(key, prepend=-1).any(axis=0))
    before = np.searchsorted(part, first)
    return before - np.searchsorted(part, split.offsets[sentence[first]])
