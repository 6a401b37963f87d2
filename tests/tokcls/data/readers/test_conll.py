from __future__ import annotations

from pathlib import Path

import pytest

from tokcls.config import Columns
from tokcls.data.readers.formats import read_split
from tokcls.data.readers.rules import Rules
from tokcls.data.readers.tagged import FileRead
from tokcls.errors import CorpusError
from tokcls.labels.spans import Span


def read(tmp_path: Path, content: str | bytes, rules: Rules | None = None) -> FileRead:
    file = tmp_path / "train.txt"
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    return read_split([file], rules or Rules())


def problems(tmp_path: Path, content: str | bytes, rules: Rules | None = None) -> list[str]:
    with pytest.raises(CorpusError) as caught:
        read(tmp_path, content, rules)
    return [str(problem).removeprefix(f"{tmp_path}/") for problem in caught.value.problems]


def words(found: FileRead) -> list[tuple[str, ...]]:
    return [sentence.words for sentence in found.sentences]


def test_words_tags_and_line_numbers_are_read(tmp_path: Path) -> None:
    found = read(tmp_path, "Ada B-PER\nLovelace I-PER\nwrote O\n\n\nIn O\nParis B-LOC")
    assert words(found) == [("Ada", "Lovelace", "wrote"), ("In", "Paris")]
    assert [s.spans for s in found.sentences] == [(Span(0, 2, "PER"),), (Span(1, 2, "LOC"),)]
    assert [s.line for s in found.sentences] == [1, 6]
    assert found.sentences[0].file == str(tmp_path / "train.txt")
    assert found.detected is not None
    assert found.detected.scheme == "IOB2"


def test_only_the_first_and_the_last_column_count(tmp_path: Path) -> None:
    found = read(tmp_path, "Paris NNP  I-NP   B-LOC\nin\tIN\t\tO\n")
    assert words(found) == [("Paris", "in")]
    assert found.sentences[0].spans == (Span(0, 1, "LOC"),)


def test_a_tab_makes_blanks_part_of_the_word(tmp_path: Path) -> None:
    assert words(read(tmp_path, "New York\tB-LOC\nhas O\n")) == [("New York", "has")]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r", "\r\r\n"], ids=repr)
def test_line_ends_of_every_system_and_a_byte_order_mark_are_tolerated(
    tmp_path: Path, end: str
) -> None:
    content = "\ufeff" + end.join(["Paris B-LOC", "in O", "", "May O", ""])
    assert words(read(tmp_path, content)) == [("Paris", "in"), ("May",)]


@pytest.mark.parametrize("blank", ["", " ", "\t", " \t ", "\u00a0", "\n\n"], ids=repr)
def test_lines_of_blanks_only_separate_sentences(tmp_path: Path, blank: str) -> None:
    assert words(read(tmp_path, f"a O\n{blank}\nb O\n")) == [("a",), ("b",)]


def test_unusual_characters_stay_inside_words(tmp_path: Path) -> None:
    odd = ["a\u2028b", "c\u00a0d", "#", "\u200b", "x\u0085y"]
    assert words(read(tmp_path, "".join(f"{word}\tO\n" for word in odd))) == [tuple(odd)]


@pytest.mark.parametrize("mark", ["-DOCSTART-", "-DOCSTART- O", "-DOCSTART- -X- O O"])
def test_documents_are_numbered_from_their_marks(tmp_path: Path, mark: str) -> None:
    content = f"{mark}\n\na O\n\nb O\n{mark}\nc O\n"
    assert [s.document for s in read(tmp_path, content).sentences] == [0, 0, 1]
    assert [s.document for s in read(tmp_path, "z O\n\n" + content).sentences] == [0, 1, 1, 2]


def test_a_file_has_documents_only_where_a_mark_stands_before_its_first_sentence(
    tmp_path: Path,
) -> None:
    marked = "-DOCSTART- O\n\na O\n\nb O\n"
    assert read(tmp_path, marked).documented
    late = read(tmp_path, "x O\n\ny O\n\n" + marked)
    assert not late.documented
    assert [s.document for s in late.sentences] == [0, 1, 2, 2]


