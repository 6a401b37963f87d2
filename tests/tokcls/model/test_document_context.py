"""A model that sees whole documents is scored by sentence, and served as it was scored."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
import torch

from tests.tiny import examples, tiny_model
from tokcls.config import Context, DataConfig, LabelsConfig, ModelConfig, TrainConfig, TrialConfig
from tokcls.data.corpus import Corpus, Sentence
from tokcls.data.prepared import Prepared, prepare
from tokcls.errors import TokclsError
from tokcls.inference.bundle import Manifest, Window, seal
from tokcls.inference.predictor import Predictor
from tokcls.labels.plan import type_plan
from tokcls.labels.schema import LabelSchema
from tokcls.labels.spans import Span
from tokcls.model.backbones import Backbone
from tokcls.model.evaluation import decode_share, evaluate
from tokcls.model.export import export_onnx, save_hf
from tokcls.model.loader import load_model, load_tokenizer, tokenizing_of
from tokcls.model.module import TokenClassifier

PER_DOCUMENT = 4
STRIDE = 8


def sentences(start: int, end: int) -> tuple[Sentence, ...]:
    return tuple(
        Sentence(tuple(words), tuple(Span(*span) for span in spans), document=at // PER_DOCUMENT)
        for at, (words, spans) in enumerate(examples(end)[start:])
    )


CORPUS = Corpus(sentences(0, 60), sentences(60, 81), (), "made", {})


@pytest.fixture(scope="module", autouse=True)
def few_threads() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def backbone(tmp_path_factory: pytest.TempPathFactory) -> Backbone:
    return Backbone("tiny", tiny_model("bert", tmp_path_factory.mktemp("context") / "bert"))


def prepared(backbone: Backbone, context: Context) -> Prepared:
    made = tokenizing_of(backbone, load_tokenizer(backbone), None)
    return prepare(CORPUS, made, stride=STRIDE, context=context)


def module_for(backbone: Backbone, data: Prepared, context: Context) -> TokenClassifier:
    config = TrialConfig(
        data=DataConfig(source="made", context=context, stride=STRIDE),
        model=ModelConfig(backbone="tiny", dropout=0.0),
        train=TrainConfig(learning_rate=5e-3, epochs=8, tokens_per_batch=256),
    )
    pl.seed_everything(13, workers=False, verbose=False)
    schema = LabelSchema("BIOES", data.types)
    network = load_model(backbone, schema, dropout=0.0, pad_id=data.tokenizing.pad_id)
    return TokenClassifier(network, config, schema, data)


def trainer(**settings: Any) -> pl.Trainer:
    return pl.Trainer(
        accelerator="cpu",
        num_sanity_val_steps=0,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        logger=False,
        **settings,
    )


@pytest.fixture(scope="module")
def trained(backbone: Backbone) -> TokenClassifier:
    """A module that learned from whole documents."""
    module = module_for(backbone, prepared(backbone, "document"), "document")
    trainer(max_epochs=8).fit(module)
    return module


def test_windows_hold_several_sentences_and_scores_are_by_sentence(
    trained: TokenClassifier,
) -> None:
    split = trained.data.splits["validation"]
    assert len(split.windows) < len(split.gold)
    assert trained.evaluation is not None
    assert len(trained.evaluation.spans) == len(split.gold) == 21
    ends = [max((span.end for span in spans), default=0) for spans in trained.evaluation.spans]
    assert all(end <= length for end, length in zip(ends, split.lengths, strict=True))
    counts = trained.evaluation.counts
    assert int((counts.tp + counts.fn).sum()) == sum(len(s.spans) for s in CORPUS.validation)
    assert counts.words == sum(len(sentence.words) for sentence in CORPUS.validation)
    assert trained.evaluation.metrics("val")["val_f1"] > 0.8


def test_every_word_of_a_document_is_labelled_in_training(trained: TokenClassifier) -> None:
    split = trained.data.splits["train"]
    labelled = sum(int((batch["labels"] >= 0).sum()) for batch in trained.train_dataloader())
    assert labelled >= len(split.word)
    inside = sum(int((batch["labels"] > 0).sum()) for batch in trained.train_dataloader())
    assert inside >= sum(span.end - span.start for gold in split.gold for span in gold)


@pytest.fixture(scope="module")
def bundle(trained: TokenClassifier, backbone: Backbone, tmp_path_factory: Any) -> Path:
    folder = Path(tmp_path_factory.mktemp("bundled"))
    tokenizing = trained.data.tokenizing
    save_hf(trained.network, load_tokenizer(backbone), trained.schema, folder)
    export_onnx(trained.network, folder / "model.onnx")
    ends = tokenizing.prefix, tokenizing.suffix
    window = Window(tokenizing.max_length, STRIDE, *ends, tokenizing.pad_id, "document")
    seal(folder, Manifest(trained.schema, "viterbi", window))
    return folder


def found_by(predictor: Predictor, documents: list[int] | None) -> list[tuple[Span, ...]]:
    words = [sentence.words for sentence in CORPUS.validation]
    return [
        tuple(Span(one.start, one.end, one.entity_group) for one in entities)
        for entities in predictor.predict_words(words, documents=documents)
    ]


DOCUMENTS = [sentence.document for sentence in CORPUS.validation]


def test_a_bundle_reads_documents_as_training_did(trained: TokenClassifier, bundle: Path) -> None:
    trainer().validate(trained, verbose=False)
    assert trained.evaluation is not None
    predictor = Predictor.from_bundle(bundle, threads=1)
    assert found_by(predictor, DOCUMENTS) == list(trained.evaluation.spans)


def test_neighbours_are_seen_only_where_documents_are_given_and_learned(bundle: Path) -> None:
    words = [sentence.words for sentence in CORPUS.validation]
    predictor = Predictor.from_bundle(bundle, threads=1)
    alone = predictor.predict_words(words)
    assert predictor.predict_words(words, documents=range(len(words))) == alone
    together = predictor.predict_words(words, documents=DOCUMENTS)
    assert [one.score for each in together for one in each] != [
        one.score for each in alone for one in each
    ]
    manifest = predictor.manifest
    window = dataclasses.replace(manifest.window, context="sentence")
    seal(bundle, dataclasses.replace(manifest, window=window))
    learned_alone = Predictor.from_bundle(bundle, threads=1)
    seal(bundle, manifest)
    assert learned_alone.predict_words(words, documents=DOCUMENTS) == alone


@pytest.mark.parametrize("world", [1, 2, 7])
def test_ranks_share_documents_and_are_scored_as_one(backbone: Backbone, world: int) -> None:
    split = prepared(backbone, "document").splits["validation"]
    schema = LabelSchema("IO", ("LOC", "ORG", "PER"))
    plan = type_plan(LabelsConfig(), schema.types)
    shares = []
    for rank in range(world):
        mine = split.sentences_of(rank, world)
        sizes = [len(split.word_of(sentence)) for sentence in mine]
        scores = [np.zeros((size, len(schema.tags)), np.float32) for size in sizes]
        shares.append(decode_share(split, mine, scores, schema, plan, decoding="argmax"))
    evaluation = evaluate(split, shares, schema, plan)
    assert evaluation.counts.words == sum(split.lengths)


def test_a_pass_that_would_lose_words_fails_with_counts(
    trained: TokenClassifier, backbone: Backbone
) -> None:
    split = trained.data.splits["validation"]
    lost = split.windows.take(np.arange(1, len(split.windows)))
    splits = dict(trained.data.splits) | {"validation": dataclasses.replace(split, windows=lost)}
    data = dataclasses.replace(trained.data, splits=splits)
    with pytest.raises(TokclsError, match=r"every word must be decided: \d+ of \d+ words in 21 s"):
        trainer().validate(module_for(backbone, data, "document"), verbose=False)
