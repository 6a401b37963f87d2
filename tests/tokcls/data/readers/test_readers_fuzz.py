"""Whatever a file holds, it is read or refused with the project's own error, never another."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, get_args

import pytest
from datasets import Dataset
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tokcls.config import Columns, DataConfig, Repair
from tokcls.data.corpus import Sentence
from tokcls.data.readers.arrow import read_dataset, read_saved
from tokcls.data.readers.formats import FORMATS, format_of, read_split
from tokcls.data.readers.rules import Rules
from tokcls.data.source import load_corpus
from tokcls.errors import CorpusError
from tokcls.labels.spans import check_spans

TEXTS = {
    "conll": "-DOCSTART- -X- O\n\n# a comment\nAda\tNN\tB-PER\nLovelace\tNN\tI-PER\n\n"
    "#\tX\tO\r\n東\u3000京\tNN\tB-LOC\n",
    "jsonl": '{"tokens": ["Ada", "é"], "ner_tags": [1, 0], "label_names": ["O", "B-PER"]}\n'
    '{"text": "Ada é", "entities": [{"start": 0, "end": 3, "label": "PER"}], "document": 1}\n',
    "csv": 'sentence_id,word,tag\n1,"Ada, x",B-PER\n1,"""",I-PER\n2,é,O\n',
    "tsv": 'sentence_id\tword\ttag\tdoc\n1\tAda "x\tB-PER\ta\n\té\tO\ta\n2\ty\tI-LOC\tb\n',
}
QUICK = settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
RULES = st.builds(
    Rules,
    columns=st.sampled_from(
        [Columns(), Columns(word=0, tag=-1), Columns(word="tokens"), Columns(tag="tag", sentence=0)]
    ),
    scheme=st.sampled_from(["auto", "IOB2", "IO", "BIOES"]),
    repair=st.sampled_from(get_args(Repair)),
    overlaps=st.sampled_from(["outermost", "refuse"]),
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["start", "end", "label", "x"]), inner, max_size=4)
    ),
    max_leaves=8,
)
KEYS = ["tokens", "words", "tags", "ner_tags", "text", "entities", "spans", "document"]


def assert_holds(file: Path, content: bytes, rules: Rules) -> bool:
    """Read a file as `assert_reads` does."""
    file.write_bytes(content)
    return assert_reads(lambda: read_split([file], rules).sentences)


def assert_reads(read: Callable[[], Iterable[Sentence]]) -> bool:
    """Read; sentences must be whole, an error the project's own with a problem in it."""
    try:
        found = list(read())
    except CorpusError as error:
        told = [problem for problem in error.problems if problem.file and problem.message]
        str(error).encode()
        if len(told) != len(error.problems) or not told:
            pytest.fail(f"problems without a place or a message: {error.problems}")
        return False
    assert found
    for sentence in found:
        assert all(word.strip(" \t\r\n") for word in sentence.words)
        " ".join(sentence.words).encode()
        check_spans(sentence.spans, len(sentence.words))
    return True


