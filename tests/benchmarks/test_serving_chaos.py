"""Who may answer while the champion changes, and which failures a kill does not excuse."""

from __future__ import annotations

import asyncio

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from benchmarks import serving_chaos
from benchmarks._asking import Asked
from benchmarks.serving_chaos import late_failures, swapped


async def change(current: set[str], *, after: int) -> tuple[str, list[set[str]]]:
    """Swap 1 for 2 at a server that shows it when asked for the so manieth time."""
    seen: list[set[str]] = []

    async def model(http: web.Request) -> web.Response:
        seen.append({*current})
        return web.json_response({"version": "2" if len(seen) >= after else "1"})

    app = web.Application()
    app.router.add_get("/model", model)
    async with TestServer(app) as server:
        url = str(server.make_url("/")).rstrip("/")
        return await swapped(url, "2", lambda: seen.append({*current}), current, grace=0.0), seen


def test_both_versions_may_answer_until_the_new_one_is_shown_and_then_it_alone() -> None:
    current = {"1"}
    shown, seen = asyncio.run(change(current, after=3))
    assert shown == "2"
    assert seen == [{"1", "2"}] * 3
    assert current == {"2"}


def test_a_version_that_never_comes_leaves_the_old_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving_chaos, "SWAPPED_WITHIN_S", 0.3)
    current = {"1"}
    shown, _ = asyncio.run(change(current, after=1000))
    assert shown == "1"
    assert "1" in current


def test_a_failure_before_the_first_kill_is_no_fault_of_a_kill() -> None:
    failed = [(at, "refused") for at in (9.9, 10.5, 11.5, 20.9)]
    assert late_failures(Asked(failed=failed), [10.0, 20.0]) == 2
    assert late_failures(Asked(failed=failed), []) == 4
