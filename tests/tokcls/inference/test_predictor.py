"""Entities point into the very text, whatever its length, and do not depend on their company."""

from __future__ import annotations

import dataclasses
import json
import math
import shutil
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer

from tests.tiny import POSITIONS, examples
from tokcls.data.batches import Padded
from tokcls.errors import BundleError, InputError
from tokcls.inference.bundle import MANIFEST, read_manifest, seal
from tokcls.inference.engines import open_engine
from tokcls.inference.predictor import Predictor
from tokcls.labels.schema import LabelSchema

SENTENCE = "Anna flew from Lisbon to Oslo on Monday ."


def long_text(words: int) -> str:
    pieces: list[str] = []
    for sentence, _ in examples(words):
        pieces += sentence
        if len(pieces) >= words:
            break
    return " ".join(pieces[:words])


def test_the_trained_model_finds_what_it_was_trained_on(predictor: Predictor) -> None:
    (found,) = predictor.predict_texts([SENTENCE])
    assert [(one.entity_group, one.word) for one in found] == [
        ("PER", "Anna"), ("LOC", "Lisbon"), ("LOC", "Oslo"),
    ]  # fmt: skip
    assert all(0.5 < one.score <= 1.0 for one in found)


@pytest.mark.parametrize("text", ["", " ", "\n\t \u3000", "\u200b"])
def test_a_blank_text_has_no_entities(predictor: Predictor, text: str) -> None:
    assert predictor.predict_texts([text]) == [[]]


def test_a_predictor_within_a_time_answers_alike_and_stops_when_it_is_over(
    predictor: Predictor,
) -> None:
    limited, late = predictor.within(60.0), predictor.within(-1.0)
    assert limited.predict_texts([SENTENCE]) == predictor.predict_texts([SENTENCE])
    for texts in ([SENTENCE], [long_text(3000)]):
        with pytest.raises(TimeoutError):
            late.predict_texts(texts)
    with pytest.raises(TimeoutError):
        late.predict_words([SENTENCE.split()])
    with pytest.raises(TimeoutError):
        late.aggregate_texts([SENTENCE], "simple")


def test_a_short_text_need_not_wait_for_all_of_a_long_one(bundle: Path) -> None:
    engine, begun = open_engine(bundle, "fp32", threads=2), threading.Semaphore(0)
    sizes: list[int] = []

    class Slowly:
        """The engine, a while for each batch."""

        tags, batching = engine.tags, dataclasses.replace(engine.batching, tokens=60)

        def run(self, padded: Padded) -> Any:
            sizes.append(padded.input_ids.size)
            begun.release()
            time.sleep(0.02)
            return engine.run(padded)

    tokenizer = Tokenizer.from_file(str(bundle / "tokenizer.json"))
    slow = Predictor(Slowly(), read_manifest(bundle), tokenizer)
    with ThreadPoolExecutor(1) as pool:
        long = pool.submit(slow.predict_texts, [long_text(5000)])
        assert all(begun.acquire(timeout=60.0) for _ in range(20))
        assert slow.predict_texts([long_text(100)])[0]
        meanwhile = len(sizes)
        assert long.result()[0]
    assert meanwhile < len(sizes) / 2


def test_no_texts_give_no_answers(predictor: Predictor) -> None:
    assert predictor.predict_texts([]) == []
    assert predictor.predict_words([]) == []
    assert predictor.predict_words([[], ["", " "]]) == [[], []]


@pytest.mark.parametrize("words", [POSITIONS - 2, POSITIONS, 1000, 5000])
def test_places_index_a_text_of_any_length(predictor: Predictor, words: int) -> None:
    text = "\U0001f600 \r\n" + long_text(words).replace(" .", ".\n\n").replace(" ,", ",")
    (found,) = predictor.predict_texts([text])
    assert len(found) > words / 20
    assert all(text[one.start : one.end] == one.word for one in found)
    assert all(a.end <= b.start for a, b in pairwise(found))
    assert found[-1].start > len(text) / 2  # a text that was cut would end within its first window


def test_a_word_longer_than_a_window_is_no_obstacle(predictor: Predictor) -> None:
    text = f"{SENTENCE} {'x' * 500} {SENTENCE}"
    (found,) = predictor.predict_texts([text])
    assert sum(one.word == "Lisbon" for one in found) == 2


