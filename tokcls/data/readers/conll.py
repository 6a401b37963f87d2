"""Reads CoNLL column files: a word and its tag on each line, a blank line between sentences."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from tokcls.data.readers.columns import Line, Shape, find_shape
from tokcls.data.readers.roles import EXTRA
from tokcls.data.readers.rules import Rules, check_columns
from tokcls.data.readers.tagged import Draft, Drafts, check_tag
from tokcls.data.readers.text import lines_of, read_text
from tokcls.errors import CorpusError, Problem

DOCUMENT_MARK = "-DOCSTART-"
# How CoNLL-U opens a document, and how CoNLL-2012 opens and ends one.
_DOCUMENT_COMMENT = re.compile(r"# newdoc(?!\S)|#(begin|end) document(?!\S)")
_EXPECTED = "expected a word and its tag, such as `Paris B-LOC`"


def draft_conll(path: Path, rules: Rules) -> Drafts:
    """Read one CoNLL file in UTF-8, with or without a byte order mark, with any line ends.

    A line is cut at its tabs if it has any, else at runs of spaces; other blanks belong to words.
    The tag is the last column, or the only column with tags; the word is the first column, or the
    second where the first numbers the words: there, ranges (1-2) and empty nodes (1.1) are no
    words. A line that starts with `-DOCSTART-` opens a document; a sentence before all of these
    is a document of its own. Of the lines that start with `#` those with the columns and the tag
    of a word are words. The others are comments where they start with `# `, or stand before a
    sentence and have not the columns of the other lines.

    Raises:
        CorpusError: the file cannot be read, is not text, has no sentence, or its columns are not
            clear.
    """
    file = str(path)
    lines = lines_of(read_text(path))
    check_columns(rules.columns, file, "CoNLL files", word=int, tag=int)
    filled = [Line(at, text) for at, text in enumerate(lines, 1) if text.strip()]
    rows = [line for line in filled if not is_mark(line.text)]
    plain = [line for line in rows if not line.text.startswith("#")] or rows
    if not plain:
        raise CorpusError([Problem(f"the file has no sentence; {_EXPECTED}", file)])
    page = _Page(file, find_shape(plain, rules.columns, file))
    page.read(lines)
    return Drafts(file, page.drafts, page.problems, page.notes())


def is_mark(line: str) -> bool:
    """Tell whether a line opens a document."""
    rest = line.removeprefix(DOCUMENT_MARK)
    return len(rest) < len(line) and rest[:1] in ("", " ", "\t")


def is_comment(line: str) -> bool:
    """Tell whether a line before a sentence is a comment, whatever its columns."""
    return line.startswith("# ") or _DOCUMENT_COMMENT.match(line) is not None


class _Page:
    """One pass over the lines of a file."""

    def __init__(self, file: str, shape: Shape) -> None:
        self.file = file
        self.shape = shape
        self.drafts: list[Draft] = []
        self.problems: list[Problem] = []
        self.comments: list[int] = []
        self.extras: list[int] = []
        self.marks = 0
        self._open = Draft(file, [], [], [])
        self._inside = False
        self._checked = {"O": ""}

    def read(self, lines: Sequence[str]) -> None:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                self._close()
            elif is_mark(line):
                self._close(mark=True)
            else:
                self._line(number, line)
        self._close()

    def notes(self) -> list[str]:
        """Say what a user may not expect."""
        said = list(self.shape.notes)
        kinds = {
            "ranges or empty nodes (numbered as 1-2 or 1.1) and are left out": self.extras,
            "comments": self.comments,
        }
        said += [
            f"{len(numbers)} lines are {kind}, the first of them line {numbers[0]}"
            for kind, numbers in kinds.items()
            if numbers
        ]
        return said

    def _line(self, number: int, line: str) -> None:
        columns = self.shape.cut(line)
        if line.startswith("#") and self._is_comment(line, columns):
            self.comments.append(number)
            if _DOCUMENT_COMMENT.match(line):
                self._close(mark=True)
            return
        self._inside = True
        if problem := self._wrong(columns):
            hint = "; a comment inside a sentence starts with `# `" * line.startswith("#")
            self.problems.append(Problem(problem + hint, self.file, number))
        elif self._is_extra(columns):
            self.extras.append(number)
        else:
            self._open.words.append(columns[self.shape.roles.word])
            self._open.tags.append(columns[self.shape.roles.tag])
            self._open.lines.append(number)

    def _is_comment(self, line: str, columns: Sequence[str]) -> bool:
        fits = len(columns) == self.shape.width
        if fits and not self._check(columns[self.shape.roles.tag]):
            return False
        # Where words are numbered, one that starts with `#` is not at the start of its line.
        if "\t" in line and self.shape.tabs and self.shape.roles.number is None:
            return False
        if is_comment(line):
            return True
        return not self._inside and not fits

    def _wrong(self, columns: Sequence[str]) -> str:
        if len(columns) == 1:
            return f"one column, {columns[0]!r}; {_EXPECTED}"
        if len(columns) != self.shape.width:
            return (
                f"{len(columns)} columns, {' | '.join(columns)!r}, where most lines have "
                f"{self.shape.width}; give every line the same columns"
            )
        word, tag = columns[self.shape.roles.word], columns[self.shape.roles.tag]
        if self._is_extra(columns):
            number = columns[self.shape.roles.number or 0]
            message = f"{number} is no word of the sentence, but has the tag {tag!r}"
            return "" if tag in ("O", "_") else f"{message}; tag the words that it stands for"
        if not word:
            at = "first column" if not self.shape.roles.word else f"column {self.shape.roles.word}"
            return f"the {at} is empty; expected a word"
        return self._check(tag)

    def _is_extra(self, columns: Sequence[str]) -> bool:
        """Tell whether a line is a range or an empty node, which is none of the words."""
        number = self.shape.roles.number
        return number is not None and bool(EXTRA.fullmatch(columns[number]))

    def _check(self, tag: str) -> str:
        if tag not in self._checked:
            self._checked[tag] = check_tag(tag)
        return self._checked[tag]

    def _close(self, *, mark: bool = False) -> None:
        """End a sentence; a mark ends its document as well."""
        if self._open.words:
            # Two parts of a split count their marks alike.
            self._open.document = (self.file, self.marks) if self.marks else None
            self.drafts.append(self._open)
            self._open = Draft(self.file, [], [], [])
        self._inside = False
        self.marks += mark
