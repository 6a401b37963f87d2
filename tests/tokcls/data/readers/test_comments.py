"""Lines of CoNLL files that start with `#`: a word is never taken for a comment in silence."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tokcls.data.readers.formats import read_split
from tokcls.data.readers.rules import Rules
from tokcls.errors import CorpusError


def read(tmp_path: Path, content: str) -> tuple[list[str], tuple[str, ...]]:
    """Give the words and the notes of a file."""
    file = tmp_path / "train.txt"
    file.write_text(content, encoding="utf-8")
    found = read_split([file], Rules())
    words = [word for sentence in found.sentences for word in sentence.words]
    return words, tuple(note.removeprefix(f"{file}: ") for note in found.notes)


def problems(tmp_path: Path, content: str) -> list[str]:
    with pytest.raises(CorpusError) as caught:
        read(tmp_path, content)
    return [f"{problem.line}: {problem.message}" for problem in caught.value.problems]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("#\tO\n#tag\tB-X\n# note\n", ["#", "#tag"]),
        ("# O\na O\n# a comment\n#tag B-X\n# a O b\n", ["#", "a", "#tag"]),
        ("# NN O\na NN O\n# it is\n", ["#", "a"]),
        ("# O\n#a B-X\n", ["#", "#a"]),
        ("a\tO\n#tag B-X\n", ["a", "#tag"]),
        ("#begin document (x); part 000\na O\n\n#end document\n", ["a"]),
        ("#id=1\na O\n\n#id=2\nb O\n", ["a", "b"]),
    ],
)
def test_a_line_with_a_hash_is_a_word_where_it_has_the_shape_of_one(
    tmp_path: Path, content: str, expected: list[str]
) -> None:
    assert read(tmp_path, content)[0] == expected


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("the\tDT\tO\n#WIN\tB-PROD\nx\tNN\tO\n", "2: 2 columns, '#WIN | B-PROD', where most"),
        ("#WIN\tB-PROD\nthe\tDT\tO\nx\tNN\tO\n", "1: 2 columns, '#WIN | B-PROD', where most"),
        ("a\tO\n#x\tB_PER\n", "2: 'B_PER' is not a tag"),
        ("the O\n#WIN b-PROD\nx O\n", "2: 'b-PROD' is not a tag"),
        ("#WIN b-PROD\nx O\n", "1: 'b-PROD' is not a tag"),
        ("the O\n#WIN\nx O\n", "2: one column, '#WIN'"),
        ("the O\n#\nx O\n", "2: one column, '#'"),
    ],
)
def test_a_word_with_a_hash_and_a_mistake_is_a_problem(
    tmp_path: Path, content: str, expected: str
) -> None:
    (found,) = problems(tmp_path, content)
    assert found.startswith(expected)
    assert found.endswith("; a comment inside a sentence starts with `# `")


def test_comments_are_counted_with_the_first_line(tmp_path: Path) -> None:
    assert read(tmp_path, "a O\n\n#one\nb O\n# two\n")[1] == (
        "2 lines are comments, the first of them line 3",
    )


def test_where_words_are_numbered_a_comment_may_have_tabs(tmp_path: Path) -> None:
    content = "#\thttp://example.org\t[2009]\n1\tAda\tB-PER\tO\n2\tin\tO\tO\n"
    assert read(tmp_path, content.replace("\tO\n", "\tB-X\n"))[0] == ["Ada", "in"]


@pytest.mark.parametrize(
    ("mark", "opens"),
    [
        ("# newdoc", True),
        ("# newdoc id = x", True),
        ("#begin document (x); part 001", True),
        ("# newdocument about cats", False),
        ("# newdoc_id = 3", False),
    ],
)
def test_only_the_known_comments_open_a_document(tmp_path: Path, mark: str, opens: bool) -> None:
    (tmp_path / "a.txt").write_text(f"# newdoc\na\tX\tO\n\n{mark}\nb\tX\tO\n")
    found = read_split([tmp_path / "a.txt"], Rules()).sentences
    assert (found[0].document != found[1].document) == opens


LINES = st.sampled_from(
    ["#a\tB-X", "#a\tX\tB-X", "#a B-X", "#a", "# a", "# a b c", "#", "", "b\tX\tO", "#\tX\tO"]
)


def mistakes(lines: list[str]) -> int:
    """Count the lines that are neither words nor comments, in a file with three columns."""
    found, inside = 0, False
    for line in lines:
        word = line.count("\t") == 2
        stray = inside and line.startswith("#") and not line.startswith("# ") and not word
        found += stray or line.count("\t") == 1
        inside = bool(line) and (inside or "\t" in line)
    return found


@given(before=st.lists(LINES, max_size=6), after=st.lists(LINES, max_size=6))
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_line_is_a_word_or_a_counted_comment_or_a_problem(
    tmp_path: Path, before: list[str], after: list[str]
) -> None:
    content = [*before, "", *["c\tX\tO"] * 13, *after]
    if mistakes(content):
        assert len(problems(tmp_path, "\n".join(content))) == mistakes(content)
        return
    words, notes = read(tmp_path, "\n".join(content))
    comments = sum(int(note.partition(" ")[0]) for note in notes)
    assert len(words) + comments == len([line for line in content if line])
