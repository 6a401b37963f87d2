"""From drafts, as every reader makes them, to sentences: the one place where tags become spans.

The scheme of a file is found from all of its tags; what breaks it is read by the policy asked for.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from reprlib import repr as short
from typing import Any

from tokcls.config import Repair
from tokcls.data.corpus import Sentence
from tokcls.data.readers.rules import Rules
from tokcls.errors import CorpusError, Problem
from tokcls.labels.repair import read_tags, violations
from tokcls.labels.schemes import SCHEMES, Detected, Scheme, detect, parse_tag
from tokcls.labels.spans import Span


@dataclass(slots=True)
class Draft:
    """One sentence as its file has it: tags, one a word, or spans that the file gave itself."""

    file: str
    words: list[str]
    tags: list[str]
    lines: list[int]
    """the line of each word; 0 where the file has no lines"""
    document: Hashable = None
    """equal in all sentences of a document; None: the sentence is a document by itself"""
    spans: tuple[Span, ...] | None = None
    row: str = ""
    """stands for the line in a file without lines"""

    def problem(self, message: str, word: int = 0) -> Problem:
        """Place a message at one of the words."""
        return Problem(message, self.file, self.lines[word], self.row)


@dataclass(frozen=True)
class Drafts:
    """What a reader made of one file; with problems the sentences do not count."""

    file: str
    sentences: Sequence[Draft] = ()
    problems: Sequence[Problem] = ()
    notes: Sequence[str] = ()


@dataclass(frozen=True)
class FileRead:
    """The sentences of one split, the scheme of its tags if it has any, and what to know of it.

    `documented` says whether the source tells of every sentence which document it is part of.
    """

    sentences: tuple[Sentence, ...]
    detected: Detected | None
    documented: bool = False
    notes: tuple[str, ...] = ()


def check_word(word: Any) -> str:
    """Say what is wrong with a word; empty if nothing is."""
    if not isinstance(word, str):
        return f"is {short(word)}; expected text"
    if not word.strip(" \t\r\n"):
        return "is empty; expected a word"
    try:
        word.encode()
    except UnicodeEncodeError:
        return f"is {word!r}, which has half a surrogate pair; expected whole characters"
    return ""


def check_tag(tag: str) -> str:
    """Say what is wrong with a tag; empty if nothing is."""
    try:
        parse_tag(tag)
        tag.encode()
    except UnicodeEncodeError:
        return f"{tag!r} is not a tag: it has half a surrogate pair"
    except ValueError as error:
        return str(error)
    return ""


def assemble(parts: Sequence[Drafts], rules: Rules) -> FileRead:
    """Make the sentences of a split, which is one file or several; their tags have one scheme.

    Words and tags have been checked one by one.

    Raises:
        CorpusError: there are problems, no sentence, no scheme that has all the tags, or, with
            `repair: refuse`, a tag that breaks the scheme.
    """
    place = parts[0].file if len(parts) == 1 else f"{parts[0].file} and its other parts"
    problems = [problem for part in parts for problem in part.problems]
    drafts = [draft for part in parts for draft in part.sentences]
    if problems or not drafts:
        empty = Problem("the file has no sentence; expected words with their tags", place)
        raise CorpusError(problems or [empty])
    tagged = [draft for draft in drafts if draft.spans is None]
    detected = _scheme(tagged, place, rules) if tagged else None
    told = [f"{part.file}: {note}" for part in parts for note in part.notes]
    told += [f"{part.file}: has no sentence" for part in parts if not part.sentences]
    spans = spans_of(drafts, detected, place, rules, told) if detected else None
    read = (
        Sentence(tuple(draft.words), found, number, draft.file, draft.lines[0])
        for draft, found, number in zip(
            drafts,
            spans or [draft.spans or () for draft in drafts],
            _documents(drafts),
            strict=True,
        )
    )
    documented = all(draft.document is not None for draft in drafts)
    return FileRead(tuple(read), detected, documented, tuple(told))


def _scheme(drafts: Sequence[Draft], place: str, rules: Rules) -> Detected:
    """Find the scheme, or hold the one that was given against every tag."""
    if rules.scheme == "auto":
        try:
            return detect(draft.tags for draft in drafts)
        except ValueError as error:
            raise CorpusError([Problem(str(error), place), *_clashes(drafts)]) from error
    scheme = SCHEMES[rules.scheme]
    letters = {tag: parse_tag(tag)[0] for draft in drafts for tag in draft.tags}
    foreign = {tag for tag, letter in letters.items() if letter not in scheme.prefixes}
    known = " ".join(scheme.prefixes)
    problems = [
        draft.problem(
            f"{tag!r} is not a tag of data.scheme = {scheme.name}, whose prefixes are {known}", at
        )
        for draft in drafts
        for at, tag in enumerate(draft.tags)
        if tag in foreign
    ]
    if problems:
        raise CorpusError(problems)
    broken = sum(len(violations(draft.tags, scheme)) for draft in drafts)
    return Detected(scheme.name, "given as data.scheme", broken)


def _clashes(drafts: Sequence[Draft]) -> list[Problem]:
    """Name the first tag of every prefix that no scheme has together with some other one."""
    first: dict[str, tuple[Draft, int]] = {}
    for draft in drafts:
        for at, tag in enumerate(draft.tags):
            first.setdefault(parse_tag(tag)[0], (draft, at))
    known = [frozenset(scheme.prefixes) for scheme in SCHEMES.values()]
    against = {
        one: [two for two in first if not any({one, two} <= letters for letters in known)]
        for one in first
    }
    return [
        draft.problem(
            f"{draft.tags[at]!r} is the first tag with {one}-, which no scheme has beside "
            f"{' or '.join(f'{two}-' for two in against[one])}",
            at,
        )
        for one, (draft, at) in first.items()
        if against[one]
    ]


_THEN: Mapping[Repair, str] = {
    "refuse": "mend the tags, or set data.repair to conlleval or discard",
    "conlleval": "read as conlleval reads it",
    "discard": "its span is discarded",
}
SHOWN = 3
"""places of a file that are told of where tags are repaired"""


def spans_of(
    drafts: Sequence[Draft], detected: Detected, place: str, rules: Rules, notes: list[str]
) -> list[tuple[Span, ...]]:
    """Read the tags of all drafts by the policy of `rules.repair`; given spans are kept.

    Raises:
        CorpusError: with `refuse`, every violation is a problem.
    """
    scheme = SCHEMES[detected.scheme]
    if not detected.violations:
        return [d.spans if d.spans is not None else tuple(scheme.decode(d.tags)) for d in drafts]
    found: list[tuple[Span, ...]] = []
    broken: list[Problem] = []
    discarded = 0
    for draft in drafts:
        if draft.spans is not None:
            found.append(draft.spans)
            continue
        reading = read_tags(draft.tags, scheme, rules.repair)
        found.append(reading.spans)
        if reading.violations and rules.repair == "discard":
            discarded += len(scheme.decode(draft.tags)) - len(reading.spans)
        broken += [
            draft.problem(_violation(draft.tags, at, scheme) + _THEN[rules.repair], at)
            for at in dict.fromkeys(reading.violations)
        ]
    if broken and rules.repair == "refuse":
        raise CorpusError(broken)
    notes += [str(problem) for problem in broken[:SHOWN]]
    if len(broken) > SHOWN:
        notes.append(f"{place}: and {len(broken) - SHOWN:,} more such places")
    if discarded:
        notes.append(f"{place}: {discarded} spans discarded, since their tags break {scheme.name}")
    return found


def _violation(tags: Sequence[str], at: int, scheme: Scheme) -> str:
    before = repr(tags[at - 1]) if at else "the start of the sentence"
    after = repr(tags[at + 1]) if at + 1 < len(tags) else "the end of the sentence"
    return f"{tags[at]!r} between {before} and {after} breaks {scheme.name}; "


def _documents(drafts: Sequence[Draft]) -> list[int]:
    """Number documents from 0 in the order of the file."""
    numbers: dict[Hashable, int] = {}
    return [
        numbers.setdefault(
            ("alone", at) if d.document is None else ("key", d.document), len(numbers)
        )
        for at, d in enumerate(drafts)
    ]
