"""A bundle made of a trial that learned other types than are scored."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any, cast

import pytest
import pytorch_lightning as pl
import torch
from safetensors.torch import save_file

from sweeps.outcome.finish import finish
from sweeps.outcome.registry import score_bundle
from sweeps.search.mailbox import Assignment
from sweeps.search.trial_folder import TrialFolder
from tests.tiny import examples, tiny_model
from tokcls.config import DataConfig, LabelsConfig, ModelConfig, TrainConfig, TrialConfig
from tokcls.data.corpus import Corpus, Sentence
from tokcls.data.prepared import prepare
from tokcls.inference.bundle import read_manifest
from tokcls.inference.parity import KEY, TEXTS, check_parity
from tokcls.inference.predictor import Predictor
from tokcls.labels.plan import label_schema
from tokcls.labels.spans import Span
from tokcls.labels.types import TypeMap
from tokcls.model.backbones import Backbone
from tokcls.model.loader import load_model, load_tokenizer, tokenizing_of
from tokcls.model.module import TokenClassifier

LABELS = LabelsConfig(types={"ORG": None}, score_types={"ORG": None, "LOC": "PLACE"})


def save(network: torch.nn.Module, path: Path) -> None:
    save_file({name: tensor.contiguous() for name, tensor in network.state_dict().items()}, path)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_bundle_keeps_the_learned_types_and_is_scored_by_the_coarser_ones(
    tmp_path: Path,
) -> None:
    backbone = Backbone("tiny", tiny_model("bert", tmp_path / "bert"))
    made = tuple(
        Sentence(tuple(words), tuple(Span(*span) for span in spans), document=0)
        for words, spans in examples(20)
    )
    corpus = Corpus(made, made[:10], made[10:], "made", {})
    data = prepare(corpus, tokenizing_of(backbone, load_tokenizer(backbone), 16), stride=4)
    config = TrialConfig(
        data=DataConfig(source="bundled", stride=4),
        labels=LABELS,
        model=ModelConfig(backbone="tiny", dropout=0.0),
        train=TrainConfig(learning_rate=5e-3, epochs=12, tokens_per_batch=128),
    )
    pl.seed_everything(3, workers=False, verbose=False)
    schema = label_schema(LABELS, data.types)
    network = load_model(backbone, schema, dropout=0.0, pad_id=data.tokenizing.pad_id)
    module = TokenClassifier(network, config, schema, data)
    quiet: dict[str, Any] = dict.fromkeys(
        ("enable_checkpointing", "enable_progress_bar", "enable_model_summary", "logger"), False
    )
    pl.Trainer(max_epochs=12, accelerator="cpu", num_sanity_val_steps=0, **quiet).fit(module)
    evaluation = module.evaluation
    assert evaluation is not None
    trial = TrialFolder(tmp_path / "t001")
    trial.save_best(12, evaluation.metrics("val"), evaluation, partial(save, module.network))

    assignment = Assignment("t001", config, backbone, cast(Any, None), trial.storage)
    words = {name: [one.words for one in split] for name, split in corpus.splits.items()}
    finished = finish(assignment, data, words, tmp_path / "bundle", {}, int8=True)

    manifest = read_manifest(finished.folder)
    assert manifest.schema.types == ("LOC", "PER")
    kept = {
        name: sum(span.type != "ORG" for one in split for span in one.spans)
        for name, split in corpus.splits.items()
    }
    assert manifest.receipt["gold_spans"] == kept
    dropped = manifest.receipt["dropped_spans"]
    assert {name: kept[name] + dropped[name]["ORG"] for name in kept} == {
        name: sum(len(one.spans) for one in split) for name, split in corpus.splits.items()
    }
    assert finished.metrics["val_f1"] > 0.5
    assert {"test_f1_PER", "test_f1_PLACE"} <= {*finished.metrics}
    again = score_bundle(finished.folder, corpus.validation, TypeMap(LABELS.scored_types))
    assert again == pytest.approx(finished.metrics["val_f1"])
    calibration = manifest.receipt["calibration"]
    assert manifest.temperature == calibration["temperature"] != 1.0
    for name, split in (("validation", corpus.validation), ("test", corpus.splits["test"])):
        assert calibration[name]["spans"] > len(split)
        assert 0.0 <= calibration[name]["error"] <= 1.0
        assert 0.0 <= calibration[name]["error_uncalibrated"] <= 1.0
    assert len(manifest.receipt[KEY]["found"]) == len(TEXTS)
    check_parity(Predictor.from_bundle(finished.folder))
    exact = manifest.receipt["fp32"]
    assert (exact["admitted"], exact["agreement"], exact["f1_difference"]) == (True, 1.0, 0.0)
    assert exact["f1"] == pytest.approx(finished.metrics["val_f1"])
    assert exact["sentences"] == len(corpus.validation)
    judged = manifest.receipt["int8"]
    assert {*judged} == {*exact}
    assert judged["admitted"] is ("model.int8.onnx" in manifest.files)
    assert judged["admitted"] is ("found_int8" in manifest.receipt[KEY])
    assert judged["f1"] - judged["f1_difference"] == pytest.approx(finished.metrics["val_f1"])
    assert judged["sentences"] == len(corpus.validation)
    assert 0.5 < judged["agreement"] <= 1.0
