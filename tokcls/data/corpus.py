"""The corpus: sentences with gold spans, in three splits. Knows nothing of files or tags."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from tokcls.labels.schemes import Detected
from tokcls.labels.spans import Span


@dataclass(frozen=True, slots=True)
class Sentence:
    """Words with their gold spans; `document` numbers the text of its split that it stands in."""

    words: tuple[str, ...]
    spans: tuple[Span, ...]
    document: int
    file: str = ""
    line: int = 0


@dataclass(frozen=True)
class Corpus:
    """Three splits (test may be empty) and the scheme that each split's tags were read with.

    A split whose files gave spans, or that was cut from another, has no scheme of its own. In the
    splits of `undocumented` each sentence counts as a document, since the source names none.
    `notes` say what a user may not expect of how the files were read.
    """

    train: tuple[Sentence, ...]
    validation: tuple[Sentence, ...]
    test: tuple[Sentence, ...]
    name: str
    schemes: Mapping[str, Detected]
    undocumented: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def splits(self) -> Mapping[str, tuple[Sentence, ...]]:
        """The splits by name, in the order train, validation, test."""
        return {"train": self.train, "validation": self.validation, "test": self.test}

    @cached_property
    def types(self) -> tuple[str, ...]:
        """All types of all splits, sorted: one that only test has is scored as well."""
        everything = (*self.train, *self.validation, *self.test)
        return tuple(sorted({span.type for sentence in everything for span in sentence.spans}))

    @cached_property
    def trained_types(self) -> frozenset[str]:
        """The types that train has."""
        return frozenset(span.type for sentence in self.train for span in sentence.spans)

    @cached_property
    def remarks(self) -> tuple[str, ...]:
        """What was read otherwise than it stands there."""
        told = list(self.notes)
        for split, found in self.schemes.items():
            if found.violations:
                told.append(f"{split}: {found.violations:,} tags break {found.scheme}")
        return tuple(told)

    @cached_property
    def fingerprint(self) -> str:
        """Sixteen hex digits, equal exactly when words, gold spans and documents are."""
        digest = hashlib.sha256()
        for name, sentences in self.splits.items():
            digest.update(f"{name}\n".encode())
            for sentence in sentences:
                held = [sentence.words, sentence.spans, sentence.document]
                digest.update(json.dumps(held).encode() + b"\n")
        return digest.hexdigest()[:16]
