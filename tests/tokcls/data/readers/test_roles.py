"""Which column is the word and which the tag: the wrong one is never read in silence."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokcls.config import Columns
from tokcls.data.readers.formats import read_split
from tokcls.data.readers.roles import numbers_words
from tokcls.data.readers.rules import Rules
from tokcls.data.readers.tagged import FileRead
from tokcls.errors import CorpusError
from tokcls.labels.spans import Span


def read(tmp_path: Path, content: str, columns: Columns | None = None) -> FileRead:
    (tmp_path / "train.conllu").write_text(content.replace(" ", "\t"), encoding="utf-8")
    return read_split([tmp_path / "train.conllu"], Rules(columns=columns or Columns()))


def problem(tmp_path: Path, content: str, columns: Columns | None = None) -> str:
    with pytest.raises(CorpusError) as caught:
        read(tmp_path, content, columns)
    (found,) = caught.value.problems
    return f"{found.line}: {found.message}"


def words(found: FileRead) -> list[tuple[str, ...]]:
    return [sentence.words for sentence in found.sentences]


RANGES = "1-2 du {}\n1 de O\n2 le O\n2.1 x {}\n3 Rhin B-LOC\n\n1 b O\n"


@pytest.mark.parametrize("tag", ["O", "_"])
@pytest.mark.parametrize("columns", [Columns(), Columns(word=1), Columns(tag=2)])
def test_ranges_and_empty_nodes_are_no_words_and_are_counted(
    tmp_path: Path, columns: Columns, tag: str
) -> None:
    found = read(tmp_path, RANGES.format(tag, tag), columns)
    assert words(found) == [("de", "le", "Rhin"), ("b",)]
    assert found.sentences[0].spans == (Span(2, 3, "LOC"),)
    assert found.notes[-1].endswith(
        ": 2 lines are ranges or empty nodes (numbered as 1-2 or 1.1) and are left out, "
        "the first of them line 1"
    )


@pytest.mark.parametrize("tag", ["B-LOC", "x"])
def test_an_entity_on_a_range_is_a_problem(tmp_path: Path, tag: str) -> None:
    expected = f"1: 1-2 is no word of the sentence, but has the tag {tag!r}; tag the words that"
    assert problem(tmp_path, RANGES.format(tag, "_")).startswith(expected)


@given(st.lists(st.integers(1, 6), min_size=1, max_size=5), st.sampled_from([0, 1]), st.data())
def test_numbers_that_start_again_with_each_sentence_number_the_words(
    lengths: list[int], first: int, data: st.DataObject
) -> None:
    rows = [(str(first + at), at == 0) for length in lengths for at in range(length)]
    for place in sorted(data.draw(st.lists(st.integers(1, len(rows)), max_size=3)), reverse=True):
        rows.insert(place, (data.draw(st.sampled_from(["1-2", "3.1", "0.1"])), False))
    values = [value for value, _ in rows]
    lines = [at + sum(opens for _, opens in rows[: at + 1]) for at in range(len(rows))]
    assert numbers_words(values, lines) == any(length > 1 for length in lengths)


@pytest.mark.parametrize("values", [[], ["1-2"], ["2", "3"], ["1", "1", "2"], ["1", "x"]])
def test_other_values_do_not_number_words(values: list[str]) -> None:
    assert not numbers_words(values, range(len(values)))


def test_numbers_start_again_only_with_a_new_sentence() -> None:
    assert numbers_words(["1", "2", "1"], [1, 2, 4])
    assert not numbers_words(["1", "2", "1"], [1, 2, 3])


@pytest.mark.parametrize(
    "content",
    [
        "1 Ada B-PER\n1 sleeps O\n2 Bob B-PER\n",
        "17 Ada B-PER\n18 sleeps O\n",
        "1 Ada B-PER\n1 sleeps O\n\n2 Bob B-PER\n2 x O\n\n3 y O\n",
        "1 1 Ada B-PER\n1 2 sleeps O\n2 1 Bob B-PER\n",
        "1 0 Ada B-PER\n2 0 sleeps O\n",
    ],
)
def test_a_column_of_numbers_beside_one_of_words_is_refused(tmp_path: Path, content: str) -> None:
    found = problem(tmp_path, content)
    assert "holds numbers and column" in found
    assert "give data.columns.word, or, if they number sentences, add a header" in found
    word = content.split("\n")[0].split().index("Ada")
    assert words(read(tmp_path, content, Columns(word=word)))[0][0] == "Ada"


def test_words_may_be_numbers_where_nothing_else_could_be_the_words(tmp_path: Path) -> None:
    assert words(read(tmp_path, "1 O\n1990 B-X\n")) == [("1", "1990")]
    assert words(read(tmp_path, "7 7 O\n1990 8 B-X\n")) == [("7", "1990")]
    some = "a X O\n" + "5 X O\n" * 5
    assert words(read(tmp_path, some))[0][:2] == ("a", "5")


NESTED = "1 Ada {0} {1}\n2 Byron {0} {1}\n3 of {0} O\n4 Kent {0} O\n5 x O O\n"


def test_a_last_column_with_far_fewer_entities_than_another_is_refused(tmp_path: Path) -> None:
    found = problem(tmp_path, NESTED.format("B-PER", "O"))
    assert found == (
        "0: the last column has 0 words with a tag other than O and column 2 has 4, so the last "
        "may be inner entities only; give data.columns.tag"
    )
    inner = "1 a B-PER B-LOC\n" + "".join(f"{n} b B-PER O\n" for n in range(2, 9))
    assert "the last column has 1 words" in problem(tmp_path, inner)
    for tag, spans in ((2, 8), (3, 1)):
        assert len(read(tmp_path, inner, Columns(tag=tag)).sentences[0].spans) == spans


@pytest.mark.parametrize(
    "content", [NESTED.format("B-PER", "B-LOC"), NESTED.format("B-NP", "O"), "a O O\nb O B-X\n"]
)
def test_a_last_column_with_enough_entities_or_beside_chunks_is_read(
    tmp_path: Path, content: str
) -> None:
    found = read(tmp_path, content)
    assert bool(found.sentences[0].spans) == ("B-LOC" in content or "B-X" in content)
    assert any("so could be 2" in note for note in found.notes) == ("Ada" in content)