def test_without_marks_every_sentence_is_its_own_document(tmp_path: Path) -> None:
    assert [s.document for s in read(tmp_path, "a O\n\nb O\n\nc O").sentences] == [0, 1, 2]


def test_the_scheme_is_found_and_its_violations_are_counted(tmp_path: Path) -> None:
    found = read(tmp_path, "a I-X\nb O\nc B-X\nd I-X\ne O\nf B-Y\n")
    assert found.detected is not None
    assert (found.detected.scheme, found.detected.violations) == ("IOB2", 1)
    assert found.sentences[0].spans == (Span(0, 1, "X"), Span(2, 4, "X"), Span(5, 6, "Y"))


def test_iob1_reads_touching_spans_apart(tmp_path: Path) -> None:
    found = read(tmp_path, "a I-X\nb B-X\nc I-X\n")
    assert found.detected is not None
    assert found.detected.scheme == "IOB1"
    assert found.sentences[0].spans == (Span(0, 1, "X"), Span(1, 3, "X"))


def test_all_wrong_lines_are_told_together(tmp_path: Path) -> None:
    found = problems(tmp_path, "Paris B-LOC\nalone\n\nin X-PER\n\tO\nback\t\nto PERSON\n")
    assert [line.split(" ", 1)[0] for line in found] == [
        f"train.txt:{number}:" for number in (2, 4, 5, 6, 7)
    ]
    assert "one column, 'alone'; expected a word and its tag" in found[0]
    assert "'X-PER' is not a tag; expected O, or B- I-" in found[1]
    assert "the first column is empty" in found[2]
    assert "'' is not a tag" in found[3]


@pytest.mark.parametrize("content", ["", "\n\n \n", "-DOCSTART- O\n\n", b"\xef\xbb\xbf"], ids=repr)
def test_a_file_without_sentences_is_a_problem(tmp_path: Path, content: str | bytes) -> None:
    expected = (
        "train.txt: the file has no sentence; expected a word and its tag, such as `Paris B-LOC`"
    )
    assert problems(tmp_path, content) == [expected]


def test_bytes_that_are_no_utf8_are_named_with_their_line(tmp_path: Path) -> None:
    found = problems(tmp_path, "ok O\nOrléans B-LOC\n".encode("latin-1"))
    assert found == ["train.txt:2: byte 0xe9 is not UTF-8; convert the file to UTF-8"]


@pytest.mark.parametrize("content", [b"ok O\na\0b O\n", "ok O\n".encode("utf-16")], ids=repr)
def test_binary_files_are_refused(tmp_path: Path, content: bytes) -> None:
    assert "has a NUL byte: it is binary or UTF-16" in problems(tmp_path, content)[0]


def test_prefixes_of_different_schemes_in_one_file_are_a_problem(tmp_path: Path) -> None:
    found = problems(tmp_path, "a S-X\nb O\nc U-X\n")
    assert "no scheme has all the prefixes O S U" in found[0]


def test_a_missing_file_and_a_folder_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"none\.txt: no such file; check the path"):
        read_split([tmp_path / "none.txt"], Rules())
    with pytest.raises(CorpusError, match="is a folder; a file is needed here"):
        read_split([tmp_path], Rules())


def notes(found: FileRead) -> list[str]:
    return [note.split(": ", 1)[1] for note in found.notes]


TREEBANK = """\
# newdoc id = one
# sent_id = 1
# text = Ada writes
1\tAda\tB-PER\t-\tann
2\twrites\tO\t-\tann

# text = In Paris
1\tIn\tO\t-\tann
2\tParis\tB-LOC\t-\tann

# newdoc id = two
# text = No
1\tNo\tO\t-\tann
"""


