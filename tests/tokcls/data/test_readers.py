from __future__ import annotations

from pathlib import Path

import pytest

from tokcls.data.readers import FileRead, read_conll
from tokcls.errors import CorpusError
from tokcls.labels.spans import Span


def read(tmp_path: Path, content: str | bytes) -> FileRead:
    file = tmp_path / "train.txt"
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    return read_conll(file)


def problems(tmp_path: Path, content: str | bytes) -> list[str]:
    with pytest.raises(CorpusError) as caught:
        read(tmp_path, content)
    return [str(problem).removeprefix(f"{tmp_path}/") for problem in caught.value.problems]


def words(found: FileRead) -> list[tuple[str, ...]]:
    return [sentence.words for sentence in found.sentences]


def test_words_tags_and_line_numbers_are_read(tmp_path: Path) -> None:
    found = read(tmp_path, "Ada B-PER\nLovelace I-PER\nwrote O\n\n\nIn O\nParis B-LOC")
    assert words(found) == [("Ada", "Lovelace", "wrote"), ("In", "Paris")]
    assert [s.spans for s in found.sentences] == [(Span(0, 2, "PER"),), (Span(1, 2, "LOC"),)]
    assert [s.line for s in found.sentences] == [1, 6]
    assert found.sentences[0].file == str(tmp_path / "train.txt")
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


def test_without_marks_every_sentence_is_its_own_document(tmp_path: Path) -> None:
    assert [s.document for s in read(tmp_path, "a O\n\nb O\n\nc O").sentences] == [0, 1, 2]


def test_the_scheme_is_found_and_its_violations_are_counted(tmp_path: Path) -> None:
    found = read(tmp_path, "a I-X\nb O\nc B-X\nd I-X\ne O\nf B-Y\n")
    assert (found.detected.scheme, found.detected.violations) == ("IOB2", 1)
    assert found.sentences[0].spans == (Span(0, 1, "X"), Span(2, 4, "X"), Span(5, 6, "Y"))


def test_iob1_reads_touching_spans_apart(tmp_path: Path) -> None:
    found = read(tmp_path, "a I-X\nb B-X\nc I-X\n")
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
    expected = "train.txt: the file has no sentence; expected lines of a word and a tag"
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
        read_conll(tmp_path / "none.txt")
    with pytest.raises(CorpusError, match="is a folder; a CoNLL file is needed here"):
        read_conll(tmp_path)
