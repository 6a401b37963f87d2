"""What the lines of JSON lines and the rows of Parquet have in common: records with keys.

A record holds `tokens` with their tags, or a `text` with character offsets.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from reprlib import repr as short
from typing import Any

from tokcls.config import Columns
from tokcls.data.readers.offsets import place
from tokcls.data.readers.rules import Rules, check_columns
from tokcls.data.readers.tagged import SHOWN, Draft, Drafts, check_tag, check_word
from tokcls.errors import Problem

WORDS = ("tokens", "words")
TAGS = ("ner_tags", "tags", "label_tags", "labels")
TEXT = ("text",)
ENTITIES = ("entities", "spans")
DOCUMENT = ("document", "document_id", "doc_id")
EXPECTED = (
    f"`{WORDS[0]}` and one of {', '.join(f'`{tag}`' for tag in TAGS)}, or `{TEXT[0]}` and one of "
    f"{', '.join(f'`{name}`' for name in ENTITIES)}"
)


@dataclass(frozen=True)
class Keys:
    """The keys under which some records hold what; either the first two or the next two are set."""

    words: str = ""
    tags: str = ""
    text: str = ""
    entities: str = ""
    document: str = ""

    @property
    def all(self) -> list[str]:
        """Those that are there."""
        keys = (self.words, self.tags, self.text, self.entities, self.document)
        return [key for key in keys if key]


def find_keys(present: Iterable[str], columns: Columns) -> Keys | None:
    """Find the keys of a record, or of all rows of a table; None if a needed one is not there."""
    has = set(present)

    def first(names: Sequence[str], given: int | str | None = None) -> str:
        wanted = (str(given),) if given is not None else names
        return next((name for name in wanted if name in has), "")

    document = first(DOCUMENT, columns.document)
    if columns.document is not None and not document:
        return None
    words, tags = first(WORDS, columns.word), first(TAGS, columns.tag)
    if words and tags:
        return Keys(words, tags, document=document)
    text, entities = first(TEXT), first(ENTITIES)
    if text and entities and columns.word is None and columns.tag is None:
        return Keys(text=text, entities=entities, document=document)
    return None


def rivals(present: Iterable[str], columns: Columns) -> str:
    """Say which keys could all hold the gold, so that none is passed over; empty if it is clear."""
    has = set(present)
    if columns.tag is not None:
        return ""
    tags = [name for name in TAGS if name in has and has.intersection(WORDS)]
    entities = [name for name in ENTITIES if name in has and has.intersection(TEXT)]
    if len(could := tags + entities) < 2:
        return ""
    remedy = "name the one to read in data.columns.tag, or " if tags else ""
    return f"{' and '.join(could)} could each hold the entities; {remedy}take the others away"


def missing(found: Iterable[str], columns: Columns) -> str:
    """Say which keys were looked for and which are there."""
    given = columns.model_dump(exclude_none=True)
    wanted = f"the keys of data.columns, {given}" if given else EXPECTED
    return f"expected {wanted}; found {', '.join(map(repr, found)) or 'none'}"


@dataclass
class Records:
    """Collects the sentences of one file, record by record, and everything that is wrong."""

    file: str
    rules: Rules
    names: Sequence[str] = ()
    """what the numbers among the tags mean"""
    types: Sequence[str] = ()
    """what the numbers among the labels of entities mean"""
    problems: list[Problem] = field(default_factory=list)
    _drafts: list[Draft] = field(default_factory=list)
    _empty: int = 0
    _dropped: list[Problem] = field(default_factory=list)

    def __post_init__(self) -> None:
        columns = self.rules.columns
        check_columns(columns, self.file, "records with keys", word=str, tag=str, document=str)

    def add(self, record: Mapping[str, Any], keys: Keys, *, line: int = 0, row: str = "") -> None:
        """Read one record, or keep what is wrong with it."""
        document = record[keys.document] if keys.document else None
        if not isinstance(document, str | int | None):
            self.wrong(
                f"{keys.document} is {short(document)}; expected text or a number", line, row
            )
            return
        if keys.words:
            self._tagged(record, keys, document, line, row)
        else:
            self._placed(record, keys, document, line, row)

    def wrong(self, message: str, line: int = 0, row: str = "") -> None:
        """Keep a problem."""
        self.problems.append(Problem(message, self.file, line, row))

    def drafts(self) -> Drafts:
        """Give what was read, and what was wrong."""
        notes = []
        if self._empty:
            notes.append(f"{self._empty} records have no word")
        if self._dropped:
            notes.append(f"{len(self._dropped)} overlapping spans left out, the longest are kept")
            notes += [str(problem) for problem in self._dropped[:SHOWN]]
        return Drafts(self.file, self._drafts, self.problems, notes)

    def _tagged(
        self, record: Mapping[str, Any], keys: Keys, document: Hashable, line: int, row: str
    ) -> None:
        words, tags = record[keys.words], record[keys.tags]
        wrong = [
            f"{name} is {short(values)}; expected a list"
            for name, values in ((keys.words, words), (keys.tags, tags))
            if not isinstance(values, list)
        ]
        named: list[str] = []
        if not wrong:
            if len(words) != len(tags):
                message = f"{len(tags)} {keys.tags} for {len(words)} {keys.words}"
                wrong.append(f"{message}; expected as many words as tags")
            named = self._named(tags, keys.tags, wrong)
            problems = [(number, check_word(word)) for number, word in enumerate(words, start=1)]
            wrong += [f"word {number} {problem}" for number, problem in problems if problem]
        for message in wrong:
            self.wrong(message, line, row)
        if not wrong:
            self._keep(Draft(self.file, words, named, [line] * len(words), document, None, row))

    def _keep(self, draft: Draft) -> None:
        if draft.words:
            self._drafts.append(draft)
        else:
            self._empty += 1

    def _named(self, tags: Sequence[Any], key: str, wrong: list[str]) -> list[str]:
        """Give the tags' names; `wrong` gets what has none."""
        named: list[str] = []
        for number, tag in enumerate(tags, start=1):
            if type(tag) is int and not self.names:
                wrong.append(
                    f"{key}: {short(tag)} is a number, and nothing names it; write names such as "
                    "B-PER, or give `label_names` before (in Parquet, a ClassLabel)"
                )
                break  # The other numbers have the same reason.
            try:
                named.append(self._name(tag))
            except ValueError as error:
                wrong.append(f"{key}: {error} (word {number})")
        return named

    def _name(self, tag: Any) -> str:
        """Give the tag's name; raise ValueError for what is none."""
        if type(tag) is int:
            if not 0 <= tag < len(self.names):
                last = len(self.names) - 1
                raise ValueError(f"{short(tag)} has no name; expected tags from 0 to {last}")
            tag = self.names[tag]
        if not isinstance(tag, str):
            raise ValueError(f"{short(tag)} is not a tag; expected a name or a number")
        if message := check_tag(tag):
            raise ValueError(message)
        return tag

    def _placed(
        self, record: Mapping[str, Any], keys: Keys, document: Hashable, line: int, row: str
    ) -> None:
        placed = place(record[keys.text], record[keys.entities], self.rules.overlaps, self.types)
        for message in placed.problems:
            self.wrong(message, line, row)
        if placed.problems:
            return
        self._dropped += [Problem(left, self.file, line, row) for left in placed.dropped]
        words = list(placed.words)
        lines = [line] * len(words)
        self._keep(Draft(self.file, words, [], lines, document, placed.spans, row))
