"""Models that were not made here: their labels are understood, their entities the pipeline's."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.tiny import examples, tiny_model
from tests.tokcls.inference.made import make_bundle
from tokcls.errors import BackboneError
from tokcls.inference.bundle import MANIFEST
from tokcls.loading import load_model
from tokcls.model.foreign import load_foreign, read_labels

TEXTS = [" ".join(words) for words, _ in examples(40)]


@pytest.mark.parametrize(
    ("labels", "scheme", "order"),
    [
        (["B-PER", "I-PER", "O"], "IOB2", [2, 0, 1]),
        (["O", "I-PER", "B-LOC", "I-LOC", "B-PER"], "IOB2", [0, 2, 3, 4, 1]),
        (["PER", "O"], "IO", [1, 0]),
        (["O", "S-PER", "B-PER", "I-PER", "E-PER"], "BIOES", None),
        (["O", "U-PER", "B-PER", "I-PER", "L-PER"], "BILOU", None),
        (["O", "B-PER", "I-LOC"], "IOB2", [0, -1, 2, 1, -1]),
    ],
)
def test_labels_are_read_as_tags_in_whatever_order(
    labels: list[str], scheme: str, order: list[int] | None
) -> None:
    schema, found = read_labels("m", dict(enumerate(labels)))
    assert schema.scheme == scheme
    for tag, output in zip(schema.tags, found, strict=True):
        assert output == -1 or labels[output].removeprefix("I-") == tag.removeprefix("I-")
    if order is not None:
        assert found.tolist() == order


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        (["LABEL_0", "LABEL_1"], "'LABEL_0' is not a tag"),
        (["B-PER", "I-PER"], "labels of a tagger are O"),
        (["O"], "labels of a tagger are O"),
        (["O", "S-PER", "U-PER"], "of no one scheme"),
    ],
)
def test_labels_that_are_no_tags_are_refused(labels: list[str], said: str) -> None:
    with pytest.raises(BackboneError, match=said):
        read_labels("m", dict(enumerate(labels)))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tagger as `transformers` saves it: a bundle's files without what makes them a bundle."""
    made = make_bundle(tmp_path_factory.mktemp("made"), "IOB2", decoding="argmax")
    (made / MANIFEST).unlink()
    (made / "model.onnx").unlink()
    return made


@pytest.mark.slow
def test_a_folder_with_a_head_finds_what_the_pipeline_finds(folder: Path) -> None:
    from transformers import pipeline

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs: Any = pipeline(
            "token-classification", str(folder), aggregation_strategy="first", device="cpu"
        )
        expected = [[(e["entity_group"], e["start"], e["end"]) for e in theirs(t)] for t in TEXTS]
    predictor = load_model(str(folder)).predictor
    found = [
        [(one.entity_group, one.start, one.end) for one in each]
        for each in predictor.predict_texts(TEXTS)
    ]
    assert sum(map(len, found)) > 40
    assert found == expected
    rows = predictor.sub_words(TEXTS[:1])[0].chances
    assert rows.sum(axis=1) == pytest.approx(np.ones(len(rows)), abs=1e-4)


@pytest.mark.slow
def test_a_model_without_a_head_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BackboneError, match=r"has no head for token classification; train one"):
        load_foreign(str(tiny_model("bert", tmp_path / "bert")))


def test_what_is_not_there_is_refused() -> None:
    with pytest.raises(BackboneError, match=r"not in the local cache and the Hub cannot be reach"):
        load_foreign("nobody/nothing")
