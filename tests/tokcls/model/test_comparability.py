"""Trials with different label schemas are scored alike: on the same gold, by the same types."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from numpy.typing import NDArray

from tests.tiny import examples, tiny_model
from tokcls.config import DataConfig, LabelsConfig, ModelConfig, TrainConfig, TrialConfig
from tokcls.data.corpus import Corpus, Sentence
from tokcls.data.prepared import Prepared, prepare
from tokcls.errors import TokclsError
from tokcls.labels.plan import label_schema, type_plan
from tokcls.labels.spans import Span
from tokcls.model.backbones import Backbone
from tokcls.model.evaluation import Evaluation, decode_share, evaluate
from tokcls.model.loader import load_model, load_tokenizer, tokenizing_of
from tokcls.model.module import TokenClassifier

Types = Mapping[str, str | None]
SCORED: Types = {"ORG": None, "LOC": "PLACE"}
SCORES = ("precision", "recall", "f1")
NEVER = 10**6


@pytest.fixture(scope="module")
def backbone(tmp_path_factory: pytest.TempPathFactory) -> Backbone:
    torch.set_num_threads(1)
    return Backbone("tiny", tiny_model("bert", tmp_path_factory.mktemp("compared") / "bert"))


@pytest.fixture(scope="module")
def data(backbone: Backbone) -> Prepared:
    made = [
        Sentence(tuple(words), tuple(Span(*span) for span in spans), document=0)
        for words, spans in examples(30)
    ]
    touching = Sentence(("Oslo", "Jean-Luc", "Acme"), (Span(0, 1, "LOC"), Span(1, 3, "LOC")), 0)
    corpus = Corpus((*made[:20],), (*made[10:], touching), (), "made", {})
    return prepare(corpus, tokenizing_of(backbone, load_tokenizer(backbone), 16), stride=4)


def evaluated(
    data: Prepared, labels: LabelsConfig, scores: list[NDArray[np.float32]]
) -> Evaluation:
    split = data.splits["validation"]
    schema, plan = label_schema(labels, data.types), type_plan(labels, data.types)
    everything = np.arange(len(split.gold))
    share = decode_share(split, everything, scores, schema, plan, decoding="viterbi")
    return evaluate(split, [share], schema, plan)


def written(data: Prepared, labels: LabelsConfig, *, wrong_every: int) -> Evaluation:
    """Score predictions that are gold, but for some spans that are left out."""
    split, schema = data.splits["validation"], label_schema(labels, data.types)
    plan = type_plan(labels, data.types)
    scores = []
    for sentence in range(len(split.gold)):
        gold = plan.learned.apply(split.gold_parts(sentence))
        spans = [span for span in gold if (1 + sentence + span.start) % wrong_every]
        rows = np.full((len(split.word_of(sentence)), len(schema.tags)), -20.0, np.float32)
        rows[np.arange(len(rows)), schema.encode_ids(spans, len(rows))] = 0.0
        scores.append(rows)
    return evaluated(data, labels, scores)


def scored(evaluation: Evaluation) -> dict[str, float]:
    """All metrics but the loss, which is that of the scheme's own tags."""
    return {name: n for name, n in evaluation.metrics("val").items() if name != "val_loss"}


def test_the_same_predictions_score_the_same_in_every_scheme(data: Prepared) -> None:
    found = {
        scheme: written(data, LabelsConfig(scheme=scheme), wrong_every=3)
        for scheme in ("IOB1", "IOB2", "IOE2", "BIOES", "BILOU")
    }
    reference = found["IOB2"]
    assert 0.3 < reference.counts.scores().f1 < 0.9
    for one in found.values():
        assert one.spans == reference.spans
        assert scored(one) == scored(reference)
        assert np.array_equal(one.per_sentence, reference.per_sentence)


def test_io_scores_the_same_where_it_can_and_its_ceiling_where_it_cannot(data: Prepared) -> None:
    dropped = LabelsConfig(types={"LOC": None})  # the touching neighbours are of this type
    io, bioes = (
        written(data, dropped.model_copy(update={"scheme": scheme}), wrong_every=3)
        for scheme in ("IO", "BIOES")
    )
    assert scored(io) == scored(bioes)
    assert io.ceiling.f1 == 1.0
    perfect = written(data, LabelsConfig(scheme="IO"), wrong_every=NEVER)
    assert perfect.ceiling.lost == 2
    assert perfect.metrics("val")["val_f1"] == perfect.metrics("val")["val_ceiling_f1"] < 1.0


