"""Reads CoNLL column files: a word and its tag on each line, a blank line between sentences.

Every problem of a file is collected and told with its line; nothing is skipped in silence. There
are no comments: a `#` may be a word.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

from tokcls.data.corpus import Sentence
from tokcls.errors import CorpusError, Problem
from tokcls.labels.schemes import SCHEMES, Detected, detect, parse_tag

DOCUMENT_MARK = "-DOCSTART-"
# Not splitlines(): it also cuts at characters such as U+2028, which occur inside words.
_LINE_END = re.compile(r"\r*\n|\r")


@dataclass(frozen=True)
class FileRead:
    """The sentences of one file, and the scheme its tags follow."""

    sentences: tuple[Sentence, ...]
    detected: Detected


@dataclass
class _Draft:
    """One sentence as its lines have it."""

    words: list[str] = field(default_factory=list)
    tags: list[str] = field(default_factory=list)
    document: int = 0
    line: int = 0


def read_conll(path: str | Path) -> FileRead:
    """Read one CoNLL file in UTF-8, with or without a byte order mark, with any line ends.

    Columns are separated by tabs if the line has one, else by runs of spaces; the first is the
    word, the last its tag. A line that starts with `-DOCSTART-` opens a document; in a file
    without such lines every sentence is a document of its own. The scheme is found from the tags,
    and the tags are read as `conlleval` reads them: steps that break the scheme are counted in
    `detected.violations`.

    Raises:
        CorpusError: the file cannot be read, is not text, has no sentence, or has lines that are no
            word with a tag; it holds all problems of the file.
    """
    file = str(path)
    drafts, problems = _drafts(_text(Path(path)), file)
    if not problems and not drafts:
        problems = [_problem(file, "the file has no sentence; expected lines of a word and a tag")]
    if problems:
        raise CorpusError(problems)
    try:
        detected = detect(draft.tags for draft in drafts)
    except ValueError as error:
        raise CorpusError([_problem(file, str(error))]) from error
    scheme = SCHEMES[detected.scheme]
    return FileRead(
        tuple(
            Sentence(
                tuple(draft.words),
                tuple(scheme.decode(draft.tags)),
                draft.document,
                file,
                draft.line,
            )
            for draft in drafts
        ),
        detected,
    )


def _problem(file: str, message: str, line: int = 0) -> Problem:
    return Problem(message, file=file, line=line)


def _text(path: Path) -> str:
    """Read the whole file, or say why it is not text."""
    file = str(path)
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise CorpusError([_problem(file, "no such file; check the path")]) from None
    except IsADirectoryError:
        raise CorpusError([_problem(file, "is a folder; a CoNLL file is needed here")]) from None
    except OSError as error:
        raise CorpusError([_problem(file, f"cannot be read: {error.strerror}")]) from error
    if b"\0" in content:
        line = content.count(b"\n", 0, content.index(b"\0")) + 1
        message = "has a NUL byte: it is binary or UTF-16; a text file in UTF-8 is needed"
        raise CorpusError([_problem(file, message, line)])
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        byte = content[error.start]
        message = f"byte 0x{byte:02x} is not UTF-8; convert the file to UTF-8"
        raise CorpusError([_problem(file, message, line)]) from error


def _drafts(text: str, file: str) -> tuple[list[_Draft], list[Problem]]:
    """Group the lines into sentences; the document of each is numbered from 0."""
    drafts: list[_Draft] = []
    problems: list[Problem] = []
    current, marks = _Draft(), 0
    for line, content in enumerate(_LINE_END.split(text), start=1):
        columns = _columns(content)
        if not columns or columns[0] == DOCUMENT_MARK:
            marks += bool(columns)
            if current.words:
                drafts.append(current)
            current = _Draft()
            continue
        if problem := _wrong(columns):
            problems.append(_problem(file, problem, line))
            continue
        current.line = current.line or line
        current.document = marks
        current.words.append(columns[0])
        current.tags.append(columns[-1])
    if current.words:
        drafts.append(current)
    _number_documents(drafts, marked=marks > 0)
    return drafts, problems


def _number_documents(drafts: list[_Draft], *, marked: bool) -> None:
    """Number documents from 0, whether or not sentences stand before the first mark."""
    first = drafts[0].document if drafts else 0
    for number, draft in enumerate(drafts):
        draft.document = draft.document - first if marked else number


def _columns(line: str) -> list[str]:
    """Split a line into columns; none for a line of blanks only."""
    if not line.strip():
        return []
    if "\t" in line:
        return [column.strip(" ") for column in line.split("\t")]
    return [column for column in line.split(" ") if column]


def _wrong(columns: list[str]) -> str:
    if len(columns) == 1:
        return f"one column, {columns[0]!r}; expected a word and its tag, such as `Paris B-LOC`"
    if not columns[0]:
        return "the first column is empty; expected a word"
    try:
        parse_tag(columns[-1])
    except ValueError as error:
        return str(error)
    return ""
