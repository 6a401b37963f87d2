"""The application without a server: who is let in, how it is described, and its page."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import re
from typing import Any

import httpx
import pytest

from tokcls.inference.gate import BlankToken, Gate
from tokcls.inference.page import page
from tokcls.inference.request import Request
from tokcls.inference.web import build_app

ABOUT = {"name": "bundle", "version": "1", "metrics": {}}
TOKEN = "s3same"


async def found_nothing(request: Request) -> bytes:
    return b"[]"


async def call(
    gate: Gate, method: str, path: str, *, answer: Any = found_nothing, **options: Any
) -> httpx.Response:
    transport = httpx.ASGITransport(build_app(lambda: ABOUT, answer, gate))
    async with httpx.AsyncClient(transport=transport, base_url="http://here") as client:
        return await client.request(method, path, **options)


def ask(gate: Gate, **options: Any) -> httpx.Response:
    return asyncio.run(call(gate, "POST", "/predict", json={"inputs": "a"}, **options))


def get(path: str, gate: Gate | None = None) -> httpx.Response:
    return asyncio.run(call(gate or Gate(token=""), "GET", path))


def test_without_a_token_everybody_is_let_in() -> None:
    assert ask(Gate(token="")).json() == []


@pytest.mark.parametrize(
    ("given", "status"),
    [
        (f"Bearer {TOKEN}", 200),
        (f"bearer  {TOKEN} ", 200),
        (f"Basic {TOKEN}", 401),
        ("Bearer", 401),
        ("Bearer s3samé".encode(), 401),
        (TOKEN, 401),
        (None, 401),
    ],
)
def test_a_token_is_asked_of_everybody_but_the_watch(
    given: str | bytes | None, status: int
) -> None:
    headers: Any = {} if given is None else {"Authorization": given}
    reply = ask(Gate(token=TOKEN), headers=headers)
    assert reply.status_code == status
    if status == 401:
        assert "Authorization: Bearer" in reply.json()["error"]
        assert reply.headers["WWW-Authenticate"] == "Bearer"
    assert get("/healthz", Gate(token=TOKEN)).status_code == 200
    assert get("/model", Gate(token=TOKEN)).status_code == 401


@pytest.mark.parametrize("token", ["s3sàmé", "s3same\xa0", "s3sàm\x85", "s3s\u0105", "\udce9a"])
def test_a_token_may_have_any_letters_and_a_line_end(token: str) -> None:
    gate = Gate(token=f"{token}\r\n")
    sent = token.encode("utf-8", "surrogateescape")
    assert ask(gate, headers={"Authorization": b"Bearer " + sent}).status_code == 200
    assert ask(gate, headers={"Authorization": b"Bearer " + sent[:-1]}).status_code == 401
    assert ask(gate, headers={"Authorization": b"Bearer s3same"}).status_code == 401


def test_a_client_may_write_a_token_in_latin_1() -> None:
    gate = Gate(token="s3sàmé")
    assert ask(gate, headers={"Authorization": "Bearer s3sàmé".encode("latin-1")}).is_success
    assert ask(gate, headers={"Authorization": "Bearer s3sàme".encode("latin-1")}).is_error


def test_a_body_that_never_comes_is_given_up() -> None:
    async def drip() -> Any:
        yield b'{"inputs"'
        await asyncio.sleep(60)

    gate = Gate(token="", within=0.1)
    reply = asyncio.run(call(gate, "POST", "/predict", content=drip()))
    assert reply.status_code == 504
    assert gate.inside == 0


def test_the_token_is_the_environments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERVE_TOKEN", TOKEN)
    assert ask(Gate()).status_code == 401
    monkeypatch.delenv("SERVE_TOKEN")
    assert ask(Gate()).status_code == 200


@pytest.mark.parametrize("token", ["", " ", "\n", " \t\r\n"])
def test_a_blank_token_of_the_environment_lets_nobody_in(
    token: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SERVE_TOKEN", token)
    with pytest.raises(BlankToken, match=r"SERVE_TOKEN is set but blank .*unset it"):
        Gate()


def test_a_body_that_is_compressed_is_refused_as_such() -> None:
    reply = ask(Gate(token=""), headers={"Content-Encoding": "gzip"})
    assert reply.status_code == 415
    assert "must not be compressed, got 'gzip'" in reply.json()["error"]
    assert ask(Gate(token=""), headers={"Content-Encoding": "identity"}).status_code == 200


@pytest.mark.parametrize("most", [{"most": 2}, {"most_bytes": 40}], ids=["requests", "bytes"])
def test_more_than_can_wait_are_told_when_to_ask_again(most: dict[str, int]) -> None:
    gate = Gate(token="", **most)  # a body has 14 to 20 bytes

    async def crowd() -> list[httpx.Response]:
        enough = asyncio.Event()

        async def slow(request: Request) -> bytes:
            await enough.wait()
            return b"[]"

        async def one() -> httpx.Response:
            return await call(gate, "POST", "/predict", answer=slow, json={"inputs": "a"})

        waiting = [asyncio.create_task(one()) for _ in range(2)]
        while gate.inside < 2:
            await asyncio.sleep(0.01)
        refused = await one()
        enough.set()
        return [refused, *[await each for each in waiting], await one()]

    refused, *others = asyncio.run(crowd())
    assert refused.status_code == 503
    assert refused.headers["Retry-After"] == "1"
    assert "ask again" in refused.json()["error"]
    assert [each.status_code for each in others] == [200, 200, 200]
    assert gate.inside == gate.held == 0


def test_bodies_that_are_still_coming_count_too_and_what_was_refused_is_read_to_its_end() -> None:
    gate, half = Gate(token="", most_bytes=20), b'{"inputs": '  # 11 bytes

    async def crowd() -> list[httpx.Response]:
        enough = asyncio.Event()
        read: list[str] = []

        async def slow() -> Any:
            yield half
            await enough.wait()
            yield b'"a"}'

        async def other() -> Any:
            for part in (half, b'"b"', b"}"):
                read.append(part.decode())
                yield part

        first = asyncio.create_task(call(gate, "POST", "/predict", content=slow()))
        while not gate.held:
            await asyncio.sleep(0.01)
        headers = {"Content-Type": "application/json"}
        refused = await call(gate, "POST", "/predict", content=other(), headers=headers)
        assert gate.held == len(half), "of the first alone"
        assert len(read) == 3
        enough.set()
        await first
        return [refused, await call(gate, "POST", "/predict", content=other(), headers=headers)]

    refused, later = asyncio.run(crowd())
    assert (refused.status_code, refused.headers["Retry-After"]) == (503, "1")
    assert "11 bytes to answer; ask again" in refused.json()["error"]
    assert later.status_code == 200
    assert gate.inside == gate.held == 0


def test_one_body_alone_is_let_in_however_large() -> None:
    assert ask(Gate(token="", most_bytes=1)).status_code == 200


def test_an_answer_that_takes_too_long_is_given_up() -> None:
    async def never(request: Request) -> bytes:
        await asyncio.sleep(60)
        return b"[]"

    gate = Gate(token="", within=0.05)
    reply = ask(gate, answer=never)
    assert reply.status_code == 504
    assert "no answer within 0.05 s" in reply.json()["error"]
    assert gate.inside == 0


def test_a_fault_is_an_error_in_our_form_and_the_log_has_its_place_without_the_text(
    caplog: pytest.LogCaptureFixture,
) -> None:
    secret = "Xanthippe Quillfeather"

    async def broken(request: Request) -> bytes:
        raise ValueError(f"cannot read {request.texts}")

    def unknown() -> dict[str, Any]:
        raise KeyError(secret)

    app = build_app(unknown, broken, Gate(token=""))
    body = {"inputs": secret}

    async def both() -> list[httpx.Response]:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://here") as client:
            return [await client.post("/predict", json=body), await client.get("/model")]

    for reply in asyncio.run(both()):
        assert reply.status_code == 500
        assert reply.json() == {"error": "the server could not answer; its log says where"}
    assert "ValueError" in caplog.text
    assert "in broken" in caplog.text
    assert "in unknown" in caplog.text
    assert secret not in caplog.text


def test_the_description_names_every_model_it_refers_to() -> None:
    described = get("/openapi.json").json()
    named = set(described["components"]["schemas"])
    asked = set(re.findall(r"#/components/schemas/(\w+)", get("/openapi.json").text))
    assert asked <= named
    assert {"PredictRequest", "Parameters", "Answer", "Entity", "SubWord", "Refusal"} <= named
    assert described["components"]["schemas"]["PredictRequest"]["examples"]
    assert set(described["paths"]) == {"/", "/predict", "/healthz", "/model"}


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/", "GET, HEAD, POST"),
        ("/predict", "POST"),
        ("/healthz", "GET, HEAD"),
        ("/model", "GET"),
        ("/docs", "GET"),
        ("/static-offline-docs/swagger-ui.css", "GET, HEAD"),
    ],
)
def test_a_method_that_is_not_taken_is_answered_with_all_that_are(path: str, allowed: str) -> None:
    reply = asyncio.run(call(Gate(token=""), "DELETE", path))
    assert (reply.status_code, reply.headers["Allow"]) == (405, allowed)


def test_the_documentation_needs_no_other_server() -> None:
    documented = get("/docs").text
    sources = re.findall(r'(?:src|href)="([^"]+)"', documented)
    assert len(sources) >= 2
    for source in sources:
        assert source.startswith("/static-offline-docs/")
        assert get(source).status_code == 200


def test_the_page_may_run_its_own_script_and_ask_its_own_server() -> None:
    reply = get("/")
    assert reply.headers["content-type"].startswith("text/html")
    policy = reply.headers["Content-Security-Policy"]
    (script,) = re.findall(r"<script>(.*?)</script>", reply.text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in policy
    assert "default-src 'none'" in policy
    assert not re.search(r"https?:|//[a-z]+\.", page())
