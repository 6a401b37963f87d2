"""Whatever a file holds, it is read or refused with the project's own error, never another."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import pytest
from datasets import Dataset
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tokcls.config import Columns, Repair
from tokcls.data.readers.formats import FORMATS, format_of, read_split
from tokcls.data.readers.rules import Rules
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


def holds(file: Path, content: bytes, rules: Rules) -> bool:
    """Read a file; sentences must be whole, an error the project's own with a problem in it."""
    file.write_bytes(content)
    try:
        found = read_split([file], rules)
    except CorpusError as error:
        told = [problem for problem in error.problems if problem.file and problem.message]
        str(error).encode()
        if len(told) != len(error.problems) or not told:
            pytest.fail(f"problems without a place or a message: {error.problems}")
        return False
    assert found.sentences
    for sentence in found.sentences:
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
    assert holds(tmp_path / f"a.{format_}", good, Rules())
    assert format_of(tmp_path / f"a.{format_}", Rules()) == format_


@given(content=st.binary(max_size=200), rules=RULES)
@QUICK
def test_random_bytes(tmp_path: Path, format_: str, content: bytes, rules: Rules) -> None:
    holds(tmp_path / f"a.{format_}", content, rules)


@given(content=st.text(st.sampled_from('aO#BI-X \t\n\r"{}[]:,;1é\u3000\ufeff'), max_size=80))
@QUICK
def test_random_text(tmp_path: Path, format_: str, content: str) -> None:
    holds(tmp_path / f"a.{format_}", content.encode(), Rules())


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
    holds(tmp_path / f"a.{format_}", data.draw(changed(good)), rules)


@given(records=st.lists(st.dictionaries(st.sampled_from([*KEYS, "label_names"]), JSON), max_size=3))
@QUICK
def test_json_records_of_any_kind(tmp_path: Path, records: list[dict[str, Any]]) -> None:
    content = "\n".join(json.dumps(record) for record in records)
    holds(tmp_path / "a.jsonl", content.encode(), Rules())


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
    assert not holds(tmp_path / "a.jsonl", BOMBS[bomb]().encode(), Rules())
