"""Each strategy finds what `transformers.pipeline` finds, scores and all."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.tiny import ModelKind, tiny_model
from tests.tokcls.inference.test_pipeline_parity import texts
from tests.tokcls.inference.test_predictor import long_text
from tokcls.inference.aggregation import SubWord, aggregated
from tokcls.inference.answer import answer
from tokcls.inference.contract import Parameters
from tokcls.inference.predictor import Predictor
from tokcls.inference.request import Request
from tokcls.inference.sub_words import Piece, SubWords
from tokcls.loading import load_model

STRATEGIES = ("none", "simple", "first", "average", "max")
LABELS = ("O", "B-PER", "I-PER", "B-LOC", "I-LOC")


@pytest.mark.slow
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_strategy_is_that_of_the_pipeline(
    bundle: Path, predictor: Predictor, strategy: str
) -> None:
    from transformers import pipeline

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs: Any = pipeline(
            "token-classification", str(bundle), aggregation_strategy=strategy, device="cpu"
        )
        expected = [theirs(text) for text in texts()]
    found = answered(predictor, texts(), strategy)
    assert sum(map(len, found)) > 50
    for text, ours, wanted in zip(texts(), found, expected, strict=True):
        places = [[(key_of(one), one["start"], one["end"]) for one in each]
                  for each in (ours, wanted)]  # fmt: skip
        assert places[0] == places[1], text
        assert [one["score"] for one in ours] == pytest.approx(
            [float(one["score"]) for one in wanted], abs=1e-3
        )
        if strategy == "none":
            assert [(one["index"], one["word"]) for one in ours] == [
                (one["index"], one["word"]) for one in wanted
            ]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", ["bert", "gpt2", "roberta"])
def test_sub_words_are_numbered_as_the_pipeline_numbers_them(
    kind: ModelKind, tmp_path: Path
) -> None:
    from transformers import AutoModelForTokenClassification, pipeline

    folder = tiny_model(kind, tmp_path / kind)
    names = {"num_labels": 3, "id2label": {0: "O", 1: "B-PER", 2: "B-LOC"}}
    AutoModelForTokenClassification.from_pretrained(folder, **names).save_pretrained(folder)
    text = " Anna flew to Oslo ."  # a word behind a blank is one thing to every tokenizer
    theirs: Any = pipeline("token-classification", str(folder), ignore_labels=[], device="cpu")
    wanted = [(one["index"], one["word"]) for one in theirs(text)]
    (found,) = load_model(str(folder)).predictor.aggregate_texts([text], "none")
    assert [(one.number, one.piece) for one in found if isinstance(one, SubWord)] == wanted
    assert wanted[0][0] == (0 if kind == "gpt2" else 1)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_blank_that_is_a_sub_word_by_itself_is_no_entity(tmp_path: Path) -> None:
    from transformers import AutoModelForTokenClassification, pipeline

    folder = tiny_model("roberta", tmp_path / "roberta")
    names = {"num_labels": 3, "id2label": {0: "O", 1: "B-PER", 2: "B-LOC"}}
    AutoModelForTokenClassification.from_pretrained(folder, **names).save_pretrained(folder)
    text = " Anna met Ωmega in 東 ."
    ours = load_model(str(folder)).predictor
    for strategy in ("none", "simple"):
        options: Any = {"aggregation_strategy": strategy, "ignore_labels": [], "device": "cpu"}
        theirs: Any = pipeline("token-classification", str(folder), **options)
        wanted = [(key_of(one), one["start"], one["end"]) for one in theirs(text)]
        (found,) = ours.aggregate_texts([text], strategy)
        blanks = [each for each in wanted if each[1] == each[2]]
        assert blanks
        if strategy == "simple":
            wanted = [each for each in wanted if each not in blanks]
        assert [(one.label, one.start, one.end) for one in found] == wanted


def key_of(one: dict[str, Any]) -> str:
    return str(one.get("entity") or one.get("entity_group"))


def answered(predictor: Predictor, lines: list[str], strategy: Any) -> list[Any]:
    import json

    asked = Request(tuple(lines), parameters=Parameters(aggregation_strategy=strategy))
    found: list[Any] = json.loads(answer(predictor, [asked])[0])
    return found


@pytest.mark.parametrize("stride", [None, 0, 4, 10_000])
def test_a_long_text_has_each_sub_word_once_whatever_the_windows_share(
    predictor: Predictor, stride: int | None
) -> None:
    text = long_text(400) + " " + "un" * 400
    (found,) = predictor.sub_words([text], stride=stride)
    places = [(piece.start, piece.end) for piece in found.pieces]
    assert places == sorted(set(places))
    words = {piece.word for piece in found.pieces}
    assert words == set(range(len(words)))
    assert found.chances.sum(axis=1) == pytest.approx(np.ones(len(places)), abs=1e-5)


def test_texts_without_a_sub_word_are_answered(predictor: Predictor) -> None:
    assert answered(predictor, ["", " \n", "\u200b"], "first") == [[], [], []]
    assert predictor.sub_words([]) == []


def given(*rows: tuple[int, dict[str, float]]) -> SubWords:
    pieces = [Piece("x", at, at + 1, word, at) for at, (word, _) in enumerate(rows)]
    chances = np.array([[one.get(label, 0.0) for label in LABELS] for _, one in rows])
    return SubWords(pieces, chances)


def test_a_words_label_is_chosen_as_the_strategy_says() -> None:
    word = given(
        (0, {"B-PER": 0.4, "O": 0.35, "B-LOC": 0.25}),
        (0, {"B-LOC": 0.9, "O": 0.1}),
        (0, {"O": 0.8, "B-PER": 0.2}),
    )
    chosen = {name: aggregated(word, LABELS, name) for name in ("first", "average", "max")}
    assert {name: (each[0].label, round(each[0].score, 3)) for name, each in chosen.items()} == {
        "first": ("PER", 0.4),
        "average": ("O", 0.417),
        "max": ("LOC", 0.9),
    }
    assert [one.label for one in aggregated(word, LABELS, "simple")] == ["PER", "LOC", "O"]


def test_a_part_without_characters_parts_what_it_stands_between() -> None:
    pieces = [Piece("a", 0, 1, 0, 0), Piece("Ġ", 2, 2, 1, 1), Piece("b", 2, 3, 1, 2)]
    tags = ("I-PER", "O", "I-PER")
    chances = np.array([[float(label == tag) for label in LABELS] for tag in tags])
    found = aggregated(SubWords(pieces, chances), LABELS, "simple")
    assert [(one.label, one.start, one.end) for one in found] == [("PER", 0, 1), ("PER", 2, 3)]


def test_a_new_entity_begins_with_b_or_another_type() -> None:
    sure = [(n, {label: 1.0}) for n, label in enumerate(
        ["B-PER", "I-PER", "B-PER", "I-LOC", "I-LOC", "O"])]  # fmt: skip
    found = [(one.label, one.start, one.end) for one in aggregated(given(*sure), LABELS, "simple")]
    assert found == [("PER", 0, 2), ("PER", 2, 3), ("LOC", 3, 5), ("O", 5, 6)]
