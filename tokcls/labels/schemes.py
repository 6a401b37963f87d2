"""Schemes: how spans become tags and tags become spans. A scheme is a row of data, never a branch.

Encoding is exact. Decoding never fails on a sequence that breaks its scheme's rules: it reads it as
the CoNLL-2000 scorer `conlleval` does. Which scheme a file uses is found from its tags by `detect`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from tokcls.labels.spans import Span, check_spans

Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Prefix:
    """What a tag's first letter says of its word, and how it reads elsewhere."""

    opens: bool
    closes: bool
    iob2: str


PREFIXES: Mapping[str, Prefix] = {
    "O": Prefix(opens=False, closes=False, iob2="O"),
    "B": Prefix(opens=True, closes=False, iob2="B"),
    "I": Prefix(opens=False, closes=False, iob2="I"),
    "M": Prefix(opens=False, closes=False, iob2="I"),
    "E": Prefix(opens=False, closes=True, iob2="I"),
    "S": Prefix(opens=True, closes=True, iob2="B"),
    "L": Prefix(opens=False, closes=True, iob2="I"),
    "U": Prefix(opens=True, closes=True, iob2="B"),
}


@lru_cache(maxsize=4096)
def parse_tag(tag: str) -> tuple[str, str]:
    """Split a tag into prefix and type: `B-PER` is ("B", "PER"), `O` is ("O", "").

    Raises:
        ValueError: the text is not a tag of any scheme.
    """
    if tag == "O":
        return "O", ""
    prefix, _, type_ = tag.partition("-")
    # The split also refuses a missing type and one with blanks in it.
    if prefix == "O" or prefix not in PREFIXES or type_.split() != [type_]:
        raise ValueError(
            f"{tag!r} is not a tag; expected O, or B- I- M- E- S- L- U- and a type, such as B-PER"
        )
    return prefix, type_


def join_tag(prefix: str, type_: str) -> str:
    """Write a tag: the inverse of `parse_tag`."""
    return f"{prefix}-{type_}" if type_ else prefix


@dataclass(frozen=True)
class Row:
    """One row of a transition table: the prefixes that may follow `prefix`."""

    prefix: str
    same: str
    """with the same type"""
    other: str
    """with another type, or none (O)"""


@dataclass(frozen=True)
class Transitions:
    """What may follow what among T tags: `between[i, j]` says whether tag j may follow tag i."""

    start: Bools
    between: Bools
    end: Bools


@dataclass(frozen=True)
class Scheme:
    """A way to write spans as tags: its transition table, and a prefix for each place in a span."""

    name: str
    rows: tuple[Row, ...]
    first: str
    inside: str
    last: str
    single: str
    touching: str = ""
    """first word of a span that touches one of its own type; empty: written as any other"""

    @property
    def prefixes(self) -> str:
        """The letters the scheme knows, O first, in the order of its tags."""
        return "".join(row.prefix for row in self.rows)

    @cached_property
    def steps(self) -> frozenset[tuple[str, str, bool]]:
        """Every allowed (prefix, next prefix, same type); a sentence's two ends count as O."""
        same = {(row.prefix, letter, True) for row in self.rows for letter in row.same}
        other = {(row.prefix, letter, False) for row in self.rows for letter in row.other}
        return frozenset(same | other)

    def tags(self, types: Iterable[str]) -> tuple[str, ...]:
        """List all tags for these types: O, then type by type in sorted order."""
        letters = self.prefixes[1:]
        return ("O", *(f"{letter}-{type_}" for type_ in sorted(set(types)) for letter in letters))

    def encode(self, spans: Sequence[Span], length: int) -> list[str]:
        """Write spans as the tags of a sentence of `length` words.

        Raises:
            ValueError: the spans are not sorted, overlap, or leave the sentence.
        """
        check_spans(spans, length)
        tags = ["O"] * length
        before = Span(0, 0, "")
        for span in spans:
            start, end, type_ = span
            touches = start == before.end and type_ == before.type
            lead = self.single if end - start == 1 else self.first
            tags[start] = f"{(touches and self.touching) or lead}-{type_}"
            tags[start + 1 : end] = [f"{self.inside}-{type_}"] * (end - start - 1)
            if end - start > 1:
                tags[end - 1] = f"{self.last}-{type_}"
            before = span
        return tags

    def decode(self, tags: Sequence[str]) -> list[Span]:
        """Read tags as spans, valid or not.

        A span begins where a tag opens one, where the type changes, and after O or a closing tag;
        this is what `conlleval` does, with L and U read as its E and S, and M as its I.

        Raises:
            ValueError: something is not a tag, or its prefix is unknown to this scheme.
        """
        spans: list[Span] = []
        start, kind, closed = -1, "", False
        for at, tag in enumerate(tags):
            if tag == "O":  # most tags are: they take the short way
                if start >= 0:
                    spans.append(Span(start, at, kind))
                    start = -1
                continue
            letter, type_ = self._parse(tag)
            prefix = PREFIXES[letter]
            if start >= 0 and (closed or prefix.opens or type_ != kind):
                spans.append(Span(start, at, kind))
                start = -1
            if start < 0:
                start, kind = at, type_
            closed = prefix.closes
        if start >= 0:
            spans.append(Span(start, len(tags), kind))
        return spans

    def transitions(self, tags: Sequence[str]) -> Transitions:
        """Say which of these T tags may open a sentence, follow one another, and end a sentence."""
        parsed = [self._parse(tag) for tag in tags]
        between = [
            [(one, two, bool(kind) and kind == type_) in self.steps for two, kind in parsed]
            for one, type_ in parsed
        ]
        return Transitions(
            start=np.array([("O", letter, False) in self.steps for letter, _ in parsed], bool),
            between=np.array(between, bool).reshape(len(tags), len(tags)),
            end=np.array([(letter, "O", False) in self.steps for letter, _ in parsed], bool),
        )

    def pipeline_names(self, tags: Sequence[str]) -> tuple[str, ...]:
        """Give each tag's IOB2 reading, the only one that Hugging Face pipelines group by.

        Under IO and IOE2 no tag opens a span, so a pipeline reads neighbours of one type as one.
        """
        parsed = [self._parse(tag) for tag in tags]
        return tuple(join_tag(PREFIXES[letter].iob2, type_) for letter, type_ in parsed)

    def expressible(self, spans: Sequence[Span]) -> list[Span]:
        """Give back what survives: IO merges neighbours of one type, the others keep all."""
        if not any(one.end == two.start and one.type == two.type for one, two in pairwise(spans)):
            return list(spans)
        return self.decode(self.encode(spans, spans[-1].end))

    def _parse(self, tag: str) -> tuple[str, str]:
        letter, type_ = parse_tag(tag)
        if letter not in self.prefixes:
            known = " ".join(self.prefixes)
            raise ValueError(f"{tag!r} is not a tag of {self.name}, whose prefixes are {known}")
        return letter, type_


