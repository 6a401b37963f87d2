"""Which column of a CoNLL file is the tag, which is the word, and which numbers the words.

What could silently be the wrong column is refused: one key of `data.columns` settles it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from tokcls.data.readers.tagged import check_tag
from tokcls.errors import CorpusError, Problem

EXTRA = re.compile(r"[0-9]+[-.][0-9]+")
"""numbers a range of words (1-2) or an empty node (1.1) of CoNLL-U: no word of the sentence"""
_NUMBER = re.compile(rf"[0-9]+|{EXTRA.pattern}")
# A column with fewer tags than this share is no column of tags that has a few mistakes in it.
_MOSTLY = 0.5
# A column with more numbers than this share is hardly one of words.
_NEARLY_ALL = 0.9
# Inner entities are rarer than that beside outer ones: one to twelve in GermEval.
_FAR_FEWER = 3
# The chunks of CoNLL-2000 and of CoNLL-2003 in German: there are always more than entities.
_PHRASES = frozenset(
    ("ADJP", "ADVP", "AP", "CONJP", "INTJ", "LST", "NC", "NP", "PC", "PP", "PRT", "SBAR", "UCP")
) | {"VC", "VP"}


@dataclass(frozen=True)
class Roles:
    """Columns, counted from 0."""

    tag: int
    word: int
    number: int | None = None
    """numbers the words of each sentence"""


@dataclass(frozen=True)
class Grid:
    """The rows of a file that have its usual number of columns."""

    rows: Sequence[Sequence[str]]
    lines: Sequence[int]
    width: int
    file: str

    def column(self, at: int) -> list[str]:
        """Give the values of one column."""
        return [row[at] for row in self.rows]

    def unclear(self, message: str) -> CorpusError:
        """Say why a column cannot be told."""
        return CorpusError([Problem(message, self.file)])


def find_roles(grid: Grid, given: Mapping[str, int], notes: list[str]) -> Roles:
    """Find the columns that are not given; `notes` gets what a user may not expect.

    The tag is the last column, or the only one with tags if the last has none. The word is the
    first that is not the tag and does not number the words.

    Raises:
        CorpusError: several columns could be the tag or the word.
    """
    word = given.get("word")
    tag = given["tag"] if "tag" in given else _find_tag(grid, word, notes)
    free = [at for at in range(grid.width) if at not in (tag, word)]
    number = None
    if len(free) > (word is None) and numbers_words(grid.column(free[0]), grid.lines):
        number = free.pop(0)
    if word is None:
        word = _find_word(grid, free)
        if number is not None:
            notes.append(f"column {word} is read as the words, since column {number} numbers them")
    return Roles(tag, word, number)


def numbers_words(values: Sequence[str], lines: Sequence[int]) -> bool:
    """Tell whether values count 1, 2, 3 ... or 0, 1, 2 ... and start again only behind a gap.

    `lines` are their line numbers: without a gap between two, they are of one sentence, and equal
    values number sentences. Ranges and empty nodes may stand between.
    """
    kept = [at for at, value in enumerate(values) if not EXTRA.fullmatch(value)]
    texts = [values[at] for at in kept]
    if texts[:1] not in (["0"], ["1"]) or not all(
        text.isascii() and text.isdigit() and len(text) < 7 for text in texts
    ):
        return False
    first, *_ = numbers = [int(text) for text in texts]
    counting = [two == one + 1 for one, two in pairwise(numbers)]
    gaps = [lines[two] > lines[one] + 1 for one, two in pairwise(kept)]
    return any(counting) and all(
        on or (gap and number == first)
        for on, gap, number in zip(counting, gaps, numbers[1:], strict=True)
    )


def _find_tag(grid: Grid, word: int | None, notes: list[str]) -> int:
    last = grid.width - 1 if word != grid.width - 1 else grid.width - 2
    counts = {at: _tags(grid.column(at)) for at in range(grid.width) if at != word}
    holding = [at for at, tags in counts.items() if tags and (at == last or tags.keys() != {"O"})]
    others = [at for at in holding if at != last]
    if last in holding or not others:
        if message := next(filter(None, (_nested(counts, last, at) for at in others)), ""):
            raise grid.unclear(message)
        if others:
            listed = " and ".join(map(str, others))
            notes.append(
                f"column {last} is read as the tags; so could be {listed}: see data.columns"
            )
        return last
    if len(others) > 1:
        listed = " or ".join(map(str, others))
        message = f"the last column has no tags, and column {listed} could; give data.columns.tag"
        raise grid.unclear(message)
    notes.append(f"column {others[0]} is read as the tags, since the last column has none")
    return others[0]


def _tags(values: Sequence[str]) -> Counter[str]:
    """Count the tags of a column; none where it is not mostly tags."""
    counts = Counter(values)
    tags = Counter({value: count for value, count in counts.items() if not check_tag(value)})
    return tags if tags.total() > _MOSTLY * len(values) else Counter()


def _nested(counts: Mapping[int, Counter[str]], last: int, other: int) -> str:
    """Say that the last column may hold the inner entities only; empty if it does not."""
    few, many = (counts[at].total() - counts[at]["O"] for at in (last, other))
    types = {tag.partition("-")[2] for tag in counts[other]} - {""}
    if few * _FAR_FEWER >= many or types <= _PHRASES:
        return ""
    return (
        f"the last column has {few:,} words with a tag other than O and column {other} has "
        f"{many:,}, so the last may be inner entities only; give data.columns.tag"
    )


def _find_word(grid: Grid, free: Sequence[int]) -> int:
    """Take the first free column, unless it holds numbers and another does not."""
    words = [at for at in free if not _are_numbers(grid.column(at))]
    if words and free[0] not in words:
        raise grid.unclear(
            f"column {free[0]} holds numbers and column {words[0]} does not; give "
            "data.columns.word, or, if they number sentences, add a header such as `sentence_id "
            "word tag` and set data.format to tsv"
        )
    return free[0]


def _are_numbers(values: Sequence[str]) -> bool:
    return sum(bool(_NUMBER.fullmatch(value)) for value in values) > _NEARLY_ALL * len(values)
