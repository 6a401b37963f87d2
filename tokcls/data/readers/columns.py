"""The shape of a CoNLL file: how its lines are cut, and which columns are the word and the tag."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from tokcls.config import Columns
from tokcls.data.readers.tagged import check_tag
from tokcls.errors import CorpusError, Problem

_TABS = re.compile(r"\t+")
# A column with fewer tags than this share is no column of tags that has a few mistakes in it.
_MOSTLY = 0.5


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
    word: int = 0
    tag: int = -1
    notes: tuple[str, ...] = ()

    def cut(self, line: str) -> list[str]:
        """Cut a line at its tabs if it has any, else at runs of spaces."""
        return _cut(line, self.runs)


def find_shape(lines: Sequence[Line], columns: Columns, file: str) -> Shape:
    """Find the shape that most lines have; `columns` decides where it is given.

    Raises:
        CorpusError: the given columns do not exist, or the tag could be one of several columns.
    """
    tabs = sum("\t" in line.text for line in lines) * 2 > len(lines)
    runs = tabs and _needs_runs(lines)
    rows = [_cut(line.text, runs) for line in lines]
    counts = Counter(len(row) for row in rows if len(row) > 1)
    width = counts.most_common(1)[0][0] if counts else 2
    rows = [row for row in rows if len(row) == width]
    given = {"word": columns.word, "tag": columns.tag}
    wanted = {name: at for name, at in given.items() if isinstance(at, int)}
    problems = [
        Problem(f"there are {width} columns, got {at}", file, path=f"data.columns.{name}")
        for name, at in wanted.items()
        if not -width <= at < width
    ]
    if problems:
        raise CorpusError(problems)
    taken = {name: at % width for name, at in wanted.items()}
    notes: list[str] = []
    tag = taken["tag"] if "tag" in taken else _find_tag(rows, width, taken.get("word"), file, notes)
    word = taken["word"] if "word" in taken else _find_word(rows, width, tag, notes)
    if word == tag:
        message = f"column {word} cannot be both the word and the tag; give the other one too"
        raise CorpusError([Problem(message, file, path="data.columns")])
    return Shape(width, tabs, runs, word, tag, tuple(notes))


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


def _find_tag(
    rows: Sequence[Sequence[str]], width: int, word: int | None, file: str, notes: list[str]
) -> int:
    """Take the last column, or the only one with tags if the last has none."""
    last = width - 1 if word != width - 1 else width - 2
    holding = [at for at in range(width) if at != word and _has_tags(rows, at, spans=at != last)]
    others = [at for at in holding if at != last]
    if last in holding or not others:
        if others:
            listed = " and ".join(map(str, others))
            notes.append(
                f"column {last} is read as the tags; so could be {listed}: see data.columns"
            )
        return last
    if len(others) > 1:
        listed = " or ".join(map(str, others))
        message = f"the last column has no tags, and column {listed} could; give data.columns.tag"
        raise CorpusError([Problem(message, file)])
    notes.append(f"column {others[0]} is read as the tags, since the last column has none")
    return others[0]


def _has_tags(rows: Sequence[Sequence[str]], at: int, *, spans: bool) -> bool:
    """Tell whether a column is mostly tags; with `spans` one of them must be other than O."""
    counts = Counter(row[at] for row in rows)
    tags = {value: count for value, count in counts.items() if not check_tag(value)}
    return sum(tags.values()) > _MOSTLY * len(rows) and (not spans or tags.keys() != {"O"})


def _find_word(rows: Sequence[Sequence[str]], width: int, tag: int, notes: list[str]) -> int:
    """Take the first column that is not the tag and does not number the words."""
    free = [at for at in range(width) if at != tag]
    if len(free) > 1 and _numbers_words([row[free[0]] for row in rows]):
        notes.append(f"column {free[1]} is read as the words, since column {free[0]} numbers them")
        return free[1]
    return free[0]


def _numbers_words(values: Sequence[str]) -> bool:
    """Tell whether values count 1, 2, 3 ... or 0, 1, 2 ... and start again with each sentence."""
    if values[:1] not in (["0"], ["1"]) or not all(
        value.isascii() and value.isdigit() and len(value) < 7 for value in values
    ):
        return False
    steps = [(int(one), int(two)) for one, two in pairwise(values)]
    counting = [two == one + 1 for one, two in steps]
    return any(counting) and all(
        on or two == int(values[0]) for on, (_, two) in zip(counting, steps, strict=True)
    )
