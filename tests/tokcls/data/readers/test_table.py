"""CSV and TSV with a header and a sentence id."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest

from tokcls.config import Columns
from tokcls.data.readers.formats import read_split
from tokcls.data.readers.rules import Rules
from tokcls.data.readers.tagged import FileRead
from tokcls.errors import CorpusError
from tokcls.labels.spans import Span

Kind = Literal["csv", "tsv"]


def read(tmp_path: Path, content: str, kind: Kind = "csv", rules: Rules | None = None) -> FileRead:
    file = tmp_path / f"a.{kind}"
    file.write_bytes(content.encode())
    return read_split([file], replace(rules or Rules(), format=kind))


def problems(
    tmp_path: Path, content: str, kind: Kind = "csv", rules: Rules | None = None
) -> list[str]:
    with pytest.raises(CorpusError) as caught:
        read(tmp_path, content, kind, rules)
    return [str(problem).removeprefix(f"{tmp_path}/a.{kind}") for problem in caught.value.problems]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize(
    ("separator", "kind"), [(",", "csv"), (";", "csv"), ("\t", "tsv")], ids=repr
)
def test_rows_with_one_sentence_id_are_a_sentence(
    tmp_path: Path, separator: str, kind: Kind, end: str
) -> None:
    rows = ["sentence_id,word,tag", "1,Ada,B-PER", "1,sleeps,O", "2,Paris,B-LOC", ""]
    found = read(tmp_path, end.join(rows).replace(",", separator), kind)
    assert [s.words for s in found.sentences] == [("Ada", "sleeps"), ("Paris",)]
    assert [s.line for s in found.sentences] == [2, 4]
    assert [s.document for s in found.sentences] == [0, 1]


@pytest.mark.parametrize("columns", [Columns(), Columns(sentence=0, word=1, tag=2)])
def test_a_file_that_begins_with_data_is_asked_for_a_header(
    tmp_path: Path, columns: Columns
) -> None:
    said = problems(tmp_path, "1,Ada,B-PER\n1,sleeps,O\n", rules=Rules(columns=columns))
    assert said == [
        ":1: the first row is data; the file needs a header such as `sentence_id,word,tag`"
    ]


def test_a_tsv_file_whose_header_lacks_the_sentence_is_told_so(tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_text("word\ttag\nAda\tB-PER\n")
    with pytest.raises(CorpusError, match=r"a.tsv:1: data.columns.sentence: no column for the sen"):
        read_split([tmp_path / "a.tsv"], Rules())


def test_an_empty_id_goes_on_with_the_sentence(tmp_path: Path) -> None:
    content = "Sentence #,Word,POS,Tag\nSentence: 1,Ada,NN,B-PER\n,sleeps,VB,O\nSentence: 2,a,X,O\n"
    assert [s.words for s in read(tmp_path, content).sentences] == [("Ada", "sleeps"), ("a",)]


def test_ids_may_start_again_in_another_document(tmp_path: Path) -> None:
    content = "doc_id,sentence_id,word,tag\nx,1,a,O\nx,2,b,O\ny,1,c,O\ny,1,d,O\n"
    found = read(tmp_path, content).sentences
    assert [s.words for s in found] == [("a",), ("b",), ("c", "d")]
    assert [s.document for s in found] == [0, 0, 1]


def test_a_column_that_says_ner_goes_before_one_called_tag(tmp_path: Path) -> None:
    found = read(tmp_path, "sentence,token,tag,ner\n1,Ada,NNP,B-PER\n")
    assert found.sentences[0].spans == (Span(0, 1, "PER"),)


def test_columns_can_be_named_or_numbered(tmp_path: Path) -> None:
    rules = Rules(columns=Columns(sentence="Satz", word=1, tag=-1))
    content = "Satz,Wort,word,NE\n1,Ada,no,B-PER\n"
    assert read(tmp_path, content, rules=rules).sentences[0].words == ("Ada",)


def test_quotes_are_for_csv_only(tmp_path: Path) -> None:
    quoted = 'sentence,word,tag\n1,"a, b",O\n1,"""",O\n'
    assert read(tmp_path, quoted).sentences[0].words == ("a, b", '"')
    plain = 'sentence\tword\ttag\n1\t"\tO\n1\t"x\tO\n'
    assert read(tmp_path, plain, "tsv").sentences[0].words == ('"', '"x')


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("", ": the file is empty; expected a header"),
        ("sentence,word,tag\n", ": the file has no sentence"),
        (
            "word,tag\na,O\n",
            ":1: data.columns.sentence: no column for the sentence; looked for sentence_id or ",
        ),
        ("sentence,word,word,tag\n1,a,b,O\n", ":1: two columns are called 'word'"),
        ("sentence,word,tag\n1,a\n", ":2: 2 cells where the header has 3"),
        ("sentence,word,tag\n1, ,O\n", ":2: the word is empty; expected a word"),
        ("sentence,word,tag\n1,a,PERSON\n", ":2: 'PERSON' is not a tag"),
        ("sentence,word,tag\n,a,O\n", ":2: the first row has no sentence id; expected one"),
        ("sentence,word,tag\n1,a,O\n2,b,O\n1,c,O\n", ":4: sentence '1' began on line 2"),
        ('sentence,word,tag\n1,",O\n1,b,O\n', ":3: is not CSV: unexpected end of data"),
        ('sentence,word,tag\n1,"a"b,O\n', ":2: is not CSV: ',' expected after"),
        ('sentence,word,tag\n1,"a\nb",O\n', ":3: the word has a line break in it"),
        (f"sentence,word,tag\n1,{'x' * 200_000},O\n", ":2: is not CSV: field larger than"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(tmp_path: Path, content: str, expected: str) -> None:
    (found,) = problems(tmp_path, content)
    assert found.startswith(expected)


def test_all_wrong_rows_are_told_together(tmp_path: Path) -> None:
    content = 'sentence,word,tag\n1,,O\n1,a,X\n1,a,O\n1,b\n1,"a"b,O\n'
    assert [found[:3] for found in problems(tmp_path, content)] == [":2:", ":3:", ":5:", ":6:"]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (Columns(tag="NE"), "looked for 'NE', found 'sentence', 'word', 'tag'; name it"),
        (Columns(tag=3), "looked for 3, found"),
        (Columns(document="book"), "data.columns.document: no column for the document"),
        (Columns(tag="word"), "data.columns: one column is given two meanings"),
    ],
)
def test_columns_that_are_not_there_are_a_problem(
    tmp_path: Path, columns: Columns, message: str
) -> None:
    (found,) = problems(tmp_path, "sentence,word,tag\n1,a,O\n", rules=Rules(columns=columns))
    assert message in found
