"""What may be asked over HTTP, read and checked. Knows nothing of the server that speaks it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NoReturn

from pydantic import ValidationError

from tokcls.data.words import check_characters
from tokcls.errors import InputError
from tokcls.inference.contract import NOT_OF_WORDS, Parameters, PredictRequest

MAX_BODY = 2_000_000
"""bytes of a request's body"""
MAX_TEXTS = 256
"""texts, or lists of words, in one request"""
MAX_CHARACTERS = 1_000_000
"""characters of all texts, or all words and one for each, of one request"""

ACCEPTED = (
    '{"inputs": "a text"}, {"inputs": ["a text", "another"]} or {"words": [["split", "text"]]}'
)
FORMS = {  # what stands where in a request, by its place without numbers
    "inputs": "a text or a list of texts",
    "inputs[]": "a string",
    "words": "a list of lists of words",
    "words[]": "a list of words",
    "words[][]": "a string",
    "parameters": "an object",
    "parameters.ignore_labels": "a list of strings",
    "parameters.ignore_labels[]": "a string",
    "parameters.stride": "a whole number",
}

AS_TRAINED = Parameters()
# Complaints of pydantic that say more than what was to stand there.
BY_ITSELF = ("too_long", "greater_than_equal", "string_too_long", "string_unicode")


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
    parameters: Parameters = AS_TRAINED

    def __len__(self) -> int:
        return len(self.texts) + len(self.words)

    @cached_property
    def characters(self) -> int:
        """Characters of all texts, or all words and one for each: an empty one is work too."""
        words = sum(len(word) + 1 for each in self.words for word in each)
        return sum(map(len, self.texts)) + words

    @cached_property
    def size(self) -> int:
        """Bytes in UTF-8 of all texts, or all words and one for each."""
        words = sum(len(word.encode()) + 1 for each in self.words for word in each)
        return sum(len(text.encode()) for text in self.texts) + words


def read_request(body: bytes, content_type: str | None) -> Request:
    """Read a request's body.

    Raises:
        RefusedRequest: it is not what may be asked; its message says what would be.
    """
    _check_type(content_type)
    plain = _parse(body)
    if not isinstance(plain, dict):
        _refuse(f"the body must be a JSON object, got {_kind(plain)}")
    try:
        asked = PredictRequest.model_validate(plain)
    except ValidationError as error:
        _refuse(_said(error))
    if ("inputs" in plain) == ("words" in plain):
        found = "both" if "inputs" in plain else "neither"
        _refuse(f"the body must have either `inputs` or `words`, and has {found}")
    request = _words(asked) if "words" in plain else _texts(asked)
    _check_size(request)
    return request


def _texts(asked: PredictRequest) -> Request:
    parameters = asked.parameters or AS_TRAINED
    if isinstance(asked.inputs, str):
        check_characters(asked.inputs, name="inputs")
        return Request(texts=(asked.inputs,), single=True, parameters=parameters)
    _check_each(asked.inputs, "inputs")
    return Request(texts=tuple(asked.inputs), parameters=parameters)


def _words(asked: PredictRequest) -> Request:
    parameters = asked.parameters or AS_TRAINED
    if any(getattr(parameters, name) is not None for name in NOT_OF_WORDS):
        _refuse("`words` are answered in words, and take no parameter but `ignore_labels`")
    for number, each in enumerate(asked.words):
        _check_each(each, f"words[{number}]")
    return Request(words=tuple(map(tuple, asked.words)), parameters=parameters)


def _check_each(texts: Sequence[str], name: str) -> None:
    for number, text in enumerate(texts):
        check_characters(text, name=f"{name}[{number}]")


def _said(error: ValidationError) -> str:
    """Say what is wrong first, by its place and kind, without the content."""
    errors = error.errors(include_url=False, include_context=True)
    unknown = [each["loc"] for each in errors if each["type"] == "extra_forbidden"]
    if unknown:
        return _unknown(unknown)
    # Where a text or a list of texts may stand, the complaint about the deeper place is the one.
    worst = max(errors, key=lambda each: len(each["loc"]))
    steps = [step for step in worst["loc"] if step not in ("str", "list[str]")]
    place = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps)[1:]
    if not place:
        return "a key holds half a surrogate pair"
    form = FORMS.get("".join("[]" if isinstance(s, int) else f".{s}" for s in steps)[1:])
    if form is None or worst["type"] in BY_ITSELF:
        return f"`{place}`: {worst['msg'][0].lower()}{worst['msg'][1:]}"
    return f"`{place}` must be {form}, got {_kind(worst['input'])}"


def _unknown(places: Sequence[tuple[int | str, ...]]) -> str:
    inner = [place for place in places if len(place) > 1]
    names = sorted({str(place[-1]) for place in inner or places})
    said = f"unknown keys: {', '.join(map(repr, names))[:200]}"
    return f"{said}; `parameters` takes {', '.join(Parameters.model_fields)}" if inner else said


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
        return json.loads(text, parse_constant=_refuse_constant, object_pairs_hook=_each_once)
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


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Build an object; of two keys of one name either could be meant."""
    built = dict(pairs)
    if len(built) < len(pairs):
        twice = Counter(name for name, _ in pairs).most_common(1)[0][0]
        _refuse(f"the body has the key {twice[:100]!r} twice in one object")
    return built


def _check_size(request: Request) -> None:
    if len(request) > MAX_TEXTS:
        raise RefusedRequest(
            f"a request may hold {MAX_TEXTS} texts, got {len(request)}; send several requests",
            status=413,
        )
    if request.characters > MAX_CHARACTERS:
        raise RefusedRequest(
            f"a request may hold {MAX_CHARACTERS:,} characters, got {request.characters:,}; "
            "send several requests",
            status=413,
        )


def _refuse(why: str) -> NoReturn:
    raise RefusedRequest(f"{why}; send {ACCEPTED}")


def _kind(value: Any) -> str:
    """Name a JSON value's kind, without its content."""
    names = {dict: "an object", list: "a list", str: "a string", bool: "a boolean"}
    return "null" if value is None else names.get(type(value), "a number")
