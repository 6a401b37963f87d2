"""From a network's outputs to one row of scores per word: the same in training and in serving.

Batches may come in any order, and only some of them may come (one rank's share). Knows nothing of
torch: outputs arrive as arrays.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from tokcls.data.windows import Encoded, Windows, votes
from tokcls.errors import TokclsError
from tokcls.labels.decoding import log_softmax

Longs = npt.NDArray[np.int64]
Floats = npt.NDArray[np.floating[Any]]


class WordScores:
    """Collects log-probabilities, float32[words, tags], each word's from the window of its vote.

    A word without sub-words has the row `unread`, float32[tags] (`LabelSchema.unread`).
    """

    def __init__(self, encoded: Encoded, windows: Windows, unread: npt.NDArray[np.float32]) -> None:
        chosen = votes(encoded, windows)
        order = np.argsort(chosen.window, kind="stable")
        self._word = order
        self._position = chosen.position[order]
        self._bounds = np.searchsorted(chosen.window[order], np.arange(len(windows) + 1))
        self._offsets = chosen.offsets
        self._rows = np.tile(unread, (len(order), 1))
        self._undecided = np.zeros(len(order), bool)
        self._undecided[encoded.owners] = True

    def add(self, batch: Longs, logits: Floats, *, offset: int) -> None:
        """Take in the outputs [B, L, tags] of the windows numbered `batch`.

        `offset` is the column of a window's first sub-word: the length of the prefix.
        """
        starts, stops = self._bounds[batch], self._bounds[batch + 1]
        counts = stops - starts
        row = np.repeat(np.arange(len(batch)), counts)
        before = np.repeat(np.cumsum(counts) - counts, counts)
        at = np.repeat(starts, counts) + np.arange(len(row)) - before
        self._undecided[self._word[at]] = False
        self._rows[self._word[at]] = log_softmax(logits[row, offset + self._position[at]])

    def by_sentence(
        self, offsets: Longs | None = None, chosen: Longs | None = None
    ) -> list[npt.NDArray[np.float32]]:
        """Give float32[words of the sentence, tags] of the chosen sentences, in their order.

        `offsets`, int64[S + 1], says where sentences begin among all words; unset: where texts do.
        `chosen` are the numbers of those wanted; unset: all.

        Raises:
            TokclsError: a word of theirs has sub-words, but was in no window that came.
        """
        bounds = self._offsets if offsets is None else offsets
        numbers = np.arange(len(bounds) - 1) if chosen is None else chosen
        places = [slice(*bounds[number : number + 2].tolist()) for number in numbers]
        missing = 0
        if self._undecided.any():
            missing = sum(int(self._undecided[place].sum()) for place in places)
        if missing:
            words = sum(place.stop - place.start for place in places)
            raise TokclsError(
                f"every word must be decided: {missing} of {words} words in {len(numbers)} "
                "sentences were in no window that was scored"
            )
        return [self._rows[place] for place in places]
