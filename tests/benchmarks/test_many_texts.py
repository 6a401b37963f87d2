"""What the benchmark of many texts compares: the same lines, the same entities, of a fair model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.many_texts import _bundle, _fitting, _write, agreement
from tests.tiny import POSITIONS, build_tokenizer
from tokcls.inference.bundle import Manifest, Window, seal
from tokcls.labels.schema import LabelSchema


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """Make what says how a model decides and what it reads at once, without a model."""
    folder = tmp_path / "bundle"
    build_tokenizer("wordpiece", folder)
    for name in ("config.json", "model.onnx", "model.safetensors"):
        (folder / name).touch()
    window = Window(POSITIONS, 8, (2,), (3,), 0)
    seal(folder, Manifest(LabelSchema("IOB2", ("LOC",)), "viterbi", window))
    return folder


def line_of(*entities: tuple[str, int, int]) -> dict[str, Any]:
    keys = ("entity_group", "start", "end")
    return {"entities": [dict(zip(keys, each, strict=True)) for each in entities]}


def test_agreement_counts_lines_and_spans(tmp_path: Path) -> None:
    theirs = [[["LOC", 0, 4]], [["PER", 0, 4], ["LOC", 5, 9]], []]
    ours = [line_of(("LOC", 0, 4)), line_of(("PER", 0, 4), ("ORG", 5, 9)), line_of()]
    for name, lines in (("theirs", theirs), ("ours", ours)):
        text = "".join(json.dumps(each) + "\n" for each in lines)
        (tmp_path / name).write_text(text, encoding="utf-8")
    found = agreement(tmp_path / "theirs", tmp_path / "ours")
    assert found == {"lines": 3, "lines_that_differ": 1, "f1": round(4 / 6, 4)}


def test_a_model_that_decides_otherwise_than_the_pipeline_is_refused(
    bundle: Path, tmp_path: Path
) -> None:
    with pytest.raises(SystemExit, match=r"decoding must be argmax.* and is viterbi; train one"):
        _bundle(bundle, tmp_path)


def test_what_the_pipeline_would_cut_off_is_not_compared(bundle: Path) -> None:
    fits, longer = "Oslo " * (POSITIONS - 2), "Oslo " * (POSITIONS - 1)
    assert _fitting(bundle, [fits, longer]) == [fits]


def test_a_file_has_the_texts_in_turn_and_the_bytes_that_were_asked_for(tmp_path: Path) -> None:
    _write(tmp_path / "in.txt", ["é", "b"], 8)
    assert (tmp_path / "in.txt").read_bytes() == "é\nb\né\n".encode()
