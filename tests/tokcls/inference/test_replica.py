"""A replica without a server: which version it begins with, and how long it works for whom."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from tests.tokcls.inference.test_predictor import long_text
from tokcls.errors import BundleError
from tokcls.inference import app as module
from tokcls.inference.app import BATCH, FRESH_S, Asked, Replica, application, load_first
from tokcls.inference.follow import Loaded, load
from tokcls.inference.gate import WITHIN_S, Gate
from tokcls.inference.predictor import Entity, Predictor
from tokcls.inference.request import Request
from tokcls.inference.settings import Settings
from tokcls.inference.sources import Located, locate
from tokcls.inference.web import build_app

ALIAS = "models:/ner@champion"
NOBODY = "sqlite:///nowhere/registry.db"


def load_it(located: Located) -> Loaded:
    return load(located, 1)


@pytest.fixture
def first(registry: Any) -> Located:
    """What a server began with, when the champion was version 1."""
    return locate(ALIAS)


def begun_with(model: Located | str, alias: str | None = ALIAS) -> str:
    return load_first(model, alias, load_it).located.version


@pytest.mark.slow
def test_a_replica_that_starts_later_begins_with_the_champion_of_then(
    registry: Any, first: Located
) -> None:
    registry.set_registered_model_alias("ner", "champion", "2")
    assert begun_with(first) == "2"
    assert begun_with(ALIAS) == "2"
    assert begun_with(first, alias=None) == "1"


@pytest.mark.slow
def test_the_version_that_is_here_is_neither_fetched_nor_loaded_again(first: Located) -> None:
    seen: list[Located] = []

    def seeing(located: Located) -> Loaded:
        seen.append(located)
        return load_it(located)

    load_first(first, ALIAS, seeing)
    assert len(seen) == 1
    assert seen[0] is first


@pytest.mark.slow
def test_without_a_registry_or_a_champion_that_works_the_version_from_before_answers(
    registry: Any,
    first: Located,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    registry.set_registered_model_alias("ner", "champion", "4")
    assert begun_with(first) == "1"
    assert "cannot be used now" in caplog.text
    monkeypatch.setenv("MLFLOW_TRACKING_URI", NOBODY)
    assert begun_with(first) == "1"


@pytest.mark.slow
def test_what_the_server_has_just_asked_is_not_asked_again(
    registry: Any, first: Located, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def version_of(alias: str) -> str:
        asked.append(alias)
        return "1"

    monkeypatch.setattr(module, "version_of", version_of)
    load_first(first, ALIAS, load_it, asked_at=time.time() - 1.0)
    assert asked == []
    load_first(first, ALIAS, load_it, asked_at=time.time() - FRESH_S - 1.0)
    assert asked == [ALIAS]


@pytest.mark.slow
def test_a_folder_that_is_gone_is_fetched_again(first: Located, tmp_path: Path) -> None:
    gone = replace(first, folder=tmp_path / "gone")
    assert begun_with(gone) == "1"
    with pytest.raises(BundleError):
        begun_with(gone, alias=None)


def replica(predictor: Any) -> Any:
    """Stand in for a replica: what answering takes of it, in a namespace."""
    filled: list[tuple[int, float]] = []
    standing = SimpleNamespace(
        loaded=SimpleNamespace(predictor=predictor, located=Located(Path(), "ner", "1")),
        lanes=ThreadPoolExecutor(1),
        long_lanes=ThreadPoolExecutor(2),
        metrics=SimpleNamespace(batch=lambda texts, fill, _: filled.append((texts, fill))),
        filled=filled,
        shadow=None,
        budget=BATCH,
    )
    standing.answer_in = partial(Replica.answer_in, standing)

    async def alone(asked: Asked) -> bytes | Exception:
        return (await batch(standing, asked))[0]

    standing.answer_batch = alone
    return standing


async def batch(replica: Any, *asked: Asked) -> list[bytes | Exception]:
    answering: Any = Replica.answer_batch
    answers: list[bytes | Exception] = await answering.__wrapped__(replica, list(asked))
    return answers


class Stub:
    """A predictor that finds nothing, in no time."""

    def within(self, seconds: float) -> Any:
        return self

    def predict_texts(self, texts: list[str], stride: int | None) -> list[list[Entity]]:
        return [[] for _ in texts]

    def predict_words(self, words: list[list[str]]) -> list[list[Entity]]:
        return [[] for _ in words]


def soon(text: str) -> Asked:
    return Asked(Request((text,), single=True), time.monotonic() + 60.0)


def test_a_batch_is_worked_on_as_long_as_anybody_waits_for_it(predictor: Predictor) -> None:
    now, text = time.monotonic(), Request((long_text(100),))
    given_up, waits = Asked(text, now - 1.0), Asked(text, now + 60.0)
    standing = replica(predictor)
    with pytest.raises(TimeoutError):
        asyncio.run(batch(standing, given_up))
    assert len(asyncio.run(batch(standing, given_up, waits))) == 2
    (filled,) = standing.filled
    assert filled[0] == 2
    assert 0.0 < filled[1] < 1.0


def over_http(answer: Callable[[Request], Any], text: str) -> httpx.Response:
    async def call() -> httpx.Response:
        transport = httpx.ASGITransport(build_app(dict, answer, Gate(token="")))
        async with httpx.AsyncClient(transport=transport, base_url="http://here") as client:
            return await client.post("/predict", json={"inputs": text})

    return asyncio.run(call())


def test_a_text_that_takes_too_long_is_given_up_in_our_form(predictor: Predictor) -> None:
    async def late(request: Request) -> bytes:
        (answer,) = await batch(replica(predictor), Asked(request, time.monotonic() - 1.0))
        raise AssertionError(answer)

    reply = over_http(late, "Anna flew to Oslo .")
    assert reply.status_code == 504
    assert "no answer within 60 s" in reply.json()["error"]


def test_no_text_is_logged_when_answering_it_fails(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(Stub):
        def predict_texts(self, texts: list[str], stride: int | None) -> Any:
            raise RuntimeError(f"what is {texts[0]}?")

    caplog.set_level(logging.DEBUG)
    fails = partial(Replica.answer_one, replica(Broken()))
    reply = over_http(fails, "Xanthippe Quillfeather")
    assert (reply.status_code, list(reply.json())) == (500, ["error"])
    assert "predict_texts" in caplog.text, "where it failed"
    assert "RuntimeError" in caplog.text
    assert "Xanthippe" not in caplog.text + reply.text


def test_a_request_that_cannot_be_answered_fails_alone() -> None:
    class Picky(Stub):
        def predict_texts(self, texts: list[str], stride: int | None) -> list[list[Entity]]:
            if "bad" in texts:
                raise ValueError("of one text")
            return [[Entity("PER", text, 0, len(text), 0.5)] for text in texts]

    one, wrong, other = asyncio.run(batch(replica(Picky()), *map(soon, ("Anna", "bad", "Tomas"))))
    assert isinstance(wrong, ValueError)
    words = [json.loads(each)[0]["word"] for each in (one, other) if isinstance(each, bytes)]
    assert words == ["Anna", "Tomas"]


def test_nobody_waits_for_texts_that_are_longer_than_a_batch() -> None:
    class Slow(Stub):
        """Answers long texts when it is told to."""

        go = threading.Event()

        def predict_texts(self, texts: list[str], stride: int | None) -> list[list[Entity]]:
            if len(texts[0]) > 100:
                assert self.go.wait(60.0)
            return super().predict_texts(texts, stride)

    async def all_of_them() -> None:
        answer = partial(Replica.answer_one, replica(Slow()))
        long = [asyncio.create_task(answer(Request(("x" * 4000,)))) for _ in range(5)]
        for _ in range(3):
            await asyncio.wait_for(answer(Request(("short",))), 30.0)
        assert not any(each.done() for each in long)
        Slow.go.set()
        assert await asyncio.gather(*long) == [b"[[]]"] * 5

    asyncio.run(all_of_them())


def test_a_replica_that_is_replaced_ends_what_it_answers_first() -> None:
    built: Any = application("models:/ner/1", Settings())
    assert built._bound_deployment._deployment_config.graceful_shutdown_timeout_s > WITHIN_S
