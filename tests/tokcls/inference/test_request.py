"""What may be asked is read; all else is refused with what would be right."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokcls.inference.contract import Parameters
from tokcls.inference.request import (
    MAX_CHARACTERS,
    MAX_TEXTS,
    RefusedRequest,
    Request,
    read_request,
)

JSON = "application/json"


def read(body: object) -> Request:
    return read_request(json.dumps(body).encode(), JSON)


@pytest.mark.parametrize(
    ("body", "request_"),
    [
        ({"inputs": "a b"}, Request(texts=("a b",), single=True)),
        ({"inputs": ""}, Request(texts=("",), single=True)),
        ({"inputs": ["a", "b"]}, Request(texts=("a", "b"))),
        ({"inputs": []}, Request()),
        ({"inputs": "a", "parameters": {}}, Request(texts=("a",), single=True)),
        ({"inputs": "a", "parameters": None}, Request(texts=("a",), single=True)),
        ({"words": [["a"], []]}, Request(words=(("a",), ()))),
        ({"inputs": "a", "parameters": {"stride": 4}},
         Request(texts=("a",), single=True, parameters=Parameters(stride=4))),
        ({"inputs": "a", "parameters": {"stride": 4.0}},
         Request(texts=("a",), single=True, parameters=Parameters(stride=4))),
    ],
)  # fmt: skip
def test_each_form_is_read(body: object, request_: Request) -> None:
    assert read(body) == request_


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (None, "must be a JSON object, got null"),
        ([1], "must be a JSON object, got a list"),
        ({}, "either `inputs` or `words`, and has neither"),
        ({"inputs": "a", "words": []}, "either `inputs` or `words`, and has both"),
        ({"inputs": 1}, "`inputs` must be a text or a list of texts, got a number"),
        ({"inputs": True}, "got a boolean"),
        ({"inputs": ["a", None]}, r"`inputs\[1\]` must be a string, got null"),
        ({"words": "a"}, "`words` must be a list of lists of words, got a string"),
        ({"words": ["a"]}, r"`words\[0\]` must be a list of words, got a string"),
        ({"words": [["a", {}]]}, r"`words\[0\]\[1\]` must be a string, got an object"),
        ({"text": "a"}, "unknown keys: 'text'"),
        (
            {"inputs": "a", "parameters": {"strde": 1}},
            "unknown keys: 'strde'; `parameters` takes aggregation_strategy, ignore_labels",
        ),
        ({"inputs": "a", "parameters": 1}, "`parameters` must be an object, got a number"),
        ({"inputs": "a", "parameters": {"stride": "1"}}, "stride` must be a whole number, got a s"),
        ({"inputs": "a", "parameters": {"stride": 1.5}}, "stride` must be a whole number"),
        ({"inputs": "a", "parameters": {"stride": -1}}, "stride`: input should be greater than"),
        ({"inputs": "a", "parameters": {"aggregation_strategy": "last"}}, "'average' or 'max'"),
        ({"inputs": "a", "parameters": {"offset_type": "line"}}, "'codepoint', 'utf16' or 'byte'"),
        ({"inputs": "a", "parameters": {"ignore_labels": "O"}}, "must be a list of strings"),
        ({"inputs": "a", "parameters": {"ignore_labels": ["\ud800"]}}, "unicode"),
        ({"inputs": "a", "parameters": {"ignore_labels": ["O", 1]}}, r"ignore_labels\[1\]` must"),
        ({"words": [["a"]], "parameters": {"offset_type": "byte"}}, "`words` are answered in word"),
    ],
)
def test_what_may_not_be_asked_is_refused_with_what_may(body: object, message: str) -> None:
    with pytest.raises(RefusedRequest, match=message + r".*; send \{\"inputs\"") as caught:
        read(body)
    assert caught.value.status == 400


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "is not at line 1, column 1"),
        (b'{"inputs": ', "must be JSON"),
        (b'{"inputs": "a"} x', "must be JSON"),
        (b'{"inputs": NaN}', "has no NaN"),
        (b'{"inputs": -Infinity}', "has no -Infinity"),
        (b'{"inputs": "\xff"}', "must be UTF-8, and its byte 12 is not"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"inputs": ' + b"9" * 5000 + b"}", "a number that is too long"),
        (b'{"inputs": "a", "inputs": "a"}', "the key 'inputs' twice"),
        (b'{"inputs": "a", "parameters": {"stride": 1, "stride": 2}}', "the key 'stride' twice"),
    ],
)
def test_a_body_that_is_no_json_is_refused(body: bytes, message: str) -> None:
    with pytest.raises(RefusedRequest, match=message):
        read_request(body, JSON)


def test_a_long_list_of_what_may_not_be_there_is_refused_at_once() -> None:
    for body in ({"inputs": [1] * 900_000}, {"words": [[1] * 900_000]}, {"words": [1] * 900_000}):
        text = json.dumps(body).encode()
        began = time.monotonic()
        with pytest.raises(RefusedRequest, match="got a number"):
            read_request(text, JSON)
        assert time.monotonic() - began < 1.0


def test_half_a_surrogate_pair_is_refused() -> None:
    with pytest.raises(ValueError, match=r"inputs\[1\]: character 0 is half a surrogate pair"):
        read_request(b'{"inputs": ["a", "\\ud83d"]}', JSON)
    assert read_request(b'{"inputs": "\\ud83d\\ude00"}', JSON).texts == ("\U0001f600",)


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "x" * 9999])
def test_another_content_type_is_refused_with_the_one_to_send(kind: str) -> None:
    with pytest.raises(RefusedRequest, match="must be application/json") as caught:
        read_request(b'{"inputs": "a"}', kind)
    assert caught.value.status == 415


@pytest.mark.parametrize("kind", [None, JSON, "Application/JSON; charset=utf-8"])
def test_a_byte_order_mark_and_a_charset_are_tolerated(kind: str | None) -> None:
    assert read_request(b'\xef\xbb\xbf{"inputs": "a"}', kind).texts == ("a",)


@pytest.mark.parametrize(
    "body",
    [
        {"inputs": ["a"] * (MAX_TEXTS + 1)},
        {"words": [["a"]] * (MAX_TEXTS + 1)},
        {"inputs": "x" * (MAX_CHARACTERS + 1)},
        {"words": [["x" * (MAX_CHARACTERS // 2 - 1), "y" * (MAX_CHARACTERS // 2)]]},
        {"words": [["a"] * (MAX_CHARACTERS // 2 + 1)]},
    ],
)
def test_too_much_is_refused_as_too_large(body: object) -> None:
    with pytest.raises(RefusedRequest, match=r"a request may hold .*; send several") as caught:
        read(body)
    assert caught.value.status == 413


def test_a_word_without_characters_counts_too() -> None:
    empty = read({"words": [[""] * 1000, []]})
    assert (empty.characters, empty.size) == (1000, 1000)
    full = read({"words": [["é", "b"]]})
    assert (full.characters, full.size) == (4, 5)


def test_a_request_is_measured_once() -> None:
    class Text(str):
        encoded = 0

        def encode(self, *_: str) -> bytes:
            Text.encoded += 1
            return super().encode()

    request = Request((Text("abc"),))
    assert [request.size, request.size, Text.encoded] == [3, 3, 1]


@given(st.binary(max_size=40) | st.text(max_size=40).map(lambda text: json.dumps(text).encode()))
def test_any_bytes_are_read_or_refused(body: bytes) -> None:
    with pytest.raises(RefusedRequest):
        read_request(body, JSON)
