"""Every request is told when it is over, by its route and never by what it asked for."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import httpx
import pytest
from starlette.requests import ClientDisconnect

from tokcls.inference.gate import Gate
from tokcls.inference.request import Request
from tokcls.inference.watched import Watched
from tokcls.inference.web import build_app

Told = list[tuple[str, int]]


def app(told: Told, *, fails: bool = False) -> Any:
    async def found_nothing(request: Request) -> bytes:
        if fails:
            raise KeyError(request.texts[0])
        return b"[]"

    def seen(route: str, status: int, seconds: float) -> None:
        assert 0.0 < seconds < 60.0
        told.append((route, status))

    return build_app(dict, found_nothing, Gate(token="t"), seen=seen)


@pytest.mark.parametrize(
    ("method", "path", "body", "route", "status"),
    [
        ("POST", "/predict", {"inputs": "a"}, "/predict", 200),
        ("POST", "/", {"inputs": "a"}, "/", 200),
        ("POST", "/predict", {"inputs": 1}, "/predict", 400),
        ("GET", "/predict", None, "/predict", 405),
        ("GET", "/healthz?of=a", None, "/healthz", 200),
        ("GET", "/Xanthippe", None, "other", 404),
        ("GET", "/docs", None, "/docs", 200),
    ],
)
def test_a_request_is_told_by_route_and_status(
    method: str, path: str, body: Any, route: str, status: int
) -> None:
    told: Told = []
    headers = {"Authorization": "Bearer t"}

    async def call() -> None:
        transport = httpx.ASGITransport(app(told))
        async with httpx.AsyncClient(transport=transport, base_url="http://here") as client:
            await client.request(method, path, json=body, headers=headers)

    asyncio.run(call())
    assert told == [(route, status)]


@pytest.mark.parametrize(
    ("said", "fails", "status"),
    [
        ({"type": "http.disconnect"}, False, 499),
        ({"type": "http.request", "body": b'{"inputs": "a"}'}, True, 500),
    ],
)
def test_a_client_that_left_and_a_fault_are_told_apart(
    said: dict[str, Any], fails: bool, status: int
) -> None:
    told: Told = []
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/predict",
        "query_string": b"",
        "headers": [(b"authorization", b"Bearer t")],
    }

    async def receive() -> dict[str, Any]:
        return said

    async def send(message: Any) -> None: ...

    with suppress(ClientDisconnect):  # there is nobody to answer
        asyncio.run(app(told, fails=fails)(scope, receive, send))
    assert told == [("/predict", status)]


def test_what_is_no_request_goes_through() -> None:
    passed = []

    async def inner(scope: Any, receive: Any, send: Any) -> None:
        passed.append(scope["type"])

    asyncio.run(Watched(inner, ["/"], lambda *_: None)({"type": "lifespan"}, None, None))  # type: ignore[arg-type]
    assert passed == ["lifespan"]
