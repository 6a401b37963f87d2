"""The label schema: a scheme, the types it writes, and which sub-words carry a label in training.

It fixes the numbering of a model's outputs, so it travels with the model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from tokcls.labels.schemes import PREFIXES, SCHEMES, join_tag, parse_tag
from tokcls.labels.spans import Span

Ids = npt.NDArray[np.int32]
Subwords = Literal["first", "all"]
_HAIR = 1e-3
SUBWORDS = ("first", "all")


@dataclass(frozen=True)
class LabelSchema:
    """Turns spans into tag ids and back; T tags, numbered in the order of `tags`."""

    scheme: str
    types: tuple[str, ...]
    subwords: Subwords = "first"

    def __post_init__(self) -> None:
        if self.scheme not in SCHEMES:
            raise ValueError(f"scheme must be one of {', '.join(SCHEMES)}, got {self.scheme!r}")
        if self.subwords not in SUBWORDS:
            raise ValueError(f"subwords must be first or all, got {self.subwords!r}")
        if list(self.types) != sorted(set(self.types)):
            raise ValueError(f"types must be sorted and distinct, got {list(self.types)}")

    @cached_property
    def tags(self) -> tuple[str, ...]:
        """The names of the model's outputs, O first."""
        return SCHEMES[self.scheme].tags(self.types)

    @cached_property
    def index(self) -> Mapping[str, int]:
        """Tag to id."""
        return {tag: number for number, tag in enumerate(self.tags)}

    @cached_property
    def unread(self) -> npt.NDArray[np.float32]:
        """float32[T]: log-probabilities of a word that the tokenizer turns into nothing.

        All tags are alike but for a hair: where neighbours leave a choice it is O, and inside a
        span it goes on.
        """
        inside = SCHEMES[self.scheme].inside
        rank = [("O", inside).index(p) if (p := parse_tag(t)[0]) in ("O", inside) else 2
                for t in self.tags]  # fmt: skip
        return np.asarray(-np.log(len(self.tags)) - _HAIR * np.array(rank), np.float32)

    @cached_property
    def continuation(self) -> Ids:
        """int32[T]: the tag that further sub-words of a word carry when all sub-words are labelled.

        What opens a span (B, S, U) goes on as the scheme's inside letter, since only a word's first
        sub-word opens it. The others stay: E and L say that the word is a span's last.
        """
        inside = SCHEMES[self.scheme].inside
        parsed = [parse_tag(tag) for tag in self.tags]
        names = [
            join_tag(inside if PREFIXES[letter].opens else letter, type_)
            for letter, type_ in parsed
        ]
        return np.array([self.index[name] for name in names], np.int32)

    def encode_ids(self, spans: Sequence[Span], length: int) -> Ids:
        """Write spans as int32[length] tag ids.

        Raises:
            ValueError: spans are not sorted, overlap, leave the sentence, or are of no known type.
        """
        tags = SCHEMES[self.scheme].encode(spans, length)
        try:
            return np.array([self.index[tag] for tag in tags], np.int32)
        except KeyError:
            unknown = sorted({span.type for span in spans} - set(self.types))
            raise ValueError(
                f"types {unknown} are not in the label schema, whose types are {list(self.types)}"
            ) from None

    def decode_ids(self, ids: Sequence[int] | npt.NDArray[np.integer[Any]]) -> list[Span]:
        """Read tag ids, one per word, as spans."""
        return SCHEMES[self.scheme].decode([self.tags[number] for number in ids])