@pytest.fixture(params=list(FORMATS))
def format_(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def good(format_: str, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A small file of the format that is right."""
    if format_ in TEXTS:
        return TEXTS[format_].encode()
    file = tmp_path_factory.mktemp("good") / "a.parquet"
    Dataset.from_dict({"tokens": [["Ada", "b"]], "tags": [["B-X", "O"]]}).to_parquet(file)
    return file.read_bytes()


def test_the_files_that_are_changed_below_are_right(
    tmp_path: Path, format_: str, good: bytes
) -> None:
    assert assert_holds(tmp_path / f"a.{format_}", good, Rules())
    assert format_of(tmp_path / f"a.{format_}", Rules()) == format_


@given(content=st.binary(max_size=200), rules=RULES)
@QUICK
def test_random_bytes(tmp_path: Path, format_: str, content: bytes, rules: Rules) -> None:
    assert_holds(tmp_path / f"a.{format_}", content, rules)


@given(content=st.text(st.sampled_from('aO#BI-X \t\n\r"{}[]:,;1é\u3000\ufeff'), max_size=80))
@QUICK
def test_random_text(tmp_path: Path, format_: str, content: str) -> None:
    assert_holds(tmp_path / f"a.{format_}", content.encode(), Rules())


def changed(good: bytes) -> st.SearchStrategy[bytes]:
    """A file with a few bytes replaced, taken out or put in."""
    place = st.integers(0, len(good))
    edit = st.tuples(place, st.integers(0, 8), st.binary(max_size=3) | st.just(b"\n"))

    def apply(edits: list[tuple[int, int, bytes]]) -> bytes:
        content = good
        for at, cut, put in edits:
            content = content[:at] + put + content[at + cut :]
        return content

    return st.lists(edit, min_size=1, max_size=3).map(apply)


@given(data=st.data(), rules=RULES)
@QUICK
def test_good_files_with_a_few_changes(
    tmp_path: Path, format_: str, good: bytes, data: st.DataObject, rules: Rules
) -> None:
    assert_holds(tmp_path / f"a.{format_}", data.draw(changed(good)), rules)


@given(data=st.data(), rules=RULES)
@QUICK
def test_two_parts_with_a_few_changes(
    tmp_path: Path, format_: str, good: bytes, data: st.DataObject, rules: Rules
) -> None:
    paths = [tmp_path / f"train-0000{at}-of-00002.{format_}" for at in (0, 1)]
    for path in paths:
        path.write_bytes(data.draw(st.just(good) | changed(good)))
    assert_reads(lambda: read_split(paths, rules).sentences)


VALUES = st.lists(st.sampled_from(["a", "", "O", "B-X", "PER"]) | st.none(), max_size=3)
TABLES = st.builds(
    lambda words, tags, lists: {words: [row[0] for row in lists], tags: [row[1] for row in lists]},
    st.sampled_from(["tokens", "words", "text"]),
    st.sampled_from(["ner_tags", "tags", "entities", "x"]),
    st.lists(st.tuples(VALUES, VALUES), max_size=3),
)


@given(tables=st.lists(TABLES, min_size=1, max_size=2))
@settings(QUICK, max_examples=60)
def test_parts_with_columns_of_their_own(
    tmp_path: Path, tables: list[dict[str, list[Any]]]
) -> None:
    paths = [tmp_path / f"train-{at:05}-of-{len(tables):05}.parquet" for at in range(len(tables))]
    for path, columns in zip(paths, tables, strict=True):
        Dataset.from_dict(columns).to_parquet(path)
    assert_reads(lambda: read_split(paths, Rules()).sentences)


@given(data=st.data())
@settings(QUICK, max_examples=60)
def test_a_saved_data_set_with_a_few_changes(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("saved")
    Dataset.from_dict({"tokens": [["Ada", "b"]], "tags": [["B-X", "O"]]}).save_to_disk(folder)
    name = data.draw(st.sampled_from(sorted(path.name for path in folder.iterdir())))
    file = folder / name
    file.write_bytes(data.draw(changed(file.read_bytes())))

    def read() -> Iterable[Sentence]:
        for rows in read_saved(folder).values():
            yield from read_dataset(rows, "saved").sentences

    assert_reads(read)


@given(data=st.data(), names=st.sets(st.sampled_from(["train", "dev", "val", "test"]), min_size=1))
@QUICK
def test_a_folder_of_files_with_a_few_changes(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, names: set[str]
) -> None:
    folder = tmp_path_factory.mktemp("corpus")
    for name in sorted(names):
        format_ = data.draw(st.sampled_from(sorted(TEXTS)))
        content = TEXTS[format_].encode()
        (folder / f"{name}.{format_}").write_bytes(
            data.draw(st.just(content) | changed(content) | st.binary(max_size=20))
        )
    share = data.draw(st.none() | st.just(0.5))
    assert_reads(
        lambda: load_corpus(DataConfig(source=str(folder), validation=share), seed=1).train
    )


@given(records=st.lists(st.dictionaries(st.sampled_from([*KEYS, "label_names"]), JSON), max_size=3))
@QUICK
def test_json_records_of_any_kind(tmp_path: Path, records: list[dict[str, Any]]) -> None:
    content = "\n".join(json.dumps(record) for record in records)
    assert_holds(tmp_path / "a.jsonl", content.encode(), Rules())


BOMBS: dict[str, Callable[[], str]] = {
    "deep lists": lambda: '{"tokens": ' + "[" * 200_000,
    "deep maps": lambda: '{"a":' * 200_000,
    "a long number": lambda: '{"tokens": ["a"], "tags": [' + "9" * 10_000 + "]}",
    "a large number": lambda: '{"tokens": ["a"], "tags": [1e999]}',
    "no number": lambda: '{"tokens": ["a"], "tags": [-Infinity]}',
    "double keys": lambda: '{"tokens": ["a"], "tags": ["O"], "tags": ["O"]}',
    "half characters": lambda: '{"tokens": ["\\udfff"], "tags": ["O"]}',
    "half a key": lambda: '{"\\ud800": 1}',
    "half a document": lambda: '{"tokens": ["a"], "tags": [7], "document": "\\ud800"}',
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_json_made_to_break_a_reader_is_refused(tmp_path: Path, bomb: str) -> None:
    assert not assert_holds(tmp_path / "a.jsonl", BOMBS[bomb]().encode(), Rules())
