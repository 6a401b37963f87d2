"""The shape of a CoNLL file: how its lines are cut, and which columns are the word and the tag."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from tokcls.config import Columns
from tokcls.data.readers.roles import Grid, Roles, find_roles
from tokcls.errors import CorpusError, Problem

_TABS = re.compile(r"\t+")


@dataclass(frozen=True)
class Line:
    """A line that is not blank, and its number in the file."""

    number: int
    text: str


@dataclass(frozen=True)
class Shape:
    """What the lines of a file have in common; columns are counted from 0."""

    width: int
    tabs: bool
    """most lines have a tab"""
    runs: bool
    """several tabs in a row part two columns, with nothing between them"""
    roles: Roles
    notes: tuple[str, ...] = ()

    def cut(self, line: str) -> list[str]:
        """Cut a line at its tabs if it has any, else at runs of spaces."""
        return _cut(line, self.runs)


def find_shape(lines: Sequence[Line], columns: Columns, file: str) -> Shape:
    """Find the shape that most lines have; `columns` decides where it is given.

    Raises:
        CorpusError: the given columns do not exist, or the tag or the word could be one of several
            columns.
    """
    tabs = sum("\t" in line.text for line in lines) * 2 > len(lines)
    runs = tabs and _needs_runs(lines)
    rows = [_cut(line.text, runs) for line in lines]
    counts = Counter(len(row) for row in rows if len(row) > 1)
    width = counts.most_common(1)[0][0] if counts else 2
    usual = [at for at, row in enumerate(rows) if len(row) == width]
    grid = Grid([rows[at] for at in usual], [lines[at].number for at in usual], width, file)
    notes: list[str] = []
    roles = find_roles(grid, _given(columns, width, file), notes)
    if roles.word == roles.tag:
        message = f"column {roles.word} cannot be both the word and the tag; give the other one too"
        raise CorpusError([Problem(message, file, path="data.columns")])
    return Shape(width, tabs, runs, roles, tuple(notes))


def _given(columns: Columns, width: int, file: str) -> dict[str, int]:
    """Take the columns that are given, counted from the left."""
    keys = {"word": columns.word, "tag": columns.tag}
    wanted = {name: at for name, at in keys.items() if isinstance(at, int)}
    problems = [
        Problem(f"there are {width} columns, got {at}", file, path=f"data.columns.{name}")
        for name, at in wanted.items()
        if not -width <= at < width
    ]
    if problems:
        raise CorpusError(problems)
    return {name: at % width for name, at in wanted.items()}


def _cut(line: str, runs: bool) -> list[str]:
    if "\t" in line:
        parts = _TABS.split(line) if runs else line.split("\t")
        return [part.strip(" ") for part in parts]
    return [part for part in line.split(" ") if part]


def _needs_runs(lines: Sequence[Line]) -> bool:
    """Tell whether only runs of tabs cut all lines into one number of columns."""
    if not any("\t\t" in line.text for line in lines):
        return False
    single, several = ({len(_cut(line.text, runs)) for line in lines} for runs in (False, True))
    return len(single) > 1 and len(several) == 1
