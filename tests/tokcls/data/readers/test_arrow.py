"""Tables of records: Parquet files, saved data sets, and what `datasets` gives."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import ClassLabel, Dataset, DatasetDict, Features, List, Value

from tokcls.config import Columns
from tokcls.data.readers.arrow import read_dataset, read_saved
from tokcls.data.readers.formats import read_split
from tokcls.data.readers.rules import Rules
from tokcls.errors import CorpusError
from tokcls.labels.spans import Span

NAMES = ["O", "B-PER", "I-PER"]
TOKENS = [["Ada", "Lovelace"], [], ["wrote"]]
TAGS = [[1, 2], [], [0]]
NAMED = List(ClassLabel(names=NAMES))
TEXTS = List(Value("string"))


def table(tag: Any = NAMED, column: str = "ner_tags", **columns: Any) -> Dataset:
    """A table with two sentences and an empty one between them."""
    data: dict[str, Any] = {"tokens": TOKENS, column: TAGS, **columns}
    kinds = {"tokens": TEXTS, column: tag, **{name: Value("string") for name in columns}}
    return Dataset.from_dict(data, features=Features(kinds))


def parquet(tmp_path: Path, rows: Dataset, name: str = "train.parquet") -> Path:
    rows.to_parquet(tmp_path / name)
    return tmp_path / name


def test_a_parquet_file_names_its_tags_itself(tmp_path: Path) -> None:
    file = parquet(tmp_path, table())
    found = read_split([file], Rules())
    assert [s.words for s in found.sentences] == [("Ada", "Lovelace"), ("wrote",)]
    assert found.sentences[0].spans == (Span(0, 2, "PER"),)
    assert [s.document for s in found.sentences] == [0, 1]
    assert found.notes == (f"{file}: 1 records have no word",)


def test_tags_may_be_names_and_documents_be_told(tmp_path: Path) -> None:
    data = {"tokens": [["a"], ["b"], ["c"]], "tags": [["B-X"], ["O"], ["O"]], "doc_id": [4, 4, 5]}
    found = read_split([parquet(tmp_path, Dataset.from_dict(data))], Rules())
    assert found.sentences[0].spans == (Span(0, 1, "X"),)
    assert [s.document for s in found.sentences] == [0, 0, 1]


def test_texts_with_offsets_may_stand_in_a_table(tmp_path: Path) -> None:
    entity = {"start": 0, "end": 3, "label": "PER"}
    data = {"text": ["Ada sleeps", "x"], "entities": [[entity], []]}
    found = read_split([parquet(tmp_path, Dataset.from_dict(data))], Rules())
    assert [s.spans for s in found.sentences] == [(Span(0, 1, "PER"),), ()]


def test_columns_of_a_table_can_be_named(tmp_path: Path) -> None:
    rows = table(column="fine", tags=["x", "y", "z"])
    rules = Rules(columns=Columns(tag="fine"))
    assert read_split([parquet(tmp_path, rows)], rules).sentences[0].spans


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (table(column="pos"), "expected `tokens` and one of `ner_tags`"),
        (table(List(Value("int64"))), "row 0: ner_tags: 1 is a number, and nothing names it"),
        (table(List(ClassLabel(names=["O", "PER", "X"]))), "row 0: ner_tags: 'PER' is not a tag"),
        (Dataset.from_dict({"tokens": [["a"]], "tags": [["O", "O"]]}), "row 0: 2 tags for 1 token"),
        (Dataset.from_dict({"tokens": ["a"], "tags": [["O"]]}), "tokens is 'a'; expected a list"),
        (Dataset.from_dict({"tokens": [["a"], None], "tags": [["O"], ["O"]]}), "row 1: tokens is"),
    ],
)
def test_rows_that_make_no_sense_are_named(tmp_path: Path, rows: Dataset, message: str) -> None:
    file = parquet(tmp_path, rows)
    with pytest.raises(CorpusError) as caught:
        read_split([file], Rules())
    assert message in str(caught.value)
    with pytest.raises(CorpusError) as caught:
        read_dataset(rows, "p")
    assert message in str(caught.value)


def test_the_columns_that_are_there_are_all_listed(tmp_path: Path) -> None:
    names = [f"a_rather_long_name_of_a_column_{n}" for n in range(9)]
    rows = Dataset.from_dict({name: ["x"] for name in names})
    with pytest.raises(CorpusError) as one:
        read_split([parquet(tmp_path, rows)], Rules())
    with pytest.raises(CorpusError) as two:
        read_dataset(rows, "p")
    for caught in (one, two):
        assert str(caught.value).endswith("found " + ", ".join(map(repr, names)))


def test_columns_of_a_table_have_names_and_no_numbers() -> None:
    with pytest.raises(CorpusError, match=r"^p: data.columns.word: records .* need a name, got 0$"):
        read_dataset(table(), "p", Rules(columns=Columns(word=0)))
    with pytest.raises(CorpusError, match=r"^p: expected the keys of data.columns, {'word': 'w'}"):
        read_dataset(table(), "p", Rules(columns=Columns(word="w")))


def test_two_columns_with_one_name_are_a_problem(tmp_path: Path) -> None:
    columns = [pa.array([["a"]]), pa.array([["b"]]), pa.array([["O"]])]
    file = tmp_path / "a.parquet"
    pq.write_table(pa.Table.from_arrays(columns, names=["tokens", "tokens", "tags"]), file)
    with pytest.raises(CorpusError, match="two columns are called 'tokens'; give each"):
        read_split([file], Rules())
    pq.write_table(pa.Table.from_arrays(columns, names=["x", "x", "tags"]), file)
    with pytest.raises(CorpusError, match="expected `tokens` and one of"):
        read_split([file], Rules())


@pytest.mark.parametrize("kind", [{"_type": "Hologram"}, {"feature": 7, "_type": "List"}, None, 5])
def test_columns_that_are_not_needed_may_be_of_any_kind(tmp_path: Path, kind: Any) -> None:
    rows = parquet(tmp_path, table(other=["x", "y", "z"]))
    found = pq.read_table(rows)
    told = json.loads(found.schema.metadata[b"huggingface"])
    told["info"]["features"]["other"] = kind
    pq.write_table(found.replace_schema_metadata({b"huggingface": json.dumps(told)}), rows)
    assert read_split([rows], Rules()).sentences[0].spans == (Span(0, 2, "PER"),)


@pytest.mark.parametrize("told", [b"", b"{", b"[]", b'{"info": 3}', b'{"info": {"features": [1]}}'])
def test_numbers_have_no_names_where_what_names_them_is_damaged(
    tmp_path: Path, told: bytes
) -> None:
    file = parquet(tmp_path, table())
    found = pq.read_table(file).replace_schema_metadata({b"huggingface": told})
    pq.write_table(found, file)
    with pytest.raises(CorpusError, match="row 0: ner_tags: 1 is a number, and nothing names it"):
        read_split([file], Rules())


LABEL = ClassLabel(names=["LOC", "PER"])
OFFSETS = {"start": Value("int64"), "end": Value("int64")}
LISTS = {"start": [0, 4], "end": [3, 9], "label": [1, 0]}
MAPS = [dict(zip(LISTS, values, strict=True)) for values in zip(*LISTS.values(), strict=True)]


@pytest.mark.parametrize(
    ("kind", "entities"),
    [
        (List({**OFFSETS, "label": LABEL}), MAPS),
        ({key: List(kind) for key, kind in {**OFFSETS, "label": LABEL}.items()}, LISTS),
    ],
    ids=["a list of maps", "a map of lists"],
)
def test_entities_may_be_lists_and_their_labels_named_numbers(
    tmp_path: Path, kind: Any, entities: Any
) -> None:
    features = Features({"text": Value("string"), "entities": kind})
    rows = Dataset.from_dict({"text": ["Ada Paris"], "entities": [entities]}, features=features)
    expected = (Span(0, 1, "PER"), Span(1, 2, "LOC"))
    assert read_split([parquet(tmp_path, rows)], Rules()).sentences[0].spans == expected
    assert read_dataset(rows, "p").sentences[0].spans == expected


@pytest.mark.parametrize("content", [b"", b"PAR1", b"a O\n"])
def test_a_file_that_is_no_parquet_is_a_problem(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.parquet").write_bytes(content)
    with pytest.raises(CorpusError, match="is no readable Parquet file: "):
        read_split([tmp_path / "a.parquet"], Rules())


def test_saved_data_sets_are_opened_with_or_without_splits(tmp_path: Path) -> None:
    DatasetDict({"train": table(), "dev": table()}).save_to_disk(tmp_path / "many")
    table().save_to_disk(tmp_path / "one")
    assert list(read_saved(tmp_path / "many")) == ["train", "dev"]
    (rows,) = read_saved(tmp_path / "one").values()
    assert len(read_dataset(rows, "one").sentences) == 2


def test_a_saved_data_set_that_is_damaged_is_a_problem(tmp_path: Path) -> None:
    table().save_to_disk(tmp_path)
    (file,) = tmp_path.glob("*.arrow")
    file.write_bytes(file.read_bytes()[:-200])
    with pytest.raises(CorpusError, match="the saved data set cannot be loaded: "):
        read_saved(tmp_path)
    (tmp_path / "state.json").unlink()
    with pytest.raises(CorpusError, match="the saved data set cannot be loaded: "):
        read_saved(tmp_path)


def test_arrow_data_that_contradicts_itself_is_found_before_it_is_read(tmp_path: Path) -> None:
    table().save_to_disk(tmp_path)
    (file,) = tmp_path.glob("*.arrow")
    content = file.read_bytes()
    offsets = b"\0\0\0\0\2\0\0\0\2\0\0\0\3\0\0\0"
    assert offsets in content
    file.write_bytes(content.replace(offsets, offsets[:-3] + b"\xff\xff\x7f"))
    (rows,) = read_saved(tmp_path).values()
    with pytest.raises(CorpusError, match="cannot be read: "):
        read_dataset(rows, "saved")