def _bounded(name: str, *, inside: str, last: str, single: str) -> Scheme:
    """Build BIOES, BILOU or BMES, which differ in letters."""
    lead, fresh, further = f"B{single}", f"OB{single}", f"{inside}{last}"
    rows = (
        Row("O", same="", other=fresh),
        Row("B", same=further, other=""),
        Row(inside, same=further, other=""),
        Row(last, same=lead, other=fresh),
        Row(single, same=lead, other=fresh),
    )
    return Scheme(name, rows, first="B", inside=inside, last=last, single=single)


_IO = (Row("O", "", "OI"), Row("I", "I", "OI"))
_IOB1 = (Row("O", "", "OI"), Row("B", "BI", "OI"), Row("I", "BI", "OI"))
_IOB2 = (Row("O", "", "OB"), Row("B", "BI", "OB"), Row("I", "BI", "OB"))
_IOE2 = (Row("O", "", "OIE"), Row("I", "IE", ""), Row("E", "IE", "OIE"))

# The order settles ties in `detect`: tags without any span are IOB2, tags with I- alone are IOB1.
SCHEMES: Mapping[str, Scheme] = {
    scheme.name: scheme
    for scheme in (
        Scheme("IOB2", _IOB2, first="B", inside="I", last="I", single="B"),
        _bounded("BIOES", inside="I", last="E", single="S"),
        _bounded("BILOU", inside="I", last="L", single="U"),
        _bounded("BMES", inside="M", last="E", single="S"),
        Scheme("IOB1", _IOB1, first="I", inside="I", last="I", single="I", touching="B"),
        Scheme("IO", _IO, first="I", inside="I", last="I", single="I"),
        Scheme("IOE2", _IOE2, first="I", inside="I", last="E", single="E"),
    )
}


@dataclass(frozen=True)
class Detected:
    """The scheme that a set of tags follows best, why, and how often it breaks the rules."""

    scheme: str
    evidence: str
    violations: int


def detect(tag_sequences: Iterable[Sequence[str]]) -> Detected:
    """Find the scheme with the fewest forbidden steps among those that know every prefix seen.

    Equal counts go to the first of IOB2, BIOES, BILOU, BMES, IOB1, IO, IOE2. So I- and O alone are
    IOB1, which reads them as IO would.

    Raises:
        ValueError: something is not a tag, or no scheme knows all the prefixes.
    """
    steps = _count_steps(tag_sequences)
    seen = [letter for letter in PREFIXES if any(letter == step[1] for step in steps)]
    broken = {
        scheme.name: sum(n for step, n in steps.items() if step not in scheme.steps)
        for scheme in SCHEMES.values()
        if set(seen) <= set(scheme.prefixes)
    }
    if not broken:
        known = ", ".join(f"{one.name} ({' '.join(one.prefixes)})" for one in SCHEMES.values())
        raise ValueError(
            f"no scheme has all the prefixes {' '.join(seen)}; use the tags of one of {known}"
        )
    best = min(broken, key=lambda name: broken[name])
    counts = ", ".join(f"{name} {count}" for name, count in broken.items())
    return Detected(best, f"prefixes {' '.join(seen)}; rules broken: {counts}", broken[best])


def _count_steps(tag_sequences: Iterable[Sequence[str]]) -> Counter[tuple[str, str, bool]]:
    steps: Counter[tuple[str, str, bool]] = Counter()
    for tags in tag_sequences:
        letter, type_ = "O", ""
        for tag in (*tags, "O"):
            following, kind = parse_tag(tag)
            steps[letter, following, bool(kind) and kind == type_] += 1
            letter, type_ = following, kind
    return steps