def test_columns_comments_and_documents_of_a_treebank_are_found(tmp_path: Path) -> None:
    found = read(tmp_path, TREEBANK)
    assert words(found) == [("Ada", "writes"), ("In", "Paris"), ("No",)]
    assert [s.spans for s in found.sentences] == [(Span(0, 1, "PER"),), (Span(1, 2, "LOC"),), ()]
    assert [s.document for s in found.sentences] == [0, 0, 1]
    assert notes(found) == [
        "column 2 is read as the tags, since the last column has none",
        "column 1 is read as the words, since column 0 numbers them",
        "6 lines are comments, the first of them line 1",
    ]


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        (Columns(word=1, tag=2), ("two", Span(0, 1, "B"))),
        (Columns(tag=-1), ("one", Span(0, 1, "C"))),
        (Columns(word=-1, tag=-2), ("B-C", Span(0, 1, "B"))),
        (Columns(), ("one", Span(0, 1, "C"))),
    ],
)
def test_given_columns_are_read(
    tmp_path: Path, columns: Columns, expected: tuple[str, Span]
) -> None:
    found = read(tmp_path, "one two B-B B-C\n", Rules(columns=columns)).sentences[0]
    assert (found.words[0], found.spans[0]) == expected


def test_the_tag_may_stand_first_and_the_word_last(tmp_path: Path) -> None:
    assert words(read(tmp_path, "B-X one\nO two\n")) == [("one", "two")]


def test_a_second_column_of_tags_is_told(tmp_path: Path) -> None:
    found = read(tmp_path, "Paris B-NP B-LOC\nsleeps B-VP O\n")
    assert found.sentences[0].spans == (Span(0, 1, "LOC"),)
    assert notes(found) == ["column 2 is read as the tags; so could be 1: see data.columns"]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (Columns(tag=4), "data.columns.tag: there are 2 columns, got 4"),
        (Columns(word="form"), "data.columns.word: CoNLL files need a number, counted from 0"),
        (Columns(sentence=0), "data.columns.sentence: CoNLL files have no such column, got 0"),
        (Columns(word=1, tag=-1), "data.columns: column 1 cannot be both the word and the tag"),
        (Columns(word=1), "train.txt:1: 'a' is not a tag"),
    ],
)
def test_columns_that_do_not_fit_are_a_problem(
    tmp_path: Path, columns: Columns, message: str
) -> None:
    assert message in problems(tmp_path, "a O\n", Rules(columns=columns))[0]


def test_two_columns_that_could_be_the_tags_are_a_problem(tmp_path: Path) -> None:
    (found,) = problems(tmp_path, "a B-X B-Y _\nb O O _\n")
    assert "the last column has no tags, and column 1 or 2 could; give data.columns.tag" in found


def test_rows_with_other_numbers_of_columns_are_problems(tmp_path: Path) -> None:
    found = problems(tmp_path, "a NN O\nb O\nc NN NN O\nd NN O\n")
    assert [line.split(",")[0] for line in found] == [
        "train.txt:2: 2 columns",
        "train.txt:3: 4 columns",
    ]


def test_runs_of_tabs_part_columns_only_where_they_make_the_rows_alike(tmp_path: Path) -> None:
    assert words(read(tmp_path, "a\t\tO\nlonger\tB-X\n")) == [("a", "longer")]
    assert words(read(tmp_path, "a\t\tO\nlonger\tNN\tB-X\n")) == [("a", "longer")]
    assert "the first column is empty" in problems(tmp_path, "a\tNN\tO\n\tNN\tO\n")[0]


def test_unusual_blanks_do_not_cut_words(tmp_path: Path) -> None:
    odd = ["a\u3000b", "c\u00a0d", "e f"]
    assert words(read(tmp_path, "".join(f"{word}\tO\n" for word in odd))) == [tuple(odd)]
    assert words(read(tmp_path, "a\u3000b O\nc  B-X\n")) == [("a\u3000b", "c")]


def test_every_line_that_is_no_utf8_is_named(tmp_path: Path) -> None:
    content = "é O\nb O\nè O\n".encode("latin-1")
    assert [line[:12] for line in problems(tmp_path, content)] == ["train.txt:1:", "train.txt:3:"]


def test_only_the_whole_mark_opens_a_document(tmp_path: Path) -> None:
    assert words(read(tmp_path, "-DOCSTART-x O\na O\n")) == [("-DOCSTART-x", "a")]
