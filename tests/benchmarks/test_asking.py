"""The client of the chaos run counts what is wrong and what fails, and never asks twice."""

from __future__ import annotations

import asyncio

from aiohttp import web
from aiohttp.test_utils import TestServer

from benchmarks._asking import Asked, ask
from benchmarks._load import SCRIPT

RIGHT = {text: {"1": [("LOC", 0, 4)], "2": [("LOC", 0, 3)]} for text in ("Oslo", "Rome", "Bonn")}


async def answered(http: web.Request) -> web.Response:
    """Answer right for Oslo, wrong for Rome, and refuse Bonn."""
    text = (await http.json())["inputs"]
    if text == "Bonn":
        return web.json_response({"error": "busy"}, status=503)
    end = 4 if text == "Oslo" else 3
    return web.json_response([{"entity_group": "LOC", "start": 0, "end": end}])


def test_wrong_answers_and_refusals_are_counted() -> None:
    async def run() -> tuple[Asked, int]:
        seen = 0

        async def counted(http: web.Request) -> web.Response:
            nonlocal seen
            seen += 1
            if seen >= 30:
                until.set()
            return await answered(http)

        app, until = web.Application(), asyncio.Event()
        app.router.add_post("/predict", counted)
        async with TestServer(app) as server:
            url = str(server.make_url("/")).rstrip("/")
            return await ask(url, RIGHT, current={"1"}, connections=1, until=until), seen

    asked, seen = asyncio.run(run())
    assert len(asked.seconds) + len(asked.failed) == seen == 30
    assert asked.wrong == 10
    assert [text for _, text in asked.failed] == ['ClientError: 503 {"error": "busy"}'] * 10
    assert asked.lasted > 0


def test_an_answer_is_wrong_unless_its_version_was_current_while_it_was_made() -> None:
    current, seen = {"1"}, 0

    async def answered_by_the_second(http: web.Request) -> web.Response:
        nonlocal seen
        seen += 1
        if seen == 3:  # while the third is being answered
            current.add("2")
        if seen == 6:
            current.discard("1")
        if seen == 10:
            until.set()
        return web.json_response([{"entity_group": "LOC", "start": 0, "end": 3}])

    async def run() -> Asked:
        app = web.Application()
        app.router.add_post("/predict", answered_by_the_second)
        async with TestServer(app) as server:
            url = str(server.make_url("/")).rstrip("/")
            return await ask(url, RIGHT, current=current, connections=1, until=until)

    until = asyncio.Event()
    assert asyncio.run(run()).wrong == 2


def test_a_percentile_is_one_of_the_latencies() -> None:
    asked = Asked(seconds=[0.4, 0.1, 0.3, 0.2])
    assert (asked.percentile(0.5), asked.percentile(0.99)) == (0.3, 0.4)


def test_the_script_of_wrk_is_filled_in() -> None:
    assert 'io.lines("/a/b.jsonl")' in SCRIPT.format(bodies="/a/b.jsonl")
