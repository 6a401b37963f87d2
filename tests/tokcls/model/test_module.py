"""Training for real, on a CPU and in seconds: a tiny model learns twenty sentences by heart."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
import torch

from tests.tiny import examples, tiny_model
from tokcls.config import DataConfig, ModelConfig, TrainConfig, TrialConfig
from tokcls.data.corpus import Corpus, Sentence
from tokcls.data.prepared import Prepared, prepare
from tokcls.labels.schema import LabelSchema
from tokcls.labels.scoring import count
from tokcls.labels.spans import Span
from tokcls.model.backbones import Backbone
from tokcls.model.evaluation import Evaluation
from tokcls.model.loader import load_model, load_tokenizer, tokenizing_of
from tokcls.model.module import IGNORED, TokenClassifier

Make = Callable[..., TokenClassifier]


def sentences(start: int, end: int) -> tuple[Sentence, ...]:
    return tuple(
        Sentence(tuple(words), tuple(Span(*span) for span in spans), document=0)
        for words, spans in examples(end)[start:]
    )


@pytest.fixture(scope="module")
def backbone(tmp_path_factory: pytest.TempPathFactory) -> Backbone:
    return Backbone("tiny", tiny_model("bert", tmp_path_factory.mktemp("trained") / "bert"))


@pytest.fixture(scope="module")
def data(backbone: Backbone) -> Prepared:
    twenty = sentences(0, 20)
    corpus = Corpus(twenty, twenty, sentences(20, 30), "made", {})
    return prepare(corpus, tokenizing_of(backbone, load_tokenizer(backbone), 16), stride=4)


@pytest.fixture
def make(backbone: Backbone, data: Prepared) -> Make:
    """Make a module with a fresh network, the same for the same seed."""

    def do(
        *, scheme: str = "BIOES", dropout: float = 0.0, evaluated: str = "validation", **train: Any
    ) -> TokenClassifier:
        settings = {"learning_rate": 5e-3, "epochs": 1, "tokens_per_batch": 128, "warmup": 0.1}
        config = TrialConfig(
            data=DataConfig(source="bundled"),
            model=ModelConfig(backbone="tiny", dropout=dropout),
            train=TrainConfig(**(settings | train)),
        )
        pl.seed_everything(config.train.seed, workers=False, verbose=False)
        schema = LabelSchema(scheme, data.types)
        network = load_model(backbone, schema, dropout=dropout, pad_id=data.tokenizing.pad_id)
        return TokenClassifier(network, config, schema, data, evaluated=evaluated)

    return do


class Losses(pl.Callback):
    """Keeps the mean training loss of every epoch, and the learning rate of every step."""

    def __init__(self) -> None:
        self.losses: list[float] = []
        self.rates: list[float] = []

    def on_train_batch_start(self, trainer: pl.Trainer, *_: Any) -> None:
        self.rates.append(trainer.optimizers[0].param_groups[0]["lr"])

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        self.losses.append(pl_module.train_loss())


def trainer_for(epochs: int, callback: pl.Callback | None = None) -> pl.Trainer:
    return pl.Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        num_sanity_val_steps=0,
        check_val_every_n_epoch=epochs,
        callbacks=[callback] if callback else [],
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        logger=False,
    )


def fit(module: TokenClassifier) -> Losses:
    seen = Losses()
    trainer_for(module.config.train.epochs, seen).fit(module)
    return seen


def evaluation_of(module: TokenClassifier) -> Evaluation:
    assert module.evaluation is not None
    return module.evaluation


@pytest.fixture(scope="module", autouse=True)
def few_threads() -> None:
    torch.set_num_threads(1)


@pytest.mark.parametrize("scheme", ["IOB2", "BIOES"])
def test_a_tiny_model_learns_twenty_sentences_by_heart(make: Make, scheme: str) -> None:
    module = make(scheme=scheme, epochs=25)
    seen = fit(module)
    metrics = evaluation_of(module).metrics("val")
    assert metrics["val_f1"] > 0.9
    assert metrics["val_loss"] < 0.2
    assert seen.losses[-1] < 0.3 * seen.losses[0]


def test_the_evaluation_counts_every_gold_span_of_the_file(make: Make, data: Prepared) -> None:
    module = make()
    fit(module)
    evaluation, split = evaluation_of(module), data.splits["validation"]
    counts = count(split.gold, evaluation.spans, split.lengths, data.types)
    assert np.array_equal(evaluation.counts.vector(), counts.vector())
    assert int((counts.tp + counts.fn).sum()) == sum(map(len, split.gold))
    assert evaluation.counts.words == sum(split.lengths)


def test_the_same_seed_gives_the_same_losses_and_another_does_not(make: Make) -> None:
    def losses(seed: int) -> list[float]:
        return fit(make(epochs=2, dropout=0.2, seed=seed)).losses

    assert losses(3) == losses(3)
    assert losses(3) != losses(4)


def test_dropout_is_on_in_training_and_off_in_scoring(make: Make) -> None:
    modes: list[tuple[str, set[bool]]] = []

    class Modes(pl.Callback):
        def on_train_batch_start(self, trainer: pl.Trainer, pl_module: Any, *_: Any) -> None:
            modes.append(("train", {part.training for part in pl_module.network.modules()}))

        def on_validation_batch_start(self, trainer: pl.Trainer, pl_module: Any, *_: Any) -> None:
            modes.append(("score", {part.training for part in pl_module.network.modules()}))

    trainer = trainer_for(2, Modes())
    trainer.check_val_every_n_epoch = 1
    trainer.fit(make(epochs=2, dropout=0.5))
    assert [name for name, _ in modes].count("score") == 2
    assert all(mode == {name == "train"} for name, mode in modes)


def test_every_epoch_has_another_order_of_the_same_windows(make: Make) -> None:
    module = make()
    trainer_for(1).fit(module)
    split = module.data.splits["train"]
    first, second = (
        [row for batch in module._training_rows(split, epoch) for row in batch.tolist()]
        for epoch in (0, 1)
    )
    assert first != second
    assert sorted(first) == sorted(second) == list(range(len(split.windows)))


def test_the_rate_rises_to_its_peak_and_falls_to_nothing(make: Make) -> None:
    rates = fit(make(epochs=4, warmup=0.25, learning_rate=1e-3)).rates
    peak = max(rates)
    top = rates.index(peak)
    assert peak == pytest.approx(1e-3)
    assert top == round(0.25 * len(rates))
    assert rates[: top + 1] == sorted(rates[: top + 1])
    assert rates[top:] == sorted(rates[top:], reverse=True)
    assert 0 < rates[0] < peak
    assert 0 <= rates[-1] < 0.2 * peak


def test_gradients_are_clipped_to_their_largest_norm(make: Make) -> None:
    norms: list[float] = []

    class Norms(pl.Callback):
        def on_train_batch_end(self, trainer: pl.Trainer, pl_module: Any, *_: Any) -> None:
            gradients = [weights.grad for weights in pl_module.network.parameters()]
            norms.append(float(torch.nn.utils.get_total_norm(gradients)))

    trainer_for(1, Norms()).fit(make(clip=0.01))
    assert norms
    assert max(norms) == pytest.approx(0.01, rel=1e-3)


def test_biases_and_norms_do_not_decay(make: Make) -> None:
    module = make(weight_decay=0.5)
    trainer = trainer_for(1)
    trainer.fit(module)
    matrices, vectors = trainer.optimizers[0].param_groups
    assert (matrices["weight_decay"], vectors["weight_decay"]) == (0.5, 0.0)
    assert all(parameter.ndim >= 2 for parameter in matrices["params"])
    assert all(parameter.ndim == 1 for parameter in vectors["params"])
    counted = len(matrices["params"]) + len(vectors["params"])
    assert counted == len(list(module.network.parameters()))


def test_a_batch_keeps_to_its_budget_and_labels_words_once(make: Make, data: Prepared) -> None:
    module = make(scheme="IOB2", tokens_per_batch=64)
    trainer_for(1).fit(module)
    batches = list(module.train_dataloader())
    assert len(batches) == len(module.train_dataloader())
    assert all(batch["input_ids"].numel() <= 64 for batch in batches)
    assert all(batch["labels"].shape == batch["input_ids"].shape for batch in batches)
    padding = torch.cat([batch["labels"][batch["attention_mask"] == 0] for batch in batches])
    assert bool((padding == IGNORED).all())
    labelled = sum(int((batch["labels"] != IGNORED).sum()) for batch in batches)
    # Sentences of more than 14 sub-words share words between windows; no word goes without.
    assert labelled >= sum(data.splits["train"].lengths)


def test_the_test_split_is_scored_with_the_same_network(make: Make, data: Prepared) -> None:
    module = make(evaluated="test")
    trainer_for(1).validate(module, verbose=False)
    evaluation = evaluation_of(module)
    assert len(evaluation.spans) == len(data.splits["test"].gold) == 10
    assert 0.0 <= evaluation.metrics("test")["test_accuracy"] <= 1.0


def test_the_training_loss_is_that_of_the_steps_since_it_was_last_asked_for(make: Make) -> None:
    module = make()
    assert np.isnan(module.train_loss())
    trainer_for(1).fit(module)
    assert module.train_loss() > 0
    assert np.isnan(module.train_loss())


def test_a_network_that_was_saved_scores_as_before(make: Make, tmp_path: Path) -> None:
    module = make(epochs=3)
    fit(module)
    torch.save(module.network.state_dict(), tmp_path / "weights.pt")
    again = make(seed=99)
    again.network.load_state_dict(torch.load(tmp_path / "weights.pt", weights_only=True))
    trainer_for(1).validate(again, verbose=False)
    assert evaluation_of(again).spans == evaluation_of(module).spans
    assert evaluation_of(again).loss == pytest.approx(evaluation_of(module).loss, rel=1e-5)
