"""Requests answered together are answered as alone, in the units and with the labels asked for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from tokenizers import Tokenizer

from tests.tokcls.inference.made import STRIDE
from tokcls.data.batches import Padded
from tokcls.inference.answer import answer
from tokcls.inference.bundle import read_manifest
from tokcls.inference.engines import Engine, open_engine
from tokcls.inference.predictor import Predictor
from tokcls.inference.request import Request, read_request


def read(body: object) -> Request:
    return read_request(json.dumps(body).encode(), "application/json")


def ask(predictor: Predictor, inputs: str, **parameters: Any) -> list[dict[str, Any]]:
    (text,) = answer(predictor, [read({"inputs": inputs, "parameters": parameters})])
    found: list[dict[str, Any]] = json.loads(text)
    return found


def test_requests_answered_together_are_answered_as_alone(predictor: Predictor) -> None:
    requests = [
        read({"inputs": "Anna flew to Oslo ."}),
        read({"inputs": []}),
        read({"words": [["Oslo"], ["Maria", "Silva", "met", "Anna"]]}),
        read({"inputs": ["", "Acme is in Lisbon ."]}),
        read({"inputs": "Anna flew to Oslo .", "parameters": {"aggregation_strategy": "max"}}),
        read({"inputs": "Anna flew to Oslo .", "parameters": {"stride": 3}}),
    ]
    together = answer(predictor, requests)
    shapes = [json.loads(text) for text in together]
    assert shapes[0][0]["word"] == "Anna"
    assert shapes[1] == []
    assert [len(each) for each in shapes[2:4]] == [2, 2]
    assert [one["word"] for one in shapes[4]] == [one["word"] for one in shapes[5]]
    for request, text in zip(requests, together, strict=True):
        (alone,) = answer(predictor, [request])
        strip = [[(e["word"], e["start"]) for e in flat(each)] for each in (alone, text)]
        assert strip[0] == strip[1]


def flat(text: bytes) -> list[dict[str, object]]:
    plain = json.loads(text)
    return [e for each in plain for e in (each if isinstance(each, list) else [each])]


class Counting:
    """An engine that counts the windows it is given."""

    def __init__(self, engine: Engine) -> None:
        self._engine, self.windows = engine, 0
        self.tags, self.batching = engine.tags, engine.batching

    def run(self, padded: Padded) -> npt.NDArray[np.float32]:
        self.windows += len(padded.input_ids)
        return self._engine.run(padded)


@pytest.mark.parametrize("strategy", [None, "none", "first"])
def test_a_long_text_is_read_in_as_many_windows_as_the_stride_asks_for(
    bundle: Path, strategy: str | None
) -> None:
    tokenizer = Tokenizer.from_file(str(bundle / "tokenizer.json"))
    engine = Counting(open_engine(bundle, "fp32", threads=1))
    predictor = Predictor(engine, read_manifest(bundle), tokenizer)
    chosen = {"aggregation_strategy": strategy} if strategy else {}
    windows = {}
    for stride in (0, STRIDE, 31, 10_000, None):
        engine.windows = 0
        ask(predictor, "Oslo " * 500, **chosen, **({} if stride is None else {"stride": stride}))
        windows[stride] = engine.windows
    # 62 sub-words fit into a window, and each but the first brings 62 less the stride.
    assert windows == {0: 9, STRIDE: 10, 31: 16, 10_000: 16, None: 10}


@pytest.mark.parametrize("strategy", [None, "simple", "first", "average", "max"])
@pytest.mark.parametrize("unit", ["codepoint", "utf16", "byte"])
def test_places_are_counted_in_the_units_that_are_asked_for(
    predictor: Predictor, unit: str, strategy: str | None
) -> None:
    text = "\U0001f600 é 東 Anna flew to Oslo ."
    asked = {"offset_type": unit} | ({"aggregation_strategy": strategy} if strategy else {})
    found = ask(predictor, text, **asked)
    assert {"Anna", "Oslo"} <= {one["word"] for one in found}
    for one in found:
        cut = {
            "codepoint": lambda s, e: text[s:e],
            "utf16": lambda s, e: text.encode("utf-16-le")[2 * s : 2 * e].decode("utf-16-le"),
            "byte": lambda s, e: text.encode()[s:e].decode(),
        }[unit]
        assert cut(one["start"], one["end"]) == one["word"]


def test_labels_that_are_not_asked_for_are_left_out(predictor: Predictor) -> None:
    text = "Anna flew to Oslo ."
    groups = [one["entity_group"] for one in ask(predictor, text, ignore_labels=["PER"])]
    assert groups == ["LOC"]
    whole = ask(predictor, text, aggregation_strategy="simple", ignore_labels=[])
    assert [one["entity_group"] for one in whole] == ["PER", "O", "LOC", "O"]
    alone = ask(predictor, text, aggregation_strategy="none", ignore_labels=["O", "B-LOC"])
    assert {one["entity"] for one in alone} <= {"B-PER", "I-PER"}
    (words,) = json.loads(
        answer(
            predictor,
            [read({"words": [text.split()], "parameters": {"ignore_labels": ["LOC"]}})],
        )[0]
    )
    assert [one["word"] for one in words] == ["Anna"]
