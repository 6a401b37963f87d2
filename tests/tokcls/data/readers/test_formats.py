"""Which reader a file gets, by its ending, its first line, or the user's word."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest

from tokcls.config import Columns, FileFormat
from tokcls.data.readers.formats import FORMATS, format_of, read_split
from tokcls.data.readers.rules import Rules

JSON = '\ufeff\n{"tokens": ["a"], "tags": ["O"]}\n'
HEADER = "sentence_id\tword\ttag\n1\ta\tO\n"


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("a.txt", "a O\n", "conll"),
        ("a", "a O\n", "conll"),
        ("eng.train", "a O\n", "conll"),
        ("a.IOB2", "a O\n", "conll"),
        ("a.tsv", "a\tO\n", "conll"),
        ("a.tsv", HEADER, "tsv"),
        ("a.txt", HEADER, "tsv"),
        ("a.csv", "", "csv"),
        ("a.JSONL", "", "jsonl"),
        ("a.json", "", "jsonl"),
        ("a.txt", JSON, "jsonl"),
        ("a", "{ O\n", "conll"),
        ("a.parquet", "", "parquet"),
        ("missing.txt", None, "conll"),
    ],
)
def test_the_format_is_found(tmp_path: Path, name: str, content: str | None, expected: str) -> None:
    if content is not None:
        (tmp_path / name).write_text(content)
    assert format_of(tmp_path / name, Rules()) == expected


def test_a_given_format_goes_before_what_is_found(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("Ada B-PER\n")
    assert read_split([tmp_path / "a.csv"], Rules(format="conll")).sentences[0].words == ("Ada",)


def test_a_header_may_have_the_names_that_were_given(tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_text("Satz\tWort\tNE\n1\ta\tO\n")
    rules = Rules(columns=Columns(sentence="Satz", word="Wort", tag="NE"))
    assert read_split([tmp_path / "a.tsv"], rules).sentences[0].words == ("a",)


def test_every_format_can_be_given() -> None:
    assert set(get_args(FileFormat)) == {"auto", *FORMATS}
