"""The ONNX file gives what torch gives; the saved folder is what `transformers` expects."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from safetensors import safe_open
from transformers import AutoModelForTokenClassification, AutoTokenizer, PreTrainedModel

from tests.tiny import POSITIONS, ModelKind, tiny_model
from tokcls.labels.schema import LabelSchema
from tokcls.model.export import export_onnx, save_hf

KINDS: tuple[ModelKind, ...] = ("bert", "roberta", "gpt2", "distilbert")
TAGS = 5


@pytest.fixture(scope="module", params=KINDS)
def exported(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[PreTrainedModel, Path]:
    folder = tiny_model(request.param, tmp_path_factory.mktemp(request.param))
    model = AutoModelForTokenClassification.from_pretrained(folder, num_labels=TAGS).eval()
    export_onnx(model, folder / "model.onnx")
    return model, folder / "model.onnx"


@pytest.mark.parametrize(
    ("rows", "length"), [(1, 1), (1, 7), (3, 2), (4, 33), (1, POSITIONS), (5, POSITIONS)]
)
def test_onnx_equals_torch_at_any_batch_size_length_and_padding(
    exported: tuple[PreTrainedModel, Path], rows: int, length: int
) -> None:
    model, path = exported
    draw = np.random.default_rng(rows * 100 + length)
    ids = draw.integers(5, model.config.vocab_size, (rows, length))
    mask = np.ones_like(ids)
    for row in range(1, rows):
        mask[row, draw.integers(1, length + 1) :] = 0
    ids[mask == 0] = model.config.pad_token_id

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    ours = session.run(["logits"], {"input_ids": ids, "attention_mask": mask})[0]
    with torch.no_grad():
        theirs = model(input_ids=torch.tensor(ids), attention_mask=torch.tensor(mask)).logits

    assert ours.shape == (rows, length, TAGS)
    assert ours.dtype == np.float32
    np.testing.assert_allclose(ours[mask == 1], theirs.numpy()[mask == 1], atol=1e-4)


def test_the_weights_are_inside_the_one_file(exported: tuple[PreTrainedModel, Path]) -> None:
    model, path = exported
    weights = sum(p.numel() * p.element_size() for p in model.parameters())
    assert path.stat().st_size > 0.9 * weights
    assert not list(path.parent.glob("*.data"))


def test_the_export_prints_nothing_and_leaves_the_model_in_training(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = tiny_model("bert", tmp_path / "bert")
    model = AutoModelForTokenClassification.from_pretrained(folder, num_labels=TAGS).train()
    capfd.readouterr()
    export_onnx(model, tmp_path / "model.onnx")
    assert capfd.readouterr() == ("", "")
    assert model.training


@pytest.mark.parametrize("scheme", ["IO", "IOB1", "IOB2", "IOE2", "BIOES", "BILOU"])
def test_the_saved_folder_names_every_tag_by_its_iob2_reading(tmp_path: Path, scheme: str) -> None:
    schema = LabelSchema(scheme, ("LOC", "PER"))
    backbone = tiny_model("bert", tmp_path / "backbone")
    model = AutoModelForTokenClassification.from_pretrained(backbone, num_labels=len(schema.tags))
    tokenizer: Any = AutoTokenizer.from_pretrained(backbone)

    save_hf(model, tokenizer, schema, tmp_path / "saved")

    config = json.loads((tmp_path / "saved" / "config.json").read_text())
    names = [config["id2label"][str(number)] for number in range(len(schema.tags))]
    assert set(names) <= {"O", "B-LOC", "I-LOC", "B-PER", "I-PER"}
    assert config["label2id"] == {name: names.index(name) for name in names}
    with safe_open(tmp_path / "saved" / "model.safetensors", framework="np") as weights:
        assert weights.get_tensor("classifier.bias").shape == (len(schema.tags),)
    again = AutoModelForTokenClassification.from_pretrained(tmp_path / "saved")
    assert [again.config.id2label[number] for number in range(len(names))] == names
