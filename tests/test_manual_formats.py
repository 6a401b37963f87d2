"""The examples of corpus formats in docs/yaml.md are read by the readers they are written for."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tokcls.config import DataConfig
from tokcls.data.readers.formats import FORMATS, format_of, read_split
from tokcls.data.readers.rules import Rules
from tokcls.data.source import load_corpus

MANUAL = Path(__file__).resolve().parents[1] / "docs" / "yaml.md"
EXAMPLES = [
    (kind, content)
    for kind, content in re.findall(r"^```(\w+)\n(.*?)^```", MANUAL.read_text(), re.M | re.S)
    if kind in FORMATS
]
SCRIPTS = re.findall(r"^```python\n(.*?)^```", MANUAL.read_text(), re.M | re.S)
# (sentences, words, documents, types) of each example, in the order of the page
FOUND = [
    (1, 2, 1, {"PER"}),
    (4, 10, 3, {"PER", "LOC"}),
    (5, 14, 4, {"PER", "LOC"}),
    (2, 4, 2, {"PER"}),
    (3, 4, 2, {"PER", "LOC"}),
]


def test_every_format_of_text_has_an_example_of_five_lines() -> None:
    assert {kind for kind, _ in EXAMPLES} == set(FORMATS) - {"parquet"}
    assert len(SCRIPTS) == 1
    assert {content.count("\n") for _, content in EXAMPLES} == {5}
    assert len([line for line in SCRIPTS[0].splitlines() if line]) == 5
    assert len(EXAMPLES) == len(FOUND)


@pytest.mark.parametrize("number", range(len(FOUND)))
def test_an_example_is_read_as_the_manual_says(tmp_path: Path, number: int) -> None:
    kind, content = EXAMPLES[number]
    file = tmp_path / f"train.{kind}"
    file.write_text(content)
    assert format_of(file, Rules()) == kind
    found = read_split([file], Rules()).sentences
    words = sum(len(sentence.words) for sentence in found)
    documents = {sentence.document for sentence in found}
    types = {span.type for sentence in found for span in sentence.spans}
    assert (len(found), words, len(documents), types) == FOUND[number]


def test_the_data_set_that_the_manual_saves_is_loaded(tmp_path: Path) -> None:
    code = SCRIPTS[0]
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    corpus = load_corpus(DataConfig(source=str(tmp_path / "my_corpus")), seed=1)
    assert [len(split) for split in corpus.splits.values()] == [2, 2, 0]
    assert corpus.types == ("PER",)