def test_answers_do_not_depend_on_what_shares_the_batch(predictor: Predictor) -> None:
    texts = [" ".join(words) for words, _ in examples(30)] + ["", long_text(300)]
    together = predictor.predict_texts(texts)
    for text, found in zip(texts, together, strict=True):
        (alone,) = predictor.predict_texts([text])
        assert [dataclasses.replace(one, score=0) for one in alone] == [
            dataclasses.replace(one, score=0) for one in found
        ]
        assert [one.score for one in alone] == pytest.approx([one.score for one in found], abs=1e-4)


def test_split_input_is_answered_in_words(predictor: Predictor) -> None:
    (in_text,) = predictor.predict_texts(["Maria Silva met Peter van Dam at the gate ."])
    words = ["Maria", "Silva", "met", "Peter", "van", "Dam", "at", "the", "gate", "."]
    (in_words,) = predictor.predict_words([words])
    assert [one.word for one in in_words] == [one.word for one in in_text]
    assert all(" ".join(words[one.start : one.end]) == one.word for one in in_words)


def test_the_score_is_the_product_of_the_words_probabilities(predictor: Predictor) -> None:
    words = ["Maria", "Silva", "met", "Ingrid"]
    ((decoded, _),) = predictor.decode_words([words])
    (whole,) = predictor.predict_words([words])
    assert (whole[0].start, whole[0].end) == (0, 2)
    assert whole[0].score == pytest.approx(math.exp(decoded.rows.max(axis=1)[:2].sum()))
    assert list(whole[0].as_dict()) == ["entity_group", "score", "word", "start", "end"]
    assert type(whole[0].as_dict()["score"]) is float


def test_a_temperature_changes_how_sure_a_model_is_and_nothing_else(bundle: Path) -> None:
    manifest = read_manifest(bundle)
    tokenizer = Tokenizer.from_file(str(bundle / "tokenizer.json"))
    text, engine = "Maria Silva met Peter van Dam in Oslo .", open_engine(bundle, "fp32", threads=1)
    plain, doubtful = (
        Predictor(engine, dataclasses.replace(manifest, temperature=t), tokenizer)
        .predict_texts([text])[0]
        for t in (1.0, 4.0)
    )  # fmt: skip
    assert plain
    for one, other in zip(plain, doubtful, strict=True):
        assert dataclasses.replace(one, score=0.0) == dataclasses.replace(other, score=0.0)
        assert other.score < one.score


def test_half_a_surrogate_pair_is_refused(predictor: Predictor) -> None:
    with pytest.raises(InputError, match="character 4"):
        predictor.predict_texts(["Oslo\ud83d"])
    with pytest.raises(InputError, match=r"words\[0\]\[1\]: character 0"):
        predictor.predict_words([["Oslo", "\ud83d"]])


def test_truncation_and_padding_baked_into_the_tokenizer_are_turned_off(bundle: Path) -> None:
    tokenizer = Tokenizer.from_file(str(bundle / "tokenizer.json"))
    tokenizer.enable_truncation(8)
    tokenizer.enable_padding(length=8)
    baked = Predictor(open_engine(bundle, "fp32", threads=1), read_manifest(bundle), tokenizer)
    text = long_text(100)
    assert baked.predict_texts([text, "Oslo"]) == Predictor.from_bundle(
        bundle, threads=1
    ).predict_texts([text, "Oslo"])


def test_a_model_with_other_tags_is_refused(bundle: Path, tmp_path: Path) -> None:
    folder = tmp_path / "other"
    shutil.copytree(bundle, folder)
    manifest = read_manifest(folder)
    seal(folder, dataclasses.replace(manifest, schema=LabelSchema("IOB2", ("LOC",))))
    with pytest.raises(BundleError, match=r"13 outputs, but .* 3 tags \(O, B-LOC, I-LOC\)"):
        Predictor.from_bundle(folder)


@pytest.mark.parametrize("name", ["model.onnx", "tokenizer.json"])
def test_a_file_that_cannot_be_loaded_is_named(bundle: Path, tmp_path: Path, name: str) -> None:
    folder = tmp_path / "broken"
    shutil.copytree(bundle, folder)
    (folder / name).write_text("nonsense")
    seal(folder, read_manifest(bundle))
    assert json.loads((folder / MANIFEST).read_text())["format"] == 1
    with pytest.raises(BundleError, match=rf"{name} cannot be loaded"):
        Predictor.from_bundle(folder)
