"""Sub-words one by one: their scores, and their places in the text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from tokcls.data.windows import Encoded, Tokenizing, Windows
from tokcls.data.words import Word

Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Piece:
    """A sub-word as its tokenizer writes it; where it is in the text; the number of its word.

    `number` is its own: its place among the text's tokens, special ones before it included.
    """

    text: str
    start: int
    end: int
    word: int
    number: int


@dataclass(frozen=True)
class SubWords:
    """A text's sub-words and their probabilities, float64[sub-words, tags]."""

    pieces: Sequence[Piece]
    chances: npt.NDArray[np.float64]


def place(texts: Sequence[Sequence[Word]], tokenizing: Tokenizing) -> list[list[Piece]]:
    """Tokenise texts that are split into words, as `encode` does, and say where sub-words are."""
    encodings: Any = tokenizing.tokenizer.encode_batch(
        [[word.text for word in words] for words in texts],
        is_pretokenized=True,
        add_special_tokens=False,
    )
    unknown = getattr(tokenizing.tokenizer.model, "unk_token", None)
    return [
        [
            Piece(
                _written(text, unknown, words[word].text[start:end]),
                words[word].start + start,
                words[word].start + end,
                word,
                number,
            )
            for number, (text, word, (start, end)) in enumerate(
                zip(encoding.tokens, encoding.word_ids, encoding.offsets, strict=True),
                len(tokenizing.prefix),
            )
        ]
        for words, encoding in zip(texts, encodings, strict=True)
    ]


def _written(piece: str, unknown: str | None, word: str) -> str:
    """A sub-word that the tokenizer does not know is written as the text has it."""
    return word if piece == unknown else piece


def one_by_one(encoded: Encoded, windows: Windows) -> tuple[list[Flags], Encoded]:
    """Take each sub-word for a word of its own; also gives by text which are in any window.

    Those that are in none, the ends of words longer than a window, are no words.
    """
    edges = np.zeros(len(encoded.ids) + 1, np.int64)
    np.add.at(edges, windows.start, 1)
    np.add.at(edges, windows.end, -1)
    seen = np.cumsum(edges[:-1]) > 0
    ranks = np.concatenate([np.zeros(1, np.int64), np.cumsum(seen)])
    bounds = ranks[encoded.offsets]
    # One that is in no window has the number of the one before, and no window to be read from.
    own = np.maximum(ranks[1:] - 1 - np.repeat(bounds[:-1], np.diff(encoded.offsets)), 0)
    singly = replace(encoded, word=own.astype(np.int32), words=np.diff(bounds).astype(np.int32))
    return [seen[start:end] for start, end in pairwise(encoded.offsets.tolist())], singly
