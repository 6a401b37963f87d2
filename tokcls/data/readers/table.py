"""Reads CSV and TSV with a header: a word a row, and a column that tells sentences apart."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tokcls.config import Columns
from tokcls.data.readers.rules import Rules
from tokcls.data.readers.tagged import Draft, Drafts, check_tag, check_word
from tokcls.data.readers.text import lines_of, read_text
from tokcls.errors import CorpusError, Problem

# In lower case. Columns that say NER go first: a column `tag` beside one may be parts of speech.
HEADERS: Mapping[str, tuple[str, ...]] = {
    "sentence": ("sentence_id", "sentence", "sent_id", "sentence #", "sentence_no", "sentence_idx"),
    "word": ("word", "token", "words", "tokens"),
    "tag": ("ner_tag", "ner", "ner_tags", "tag", "label", "tags", "labels"),
    "document": ("document", "document_id", "doc_id", "doc"),
}
NEEDED = ("sentence", "word", "tag")
TAG = re.compile(r"O|[BIES]-\S+")  # in place of a column's name


@dataclass(frozen=True)
class Row:
    """The cells of a row, and the line that it ends on."""

    line: int
    cells: list[str]


def draft_csv(path: Path, rules: Rules) -> Drafts:
    """Read one CSV file with a header, cells parted by `,` or `;`, quoted with `"`.

    The columns are `sentence_id`, `word`, `tag` and perhaps `document` (or what HEADERS lists). A
    sentence is the rows that follow each other with the same id and document; an empty id goes on
    with the sentence.

    Raises:
        CorpusError: the file cannot be read, is empty, or lacks a column.
    """
    text = read_text(path)
    head = text.partition("\n")[0]
    delimiter = max(",;", key=head.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    return _Table(str(path), rules).read(_csv_rows(reader, str(path)))


def draft_tsv(path: Path, rules: Rules) -> Drafts:
    """Read one TSV file with a header, as `draft_csv` does; `"` is a character like any other.

    Raises:
        CorpusError: as `draft_csv`.
    """
    lines = lines_of(read_text(path))
    rows = (Row(at, line.split("\t")) for at, line in enumerate(lines, 1) if line.strip())
    return _Table(str(path), rules).read(rows)


def has_header(line: str, columns: Columns) -> bool:
    """Tell whether a line names the columns of a TSV file, so that it is no CoNLL file."""
    names = [name.strip().lower() for name in line.split("\t")]
    return all(_place(getattr(columns, key), HEADERS[key], names) is not None for key in NEEDED)


def has_part_of_header(line: str) -> bool:
    """Tell whether a line is called after words and tags at least, whatever it lacks."""
    names = [name.strip().lower() for name in line.split("\t")]
    return all(any(name in names for name in HEADERS[key]) for key in ("word", "tag"))


def _csv_rows(reader: Iterator[list[str]], file: str) -> Iterator[Row]:
    lines = partial(getattr, reader, "line_num")
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells):
                yield Row(lines(), cells)
    except csv.Error as error:
        message = f'is not CSV: {error}; a `"` in a cell is written `""""`'
        raise CorpusError([Problem(message, file, lines())]) from None


class _Table:
    """One pass over the rows of a file."""

    def __init__(self, file: str, rules: Rules) -> None:
        self.file = file
        self.rules = rules
        self.drafts: list[Draft] = []
        self.problems: list[Problem] = []
        self.at: dict[str, int] = {}
        self._seen: dict[Hashable, int] = {}
        self._key: tuple[str, str] = ("", "")

    def read(self, rows: Iterator[Row]) -> Drafts:
        header = next(rows, None)
        if header is None:
            raise CorpusError([Problem("the file is empty; expected a header", self.file)])
        self.at = find_columns(header, self.rules.columns, self.file)
        try:
            for row in rows:
                self._row(row, len(header.cells))
        except CorpusError as error:
            self.problems += error.problems
        return Drafts(self.file, self.drafts, self.problems)

    def _row(self, row: Row, width: int) -> None:
        if len(row.cells) != width:
            message = f"{len(row.cells)} cells where the header has {width}"
            self._wrong(f"{message}; give every row the same cells", row.line)
            return
        cell = {name: row.cells[at].strip(" ") for name, at in self.at.items()}
        if problem := self._check(cell) or self._open(cell, row.line):
            self._wrong(problem, row.line)
            return
        draft = self.drafts[-1]
        draft.words.append(cell["word"])
        draft.tags.append(cell["tag"])
        draft.lines.append(row.line)

    def _check(self, cell: Mapping[str, str]) -> str:
        if broken := [name for name, value in cell.items() if "\n" in value or "\r" in value]:
            return f'the {broken[0]} has a line break in it; is a `"` open? write `""""` for one'
        if problem := check_word(cell["word"]):
            return f"the word {problem}"
        return check_tag(cell["tag"])

    def _open(self, cell: Mapping[str, str], line: int) -> str:
        """Open a sentence where a new one begins; say what is wrong with its id."""
        document = cell.get("document", "") or self._key[0]
        sentence = cell["sentence"] or self._key[1]
        if not sentence:
            return "the first row has no sentence id; expected one"
        if (document, sentence) == self._key:
            return ""
        before = self._seen.setdefault((document, sentence), line)
        if before != line:
            return (
                f"sentence {sentence!r} began on line {before}, and others stand between; "
                "keep its rows together, or give it an id of its own"
            )
        self._key = (document, sentence)
        self.drafts.append(Draft(self.file, [], [], [], document or None))
        return ""

    def _wrong(self, message: str, line: int) -> None:
        self.problems.append(Problem(message, self.file, line))


def find_columns(header: Row, columns: Columns, file: str) -> dict[str, int]:
    """Find the place of each column, by what was given or by the header's names.

    Raises:
        CorpusError: a column is not there, or a name stands twice in the header.
    """
    names = [name.strip().lower() for name in header.cells]
    if not any(name in names for known in HEADERS.values() for name in known) and any(
        TAG.fullmatch(cell.strip()) for cell in header.cells
    ):
        message = "the first row is data; the file needs a header such as `sentence_id,word,tag`"
        raise CorpusError([Problem(message, file, header.line)])
    found: dict[str, int] = {}
    problems: list[Problem] = []
    for key, known in HEADERS.items():
        given = getattr(columns, key)
        at = _place(given, known, names)
        if at is not None:
            found[key] = at
        elif given is not None or key in NEEDED:
            wanted = repr(given) if given is not None else " or ".join(known)
            listed = ", ".join(map(repr, header.cells))
            message = f"no column for the {key}; looked for {wanted}, found {listed}"
            problems.append(
                Problem(f"{message}; name it", file, header.line, f"data.columns.{key}")
            )
    doubles = {names[at] for at in found.values() if names.count(names[at]) > 1}
    problems += [
        Problem(f"two columns are called {name!r}; give each its own name", file, header.line)
        for name in sorted(doubles)
    ]
    if not problems and len(set(found.values())) < len(found):
        problems = [
            Problem(f"one column is given two meanings: {found}", file, path="data.columns")
        ]
    if problems:
        raise CorpusError(problems)
    return found


def _place(given: int | str | None, known: Sequence[str], names: Sequence[str]) -> int | None:
    if isinstance(given, int):
        return given % len(names) if -len(names) <= given < len(names) else None
    wanted = known if given is None else (given.strip().lower(),)
    return next((names.index(name) for name in wanted if name in names), None)
