"""What nobody should send, over real HTTP: a right answer, or a refusal that says why."""

from __future__ import annotations

import json
import socket

import pytest

from tests.tokcls.inference.made import RunningServer
from tests.tokcls.inference.test_app import ask, call

pytestmark = pytest.mark.alone

DEEP = 100_000


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        (b'{"inputs": "' + b"x" * 10_000_000 + b'"}', 413, "2,000,000 bytes"),
        (b"[" * DEEP + b"]" * DEEP, 400, "nested too deeply"),
        (b'{"inputs": ' + b"[" * DEEP + b"]" * DEEP + b"}", 400, "nested too deeply"),
        (b'{"a":' * DEEP + b"1" + b"}" * DEEP, 400, "nested too deeply"),
        (b'{"inputs": "\\ud800"}', 400, "half a surrogate pair"),
        (b'{"inputs": "\xed\xa0\x80"}', 400, "must be UTF-8"),
        (b'{"inputs": "\xc0\xaf"}', 400, "must be UTF-8"),
        (b'{"inputs": "a\x00b"}', 400, "must be JSON"),
        (b'{"inputs": "a", "\\ud800": 1}', 400, "a key holds half a surrogate pair"),
        (b'{"inputs": 1e999}', 400, "must be a text"),
        (b'{"inputs": "a", "parameters": {"stride": 1' + b"0" * 5000 + b"}}", 400, "too long"),
        (b'{"inputs": "a", "parameters": {"stride": 1e999}}', 400, "whole number"),
        (b'{"inputs": "a", "inputs": "b"}', 400, "twice"),
        (b'{"inputs": "a", "\\u0000": "b"}', 400, "unknown keys"),
    ],
    ids=lambda value: str(value)[:30],
)  # fmt: skip
def test_what_cannot_be_answered_is_refused_with_the_reason(
    server: RunningServer, body: bytes, status: int, said: str
) -> None:
    reply = call(f"{server.url}/predict", body)
    assert (reply.status, list(reply.body)) == (status, ["error"])
    assert said in reply.body["error"]
    assert len(reply.body["error"]) < 500


NAMES = "Anna flew from Lisbon to Oslo ."


@pytest.mark.parametrize(
    "text",
    [
        "\0" + NAMES + "\0",
        "An\0na " + NAMES,
        "\u202e" + NAMES + "\u202c שלום עולם مرحبا بالعالم",
        "\ufeff\u200b\u200d" + NAMES,
        "e\u0301" * 500 + " " + NAMES,
        "\U0001f468\u200d\U0001f469\u200d\U0001f467 " + NAMES,
        "\uffff\U0010ffff" + NAMES,
        " \t\r\n\v\f\x1c\x85\u2028\u3000" * 100 + NAMES,
        (NAMES + " ") * 6250,
        "x" * 200_000 + " " + NAMES,
        "\x00" * 200_000,
    ],
    ids=lambda text: ascii(text[:12]),
)
def test_a_strange_text_is_answered_and_every_entity_is_where_it_says(
    server: RunningServer, text: str
) -> None:
    reply = ask(server, {"inputs": text})
    assert reply.status == 200
    assert all(text[one["start"] : one["end"]] == one["word"] for one in reply.body)
    if text.endswith(NAMES):
        assert [one["word"] for one in reply.body[-2:]] == ["Lisbon", "Oslo"]


@pytest.mark.parametrize("stride", [b"1e300", b"1" + b"0" * 4000, b"-0", b"0.0"])
def test_a_number_that_is_huge_and_whole_is_one(server: RunningServer, stride: bytes) -> None:
    body = json.dumps({"inputs": NAMES, "parameters": {"stride": 7}}).encode()
    reply = call(f"{server.url}/predict", body.replace(b"7", stride))
    assert (reply.status, len(reply.body)) == (200, 3)


def raw(server: RunningServer, *parts: bytes) -> bytes:
    """Send bytes as they are; give all that comes back until the server closes or is silent."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=5) as connection:
        got = b""
        try:
            for part in parts:
                connection.sendall(part)
            while more := connection.recv(65536):
                got += more
        except (TimeoutError, ConnectionError):
            pass
    return got


HEAD = b"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"


@pytest.mark.parametrize(
    "parts",
    [
        (HEAD + b"Content-Length: 99\r\nConnection: close\r\n\r\n", b'{"inputs": "a"}'),
        (HEAD + b"Content-Length: -1\r\n\r\n", b"{}"),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"zz\r\n{}\r\n0\r\n\r\n"),
        (b"GET /%00%ff HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"\r\n\r\n"),
        (b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n",),
    ],
    ids=["short body", "negative length", "no chunk", "odd path", "TLS", "long path"],
)
def test_a_broken_request_is_no_fault_of_the_server_and_ends_nothing(
    server: RunningServer, parts: tuple[bytes, ...]
) -> None:
    got = raw(server, *parts)
    assert got == b"" or got.startswith(b"HTTP/1.1 4"), got[:200]
    words = [one["word"] for one in ask(server, {"inputs": NAMES}).body]
    assert words == ["Anna", "Lisbon", "Oslo"]
