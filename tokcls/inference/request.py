"""The wire format: what may be asked over HTTP, and how an answer is written.

It is Hugging Face's format for token classification. Knows nothing of the server that speaks it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from tokcls.data.words import check_characters
from tokcls.errors import InputError
from tokcls.inference.predictor import Entity, Predictor

MAX_BODY = 2_000_000
"""bytes of a request's body"""
MAX_TEXTS = 256
"""texts, or lists of words, in one request"""
MAX_CHARACTERS = 1_000_000
"""characters of all texts, or all words, of one request"""

ACCEPTED = (
    '{"inputs": "a text"}, {"inputs": ["a text", "another"]} or {"words": [["split", "text"]]}'
)


class RefusedRequest(InputError):
    """A request that is not answered, with the HTTP status that says why."""

    def __init__(self, message: str, *, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class Request:
    """Checked input: texts, or lists of words. `single` asks for one answer, not a list of them."""

    texts: tuple[str, ...] = ()
    words: tuple[tuple[str, ...], ...] = ()
    single: bool = False

    def __len__(self) -> int:
        return len(self.texts) + len(self.words)


def read_request(body: bytes, content_type: str | None) -> Request:
    """Read a request's body.

    Raises:
        RefusedRequest: it is not what may be asked; its message says what would be.
    """
    _check_type(content_type)
    plain = _parse(body)
    if not isinstance(plain, dict):
        _refuse(f"the body must be a JSON object, got {_kind(plain)}")
    unknown = sorted(set(plain) - {"inputs", "words", "parameters"})
    if unknown:
        _refuse(f"unknown keys: {', '.join(map(repr, unknown))[:200]}")
    _check_parameters(plain.get("parameters"))
    if ("inputs" in plain) == ("words" in plain):
        found = "both" if "inputs" in plain else "neither"
        _refuse(f"the body must have either `inputs` or `words`, and has {found}")
    request = _read_texts(plain["inputs"]) if "inputs" in plain else _read_words(plain["words"])
    _check_size(request)
    return request


def answer(predictor: Predictor, requests: Sequence[Request]) -> list[bytes]:
    """Answer several requests at once, so that their texts share batches: one JSON text each."""
    texts = iter(predictor.predict_texts([text for one in requests for text in one.texts]))
    words = iter(predictor.predict_words([each for one in requests for each in one.words]))
    answers = []
    for request in requests:
        found = [next(texts) for _ in request.texts] + [next(words) for _ in request.words]
        answers.append(_write(found, single=request.single))
    return answers


def _write(found: list[list[Entity]], *, single: bool) -> bytes:
    lists = [[entity.as_dict() for entity in entities] for entities in found]
    return json.dumps(lists[0] if single else lists, ensure_ascii=False, allow_nan=False).encode()


def _check_type(content_type: str | None) -> None:
    kind = (content_type or "application/json").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise RefusedRequest(
            f"the content type must be application/json, got {kind[:100]!r}; "
            "with curl add: -H 'Content-Type: application/json'",
            status=415,
        )


def _parse(body: bytes) -> Any:
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        _refuse(f"the body must be UTF-8, and its byte {error.start} is not")
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        _refuse(f"the body must be JSON, and is not at {place}: {error.msg}")
    except RecursionError:
        _refuse("the body is nested too deeply")
    except RefusedRequest:
        raise
    except ValueError:  # an integer with more digits than Python converts
        _refuse("the body holds a number that is too long")


def _refuse_constant(name: str) -> NoReturn:
    _refuse(f"the body must be JSON, which has no {name}")


def _check_parameters(parameters: Any) -> None:
    if parameters is None or parameters == {}:
        return
    found = ", ".join(map(repr, parameters))[:200] if isinstance(parameters, dict) else ""
    _refuse(f"`parameters` must be absent or {{}}: none is known, got {found or _kind(parameters)}")


def _read_texts(inputs: Any) -> Request:
    if isinstance(inputs, str):
        check_characters(inputs, name="inputs")
        return Request(texts=(inputs,), single=True)
    if not isinstance(inputs, list):
        _refuse(f"`inputs` must be a text or a list of texts, got {_kind(inputs)}")
    _check_texts(inputs, "inputs")
    return Request(texts=tuple(inputs))


def _read_words(words: Any) -> Request:
    if not isinstance(words, list):
        _refuse(f"`words` must be a list of lists of words, got {_kind(words)}")
    for number, each in enumerate(words):
        if not isinstance(each, list):
            _refuse(f"`words[{number}]` must be a list of words, got {_kind(each)}")
        _check_texts(each, f"words[{number}]")
    return Request(words=tuple(tuple(each) for each in words))


def _check_texts(texts: list[Any], name: str) -> None:
    for number, text in enumerate(texts):
        if not isinstance(text, str):
            _refuse(f"`{name}[{number}]` must be a string, got {_kind(text)}")
        check_characters(text, name=f"{name}[{number}]")


def _check_size(request: Request) -> None:
    if len(request) > MAX_TEXTS:
        raise RefusedRequest(
            f"a request may hold {MAX_TEXTS} texts, got {len(request)}; send several requests",
            status=413,
        )
    characters = sum(map(len, request.texts)) + sum(len(w) for each in request.words for w in each)
    if characters > MAX_CHARACTERS:
        raise RefusedRequest(
            f"a request may hold {MAX_CHARACTERS:,} characters, got {characters:,}; "
            "send several requests",
            status=413,
        )


def _refuse(why: str) -> NoReturn:
    raise RefusedRequest(f"{why}; send {ACCEPTED}")


def _kind(value: Any) -> str:
    """Name a JSON value's kind, without its content."""
    names = {dict: "an object", list: "a list", str: "a string", bool: "a boolean"}
    return "null" if value is None else names.get(type(value), "a number")
