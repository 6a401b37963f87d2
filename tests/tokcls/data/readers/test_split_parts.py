"""A split that was cut into parts: each is read by what it says itself, all make one split."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from datasets import ClassLabel, Dataset, Features, List, Value

from tokcls.config import DataConfig
from tokcls.data.readers.formats import read_split
from tokcls.data.readers.rules import Rules
from tokcls.data.readers.tagged import FileRead
from tokcls.data.source import load_corpus
from tokcls.errors import CorpusError
from tokcls.labels.spans import Span

PARTS = {
    "jsonl": ('{"tokens": ["a"], "tags": ["B-X"]}\n', '{"tokens": ["b"], "tags": ["O"]}\n'),
    "txt": ("a B-X\n", "b O\n"),
    "csv": ("sentence,word,tag\n1,a,B-X\n", "sentence,word,tag\n1,b,O\n"),
    "tsv": ("sentence\tword\ttag\n1\ta\tB-X\n", "sentence\tword\ttag\n1\tb\tO\n"),
}


def files(folder: Path, kind: str, *contents: str) -> list[Path]:
    """Write the parts of a split."""
    paths = [folder / f"train-{at:05}-of-{len(contents):05}.{kind}" for at in range(len(contents))]
    for path, content in zip(paths, contents, strict=True):
        path.write_text(content)
    return paths


def tables(folder: Path, *parts: dict[str, Any], names: list[list[str]] | None = None) -> FileRead:
    """Write Parquet parts, with names for the numbers among their tags, and read them."""
    paths = files(folder, "parquet", *[""] * len(parts))
    for at, (path, columns) in enumerate(zip(paths, parts, strict=True)):
        kinds = {column: List(Value("string")) for column in columns}
        if names:
            kinds["ner_tags"] = List(ClassLabel(names=names[at]))
        Dataset.from_dict(columns, features=Features(kinds)).to_parquet(path)
    return read_split(paths, Rules())


def told(caught: pytest.ExceptionInfo[CorpusError]) -> list[str]:
    return [
        f"{Path(problem.file).name[6:11]} {problem.line} {problem.path} {problem.message}"
        for problem in caught.value.problems
    ]


@pytest.mark.parametrize("kind", PARTS)
def test_parts_are_read_in_their_own_format_and_in_order(tmp_path: Path, kind: str) -> None:
    paths = files(tmp_path, kind, *PARTS[kind])
    (tmp_path / "dev.txt").write_text("c O\n")
    corpus = load_corpus(DataConfig(source=str(tmp_path)), seed=1)
    assert [s.words for s in corpus.train] == [("a",), ("b",)]
    assert [s.file for s in corpus.train] == list(map(str, paths))
    assert [s.document for s in corpus.train] == [0, 1]
    assert corpus.train[0].spans == (Span(0, 1, "X"),)


def test_each_part_of_a_table_has_its_own_names(tmp_path: Path) -> None:
    rows: dict[str, Any] = {"tokens": [["Ada"]], "ner_tags": [[1]]}
    other = {"tokens": [["Rome"]], "ner_tags": [[1]]}
    found = tables(tmp_path, rows, other, names=[["O", "B-PER", "B-LOC"], ["O", "B-LOC", "B-PER"]])
    assert [s.spans[0].type for s in found.sentences] == ["PER", "LOC"]


def test_names_of_one_part_name_no_numbers_of_another(tmp_path: Path) -> None:
    paths = files(tmp_path, "parquet", "", "")
    kinds = Features({"tokens": List(Value("string")), "tags": List(ClassLabel(names=["O"]))})
    rows = {"tokens": [["a"]], "tags": [[0]]}
    Dataset.from_dict(rows, features=kinds).to_parquet(paths[0])
    Dataset.from_dict(rows).to_parquet(paths[1])
    with pytest.raises(CorpusError) as caught:
        read_split(paths, Rules())
    assert told(caught)[0].startswith("00001 0 row 0 tags: 0 is a number, and nothing names it")


def test_each_part_of_a_table_has_its_own_columns(tmp_path: Path) -> None:
    one = {"tokens": [["a"]], "ner_tags": [["B-X"]]}
    two = {"words": [["b"]], "tags": [["B-X"]]}
    assert [s.words for s in tables(tmp_path, one, two).sentences] == [("a",), ("b",)]
    with pytest.raises(CorpusError) as caught:
        tables(tmp_path, one, {"tokens": [["b"]]})
    assert told(caught)[0].startswith("00001 0  expected `tokens` and one of `ner_tags`")


def test_what_is_wrong_in_all_parts_is_told_with_their_own_lines_and_rows(tmp_path: Path) -> None:
    good, bad = ([["a"], ["b"]], [["a"], ["b", ""]])
    with pytest.raises(CorpusError) as caught:
        tables(
            tmp_path,
            {"tokens": good, "tags": [["O"], ["PER"]]},
            {"tokens": bad, "tags": [["O"], ["O", "O"]]},
        )
    assert [line.partition(";")[0] for line in told(caught)] == [
        "00000 0 row 1 tags: 'PER' is not a tag",
        "00001 0 row 1 word 2 is empty",
    ]
    paths = files(tmp_path, "jsonl", "{}\n", "\n7\n")
    with pytest.raises(CorpusError) as caught:
        read_split([*paths, tmp_path / "train-00002"], Rules())
    assert [problem.line for problem in caught.value.problems] == [1, 2, 0]


def test_the_scheme_is_that_of_all_parts_together(tmp_path: Path) -> None:
    found = read_split(files(tmp_path, "txt", "a I-X\nb I-X\n", "c B-X\nd I-X\n" * 3), Rules())
    assert found.detected is not None
    assert (found.detected.scheme, found.detected.violations) == ("IOB2", 1)
    with pytest.raises(CorpusError) as caught:
        read_split(files(tmp_path, "txt", "a S-X\n", "b U-X\n"), Rules())
    assert [line[:5] for line in told(caught)[1:]] == ["00000", "00001"]


def test_documents_of_two_text_files_are_two_and_named_ones_go_on(tmp_path: Path) -> None:
    marked = "-DOCSTART- O\n\na O\n\nb O\n"
    found = read_split(files(tmp_path, "txt", marked, marked), Rules())
    assert [s.document for s in found.sentences] == [0, 0, 1, 1]
    assert found.documented
    assert not read_split(files(tmp_path, "txt", marked, "c O\n"), Rules()).documented
    line = json.dumps({"tokens": ["a"], "tags": ["O"], "document": 7}) + "\n"
    assert [
        s.document for s in read_split(files(tmp_path, "jsonl", line, line), Rules()).sentences
    ] == [0, 0]


def test_notes_name_their_part_and_a_part_without_a_sentence_is_noted(tmp_path: Path) -> None:
    record = '{"tokens": ["a"], "tags": ["O"]}\n{"tokens": [], "tags": []}\n'
    paths = files(tmp_path, "jsonl", record, "")
    notes = (f"{paths[0]}: 1 records have no word", f"{paths[1]}: has no sentence")
    assert read_split(paths, Rules()).notes == notes
    with pytest.raises(CorpusError, match=r"00000-of-00002\.jsonl and its other parts: the"):
        read_split(files(tmp_path, "jsonl", "", ""), Rules())
