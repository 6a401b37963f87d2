"""A challenger is compared with what was answered, and is in nobody's way."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.tokcls.inference.made import resealed
from tokcls.errors import BundleError
from tokcls.inference.answer import answer
from tokcls.inference.bundle import read_manifest, seal
from tokcls.inference.predictor import Predictor
from tokcls.inference.request import Request, read_request
from tokcls.inference.shadow import MOST_CHARACTERS, Agreement, Shadow
from tokcls.inference.sources import challenger
from tokcls.model.export import quantize

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]

TEXT = "Anna flew from Lisbon to Oslo ."


def read(**body: Any) -> Request:
    return read_request(json.dumps(body).encode(), "application/json")


@pytest.fixture
def models(registry: Any, bundle: Path, tmp_path: Path) -> Any:
    """The registry, with a version 5 that calls a person PET."""
    folder = resealed(bundle, tmp_path / "model-5" / "artifacts" / "bundle")
    manifest = read_manifest(folder)
    seal(folder, replace(manifest, schema=replace(manifest.schema, types=("LOC", "ORG", "PET"))))
    registry.create_model_version("ner", str(tmp_path / "model-5"))
    return registry


class Server:
    """What a replica does with its shadow: answer, offer, and tell."""

    def __init__(self, predictor: Predictor, engine: str) -> None:
        self.predictor, self.version = predictor, "1"
        self.shadow = Shadow("models:/ner@challenger", engine)

    def answer(self, *requests: Request) -> None:
        self.shadow.offer(self.version, requests, answer(self.predictor, requests))

    @property
    def told(self) -> dict[str, Any] | None:
        return self.shadow.about(self.version)

    async def until(self, right: Callable[[dict[str, Any] | None], bool]) -> dict[str, Any]:
        end = time.monotonic() + 20
        while not right(self.told):
            assert time.monotonic() < end, self.told
            await asyncio.sleep(0.01)
        return self.told or {}


def watched(predictor: Predictor, run: Callable[[Server], Any], engine: str = "fp32") -> None:
    """Run a test on an event loop on which the alias is watched."""

    async def both() -> None:
        server = Server(predictor, engine)
        watching = asyncio.create_task(server.shadow.watch(every=0.02))
        await run(server)
        watching.cancel()

    asyncio.run(both())


def test_spans_that_both_found_or_one_alone_are_counted_anew_for_every_pair(
    models: Any, predictor: Predictor
) -> None:
    async def run(server: Server) -> None:
        server.answer(read(inputs=TEXT))
        assert server.told is None  # nobody has the alias
        models.set_registered_model_alias("ner", "challenger", "5")
        fresh = await server.until(lambda told: told is not None)
        assert (fresh["texts"], fresh["agreement"]) == (0, None)
        server.answer(read(inputs=[TEXT, TEXT]), read(words=[TEXT.split()]))
        assert await server.until(lambda told: told is not None and told["texts"] > 0) == {
            "version": "5",
            "engine": "fp32",
            "texts": 3,
            "spans_both": 6,
            "spans_champion_only": 3,
            "spans_challenger_only": 3,
            "agreement": 0.6667,
        }
        models.set_registered_model_alias("ner", "challenger", "2")
        await server.until(lambda told: told is not None and told["version"] == "2")
        assert server.told == Agreement("1", "2").as_dict() | {"engine": "fp32"}
        server.version = "2"  # the challenger was promoted
        assert server.told is None
        models.delete_registered_model_alias("ner", "challenger")
        server.version = "1"
        await server.until(lambda told: told is None)

    watched(predictor, run)


def is_shown(version: str, told: dict[str, Any] | None) -> bool:
    return told is not None and told["version"] == version


def test_it_runs_in_the_engine_of_what_answers_where_it_has_that(
    models: Any, bundle: Path, predictor: Predictor, tmp_path: Path
) -> None:
    folder = resealed(bundle, tmp_path / "model-6" / "artifacts" / "bundle")
    quantize(folder / "model.onnx", folder / "model.int8.onnx")
    seal(folder, read_manifest(bundle))
    models.create_model_version("ner", str(tmp_path / "model-6"))

    async def run(server: Server) -> None:
        engines = {}
        for version in ("6", "2"):
            models.set_registered_model_alias("ner", "challenger", version)
            shown = partial(is_shown, version)
            engines[version] = (await server.until(shown))["engine"]
        assert engines == {"6": "int8", "2": "fp32"}

    watched(predictor, run, engine="int8")


def test_while_the_challenger_is_at_work_answers_go_out_and_are_passed_over(
    models: Any, predictor: Predictor, caplog: pytest.LogCaptureFixture
) -> None:
    models.set_registered_model_alias("ner", "challenger", "5")
    started, free = threading.Event(), threading.Event()

    async def run(server: Server) -> None:
        await server.until(lambda told: told is not None)
        server.shadow._lane.submit(lambda: (started.set(), free.wait(20)))
        started.wait(20)
        began = time.perf_counter()
        for _ in range(50):
            server.shadow.offer("1", [read(inputs=TEXT)], [b"[]"])
        assert time.perf_counter() - began < 0.5
        free.set()
        told = await server.until(lambda told: told is not None and told["texts"] > 0)
        assert told["texts"] == 1
        assert TEXT not in caplog.text

    watched(predictor, run)


def test_what_cannot_be_compared_is_passed_over(models: Any, predictor: Predictor) -> None:
    models.set_registered_model_alias("ner", "challenger", "5")

    async def run(server: Server) -> None:
        await server.until(lambda told: told is not None)
        server.answer(read(inputs=TEXT, parameters={"aggregation_strategy": "none"}))
        server.shadow.offer("1", [read(inputs="x" * (MOST_CHARACTERS + 1))], [b"[]"])
        server.answer(read(inputs=TEXT))
        told = await server.until(lambda told: told is not None and told["texts"] > 0)
        assert told["texts"] == 1

    watched(predictor, run)


def test_a_challenger_that_cannot_be_used_is_said_once_and_the_one_before_stays(
    models: Any, predictor: Predictor, caplog: pytest.LogCaptureFixture
) -> None:
    models.set_registered_model_alias("ner", "challenger", "2")

    async def run(server: Server) -> None:
        await server.until(lambda told: told is not None)
        models.set_registered_model_alias("ner", "challenger", "4")
        end = time.monotonic() + 20
        while "is not compared: BundleError" not in caplog.text:
            assert time.monotonic() < end
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.2)
        assert caplog.text.count("is not compared") == 1
        server.answer(read(inputs=TEXT))
        told = await server.until(lambda told: told is not None and told["texts"] > 0)
        assert told["version"] == "2"

    watched(predictor, run)


@pytest.mark.parametrize(
    ("followed", "alias"),
    [
        (None, "challenger"),
        ("models:/ner@champion", "champion"),
        ("models:/ner@champion", "a/b"),
        ("models:/ner@champion", ""),
    ],
)
def test_what_is_no_other_alias_of_the_served_model_is_refused(
    followed: str | None, alias: str
) -> None:
    with pytest.raises(BundleError, match=r"cannot be compared: .* another alias"):
        challenger(followed, alias)
    assert challenger("models:/ner@champion", "next") == "models:/ner@next"
    assert challenger(followed, None) is None
