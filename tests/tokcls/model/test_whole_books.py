"""Books of thousands of words, each one sentence, train and score without losing a span."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch

from tests.tiny import tiny_model
from tokcls.config import DataConfig, ModelConfig, TrainConfig, TrialConfig
from tokcls.data.corpus import Corpus
from tokcls.data.prepared import prepare
from tokcls.data.source import load_corpus
from tokcls.data.truncation import lost_by_truncation
from tokcls.data.windows import first_rows
from tokcls.labels.schema import LabelSchema
from tokcls.model.backbones import Backbone
from tokcls.model.loader import load_model, load_tokenizer, tokenizing_of
from tokcls.model.module import TokenClassifier

pytestmark = pytest.mark.slow  # seconds of reading real corpora

BOOKS = Path(__file__).parents[3] / "../shared/data/litbank-longdoc"
STRIDE = 16
GOLD, WORDS = 1061, 21_037  # of the ten books of the validation split


@pytest.fixture(scope="module")
def books() -> Corpus:
    if not BOOKS.is_dir():
        pytest.skip("the real corpora are not beside the project")
    whole = load_corpus(DataConfig(source=str(BOOKS)), seed=1)
    return Corpus(whole.train[:3], whole.validation, (), "books", {})


@pytest.fixture(scope="module")
def backbone(books: Corpus, tmp_path_factory: pytest.TempPathFactory) -> Backbone:
    folder = tmp_path_factory.mktemp("books") / "bert"
    lines = [" ".join(sentence.words) for sentence in books.train]
    return Backbone("tiny", tiny_model("bert", folder, lines, positions=512))


@pytest.mark.parametrize("max_length", [128, 256, 512])
def test_books_are_trained_on_and_scored_without_a_loss(
    books: Corpus, backbone: Backbone, max_length: int
) -> None:
    torch.set_num_threads(1)
    data = prepare(
        books, tokenizing_of(backbone, load_tokenizer(backbone), max_length), stride=STRIDE
    )
    config = TrialConfig(
        data=DataConfig(source=str(BOOKS), max_length=max_length, stride=STRIDE),
        model=ModelConfig(backbone="tiny", dropout=0.0),
        train=TrainConfig(learning_rate=1e-3, epochs=1),
    )
    schema = LabelSchema("BIOES", data.types)
    network = load_model(backbone, schema, dropout=0.0, pad_id=data.tokenizing.pad_id)
    module = TokenClassifier(network, config, schema, data)
    settings: dict[str, Any] = dict.fromkeys(
        ("enable_checkpointing", "enable_progress_bar", "enable_model_summary", "logger"), False
    )
    pl.Trainer(max_epochs=1, accelerator="cpu", num_sanity_val_steps=0, **settings).fit(module)
    split, evaluation = data.splits["validation"], module.evaluation
    assert evaluation is not None
    counts = evaluation.counts
    assert int((counts.tp + counts.fn).sum()) == sum(map(len, split.gold)) == GOLD
    assert counts.words == sum(split.lengths) == WORDS
    rows = first_rows(split.encoded, split.windows)
    decided = split.encoded.word_offsets[split.windows.text[rows.window]] + rows.word
    assert set(decided.tolist()) == set(split.encoded.owners.tolist())
    assert lost_by_truncation(split, data.tokenizing.room) > GOLD / 2
