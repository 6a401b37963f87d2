"""Tags that break their scheme's rules: where they do, and which spans are read all the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tokcls.config import Repair
from tokcls.labels.schemes import Scheme, parse_tag
from tokcls.labels.spans import Span

REPAIRS: tuple[Repair, ...] = ("conlleval", "discard", "refuse")


@dataclass(frozen=True)
class Reading:
    """The spans that were read, and the words at which a step is taken that the scheme forbids.

    A sentence that ends where it must go on breaks the rules at its last word, which may so be
    named twice.
    """

    spans: tuple[Span, ...]
    violations: tuple[int, ...]


def read_tags(tags: Sequence[str], scheme: Scheme, repair: Repair) -> Reading:
    """Read the tags of one sentence as spans.

    `conlleval` keeps every span, as the CoNLL-2000 scorer reads it. `discard` keeps those alone
    whose tags are the ones that the scheme would write for them; under IOB2 this is what seqscore
    calls discard. `refuse` reads as conlleval does, for a caller that accepts no violation.

    Raises:
        ValueError: something is no tag of the scheme, or there is no such repair.
    """
    if repair not in REPAIRS:
        raise ValueError(f"repair must be one of {', '.join(REPAIRS)}, got {repair!r}")
    spans, broken = scheme.decode(tags), violations(tags, scheme)
    if broken and repair == "discard":
        written = scheme.encode(spans, len(tags))
        spans = [
            span
            for span in spans
            if written[span.start : span.end] == list(tags[span.start : span.end])
        ]
    return Reading(tuple(spans), broken)


def violations(tags: Sequence[str], scheme: Scheme) -> tuple[int, ...]:
    """Give the index of each word at which a forbidden step is taken, as `Reading` counts them.

    Raises:
        ValueError: something is not a tag.
    """
    broken: list[int] = []
    letter, kind = "O", ""
    for at, tag in enumerate((*tags, "O")):
        following, type_ = parse_tag(tag)
        if (letter, following, bool(type_) and type_ == kind) not in scheme.steps:
            broken.append(min(at, len(tags) - 1))
        letter, kind = following, type_
    return tuple(broken)
