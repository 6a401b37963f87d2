"""Reads CoNLL column files: a word and its tag on each line, a blank line between sentences."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tokcls.data.readers.columns import Line, Shape, find_shape
from tokcls.data.readers.rules import Rules, check_columns
from tokcls.data.readers.tagged import Draft, FileRead, assemble, check_tag
from tokcls.data.readers.text import lines_of, read_text
from tokcls.errors import CorpusError, Problem

DOCUMENT_MARK = "-DOCSTART-"
# How CoNLL-U and CoNLL-2012 open a document.
_DOCUMENT_COMMENTS = ("# newdoc", "#begin document")
_EXPECTED = "expected a word and its tag, such as `Paris B-LOC`"


def read_conll(path: str | Path, rules: Rules | None = None) -> FileRead:
    """Read one CoNLL file in UTF-8, with or without a byte order mark, with any line ends.

    A line is cut at its tabs if it has any, else at runs of spaces; other blanks belong to words.
    The tag is the last column, or the only column with tags; the word is the first column, or the
    second where the first numbers the words. A line that starts with `-DOCSTART-` opens a document;
    in a file without such lines every sentence is a document of its own. A line that starts with
    `#` is a comment unless it has the columns of the file's other lines and, where those have no
    tabs, a tag.

    Raises:
        CorpusError: the file cannot be read, is not text, has no sentence, or has lines that are no
            word with a tag; it holds all problems of the file.
    """
    rules, file = rules or Rules(), str(path)
    lines = lines_of(read_text(Path(path)))
    check_columns(rules.columns, file, "CoNLL files", word=int, tag=int)
    filled = [Line(at, text) for at, text in enumerate(lines, 1) if text.strip()]
    rows = [line for line in filled if not _is_mark(line.text)]
    plain = [line for line in rows if not line.text.startswith("#")] or rows
    if not plain:
        raise CorpusError([Problem(f"the file has no sentence; {_EXPECTED}", file)])
    shape = find_shape(plain, rules.columns, file)
    page = _Page(file, shape)
    page.read(lines)
    return assemble(page.drafts, file, rules, problems=page.problems, notes=page.notes())


def _is_mark(line: str) -> bool:
    rest = line.removeprefix(DOCUMENT_MARK)
    return len(rest) < len(line) and rest[:1] in ("", " ", "\t")


class _Page:
    """One pass over the lines of a file."""

    def __init__(self, file: str, shape: Shape) -> None:
        self.file = file
        self.shape = shape
        self.drafts: list[Draft] = []
        self.problems: list[Problem] = []
        self.comments: list[int] = []
        self.marks = 0
        self._words: list[str] = []
        self._tags: list[str] = []
        self._lines: list[int] = []
        self._checked = {"O": ""}

    def read(self, lines: Sequence[str]) -> None:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                self._close()
            elif _is_mark(line):
                self._close(mark=True)
            else:
                self._row(number, line)
        self._close()
        if not self.marks:
            for draft in self.drafts:
                draft.document = None

    def notes(self) -> list[str]:
        """Say what a user may not expect."""
        said = list(self.shape.notes)
        if self.comments:
            count, first = len(self.comments), self.comments[0]
            said.append(f"{count} lines are comments, the first of them line {first}")
        return said

    def _row(self, number: int, line: str) -> None:
        columns = self.shape.cut(line)
        if line.startswith("#") and self._is_comment(line, columns):
            self.comments.append(number)
            if line.startswith(_DOCUMENT_COMMENTS):
                self._close(mark=True)
        elif problem := self._wrong(columns):
            self.problems.append(Problem(problem, self.file, number))
        else:
            self._words.append(columns[self.shape.word])
            self._tags.append(columns[self.shape.tag])
            self._lines.append(number)

    def _is_comment(self, line: str, columns: Sequence[str]) -> bool:
        if len(columns) != self.shape.width:
            return True
        if self.shape.tabs:
            return "\t" not in line
        return bool(self._check(columns[self.shape.tag]))

    def _wrong(self, columns: Sequence[str]) -> str:
        if len(columns) == 1:
            return f"one column, {columns[0]!r}; {_EXPECTED}"
        if len(columns) != self.shape.width:
            return (
                f"{len(columns)} columns, {' | '.join(columns)!r}, where most lines have "
                f"{self.shape.width}; give every line the same columns"
            )
        if not columns[self.shape.word]:
            at = "first column" if not self.shape.word else f"column {self.shape.word}"
            return f"the {at} is empty; expected a word"
        return self._check(columns[self.shape.tag])

    def _check(self, tag: str) -> str:
        if tag not in self._checked:
            self._checked[tag] = check_tag(tag)
        return self._checked[tag]

    def _close(self, *, mark: bool = False) -> None:
        """End a sentence; a mark ends its document as well."""
        if self._words:
            self.drafts.append(Draft(self._words, self._tags, self._lines, self.marks))
            self._words, self._tags, self._lines = [], [], []
        self.marks += mark
