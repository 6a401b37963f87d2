"""A bundle of a model that read documents is checked, and scored again, as documents."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch

from sweeps.outcome.finish import finish
from sweeps.outcome.registry import score_bundle
from sweeps.search.mailbox import Assignment
from sweeps.search.saving import _save_weights
from sweeps.search.share import prepare_for
from sweeps.search.trial_folder import TrialFolder
from tests.tiny import examples, tiny_model
from tokcls.config import DataConfig, ModelConfig, TrainConfig, TrialConfig
from tokcls.data.corpus import Corpus, Sentence
from tokcls.inference.bundle import read_manifest
from tokcls.inference.predictor import Predictor
from tokcls.labels.schema import LabelSchema
from tokcls.labels.spans import Span
from tokcls.labels.types import TypeMap
from tokcls.model.backbones import Backbone
from tokcls.model.loader import load_model
from tokcls.model.module import TokenClassifier

SENTENCES = tuple(
    Sentence(tuple(words), tuple(Span(*span) for span in spans), at // 5)
    for at, (words, spans) in enumerate(examples(80))
)
CORPUS = Corpus(SENTENCES[:40], SENTENCES[40:60], SENTENCES[60:], "made", {})


@pytest.mark.slow
def test_a_bundle_is_checked_and_scored_in_the_context_it_was_trained_with(tmp_path: Path) -> None:
    torch.set_num_threads(1)
    backbone = Backbone("tiny", tiny_model("bert", tmp_path / "bert"))
    config = TrialConfig(
        data=DataConfig(source="made", context="document", stride=8),
        model=ModelConfig(backbone="tiny"),
        # So little training that what a word's neighbours are still sways what is predicted.
        train=TrainConfig(learning_rate=5e-3, epochs=10, tokens_per_batch=256),
    )
    pl.seed_everything(13, workers=False, verbose=False)
    data = prepare_for(CORPUS, backbone, config.data)
    schema = LabelSchema("IOB2", data.types)
    network = load_model(backbone, schema, dropout=0.1, pad_id=data.tokenizing.pad_id)
    module = TokenClassifier(network, config, schema, data)
    off: dict[str, Any] = dict.fromkeys(
        ("enable_checkpointing", "enable_progress_bar", "enable_model_summary", "logger"), False
    )
    pl.Trainer(max_epochs=10, accelerator="cpu", num_sanity_val_steps=0, **off).fit(module)
    assert module.evaluation is not None
    trial = TrialFolder(tmp_path / "t001")
    metrics = module.evaluation.metrics("val")
    trial.save_best(1, metrics, module.evaluation, partial(_save_weights, module.network))
    reference: Any = data  # finish() is handed the data itself, and never asks the assignment's
    assignment = Assignment("t001", config, backbone, reference, trial.storage)
    words = {name: [each.words for each in split] for name, split in CORPUS.splits.items()}
    made = finish(assignment, data, words, tmp_path / "bundle", {})
    assert read_manifest(made.folder).window.context == "document"
    assert made.metrics["val_f1"] > 0
    found = score_bundle(made.folder, CORPUS.validation, TypeMap())
    assert found == pytest.approx(made.metrics["val_f1"])
    predictor = Predictor.from_bundle(made.folder)
    alone = predictor.predict_words(words["validation"])
    together = predictor.predict_words(
        words["validation"], documents=[sentence.document for sentence in CORPUS.validation]
    )
    assert alone != together