@pytest.mark.parametrize("types", [{}, {"ORG": None}, {"LOC": "PLACE"}, {**SCORED}])
@pytest.mark.parametrize("wrong_every", [3, NEVER])
def test_the_same_predictions_score_the_same_whatever_types_were_learned(
    data: Prepared, types: Types, wrong_every: int
) -> None:
    fine, other = (
        written(
            data,
            LabelsConfig(types=dict(learned), score_types=dict(SCORED)),
            wrong_every=wrong_every,
        )
        for learned in ({}, types)
    )
    assert other.counts.types == ("PER", "PLACE")
    assert other.spans == fine.spans
    assert np.array_equal(other.counts.vector(), fine.counts.vector())
    assert (other.counts.scores().f1 == 1.0) == (wrong_every == NEVER)


def trained(
    backbone: Backbone, data: Prepared, types: Types, scored: Types | None = SCORED
) -> Evaluation:
    config = TrialConfig(
        data=DataConfig(source="bundled"),
        labels=LabelsConfig(
            types=dict(types), score_types=None if scored is None else dict(scored)
        ),
        model=ModelConfig(backbone="tiny", dropout=0.0),
        train=TrainConfig(learning_rate=5e-3, epochs=12, tokens_per_batch=128),
    )
    pl.seed_everything(3, workers=False, verbose=False)
    schema = label_schema(config.labels, data.types)
    network = load_model(backbone, schema, dropout=0.0, pad_id=data.tokenizing.pad_id)
    module = TokenClassifier(network, config, schema, data)
    trainer = pl.Trainer(
        max_epochs=12,
        accelerator="cpu",
        num_sanity_val_steps=0,
        check_val_every_n_epoch=12,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        logger=False,
    )
    trainer.fit(module)
    assert module.evaluation is not None
    return module.evaluation


def test_models_that_learn_other_types_are_ranked_on_the_same_gold(
    backbone: Backbone, data: Prepared
) -> None:
    split = data.splits["validation"]
    gold = sum(span.type != "ORG" for spans in split.gold for span in spans)
    found = [trained(backbone, data, types) for types in ({}, {"ORG": None}, {"LOC": "PLACE"})]
    for evaluation in found:
        metrics = evaluation.metrics("val")
        assert metrics["val_gold_spans"] == gold
        assert metrics["val_f1"] > 0.5
        assert {name for name in metrics if name.startswith("val_f1_")} == {
            "val_f1_PER",
            "val_f1_PLACE",
        }
        assert {span.type for spans in evaluation.spans for span in spans} <= {"PER", "PLACE"}


def test_a_type_that_only_validation_has_is_trained_past_and_scored_as_missed(
    backbone: Backbone,
) -> None:
    made = [
        Sentence(tuple(words), tuple(Span(*span) for span in spans), document=0)
        for words, spans in examples(20)
    ]
    event = Sentence(("Expo", "is", "over"), (Span(0, 1, "EVENT"),), 0)
    corpus = Corpus((*made,), (*made[:10], event), (), "made", {})
    tokenizing = tokenizing_of(backbone, load_tokenizer(backbone), 16)
    data = prepare(corpus, tokenizing, stride=4)
    metrics = trained(backbone, data, {}, scored=None).metrics("val")
    assert metrics["val_gold_spans"] == sum(map(len, data.splits["validation"].gold))
    assert metrics["val_recall_EVENT"] == 0.0
    assert metrics["val_f1"] > 0.5


def test_the_manual_names_every_metric_of_an_epoch(data: Prepared) -> None:
    manual = (Path(__file__).parents[3] / "docs" / "yaml.md").read_text(encoding="utf-8")
    metrics = written(data, LabelsConfig(), wrong_every=3).metrics("val")
    of_types = {f"val_{name}_{type_}" for name in SCORES for type_ in data.types}
    assert [name for name in metrics.keys() - of_types if f"`{name}`" not in manual] == []
    assert of_types < metrics.keys()


def test_a_lost_span_is_said_with_what_is_dropped_on_purpose(data: Prepared) -> None:
    labels, other = LabelsConfig(types=dict(SCORED)), LabelsConfig(types={"LOC": None, "ORG": None})
    split, schema = data.splits["validation"], label_schema(other, data.types)
    scores = [
        np.zeros((len(split.word_of(number)), len(schema.tags)), np.float32)
        for number in range(len(split.gold))
    ]
    plan = type_plan(other, data.types)
    everything = np.arange(len(split.gold))
    share = decode_share(split, everything, scores, schema, plan, decoding="argmax")
    with pytest.raises(TokclsError, match=r"the file has \d+ \(and \d+ ORG, which labels.score"):
        evaluate(split, [share], schema, type_plan(labels, data.types))


def test_the_entities_that_training_knew_are_told_apart(data: Prepared) -> None:
    split = data.splits["validation"]
    assert len(split.unseen) == sum(map(len, split.gold))
    assert not data.splits["train"].unseen.any()
    # `Oslo` stands in the train split; `Jean-Luc Acme` does not.
    assert split.unseen[-2:].tolist() == [False, True]
