"""What windows are cut over: each sentence by itself, or the sentences of a document end to end.

The order of the sentences stays, so an array with one entry per word, or per part of a word, is the
same either way; only where a text begins and ends differs.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from tokcls.config import Context
from tokcls.data.corpus import Corpus
from tokcls.errors import CorpusError, Problem

Ints = npt.NDArray[np.int32]


def texts_of(documents: Sequence[int], context: Context) -> Ints:
    """Number the text that each sentence stands in: int32[S], from 0, never decreasing.

    With `document`, neighbouring sentences of one document number are one text; a number that
    comes again later begins another.
    """
    if context == "sentence":
        return np.arange(len(documents), dtype=np.int32)
    numbers = np.asarray(documents, np.int64)
    begins = np.ones(len(numbers), np.int32)
    begins[1:] = numbers[1:] != numbers[:-1]
    return np.cumsum(begins, dtype=np.int32) - 1


def join(sentences: Sequence[Sequence[str]], text: Ints) -> list[list[str]]:
    """Put the sentences of each text end to end; `text` is that of each sentence, int32[S]."""
    joined: list[list[str]] = [[] for _ in range(int(text[-1]) + 1)] if len(text) else []
    for words, number in zip(sentences, text.tolist(), strict=True):
        joined[number] += words
    return joined


def check_context(corpus: Corpus, context: Context) -> None:
    """Refuse `document` where there is nothing to fill a window with.

    Raises:
        CorpusError: the source of a split does not say which sentences stand together.
    """
    if context == "document" and corpus.undocumented:
        splits = " and ".join(corpus.undocumented)
        message = (
            f"`document` fills windows with neighbouring sentences, but {corpus.name} does not say "
            f"which sentences of {splits} stand together; use `sentence`, or a source with "
            "documents (in CoNLL files: -DOCSTART- lines)"
        )
        raise CorpusError([Problem(message)])
