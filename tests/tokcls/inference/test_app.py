"""The server over real HTTP: the wire format, its errors, and what it must not do."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http.server import HTTPServer, SimpleHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from tests.tokcls.inference.made import RunningServer, free_port, served
from tests.tokcls.inference.test_predictor import long_text
from tokcls.errors import TokclsError
from tokcls.inference.app import BATCH, WAITING_REQUESTS, application, weight
from tokcls.inference.ingress import available
from tokcls.inference.predictor import Predictor
from tokcls.inference.request import MAX_BODY, MAX_CHARACTERS, Request
from tokcls.inference.server import PortInUse, await_health, check_port
from tokcls.inference.settings import Settings
from tokcls.processes import below

TEXT = "Anna flew from Lisbon to Oslo on Monday ."


@dataclass(frozen=True)
class Reply:
    status: int
    headers: dict[str, str]
    body: Any


def call(
    url: str, body: bytes | None = None, kind: str = "application/json", token: str = ""
) -> Reply:
    headers = {} if body is None else {"Content-Type": kind}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    try:
        with urllib.request.urlopen(
            urllib.request.Request(url, body, headers), timeout=60
        ) as answer:
            return Reply(answer.status, dict(answer.headers), json.load(answer))
    except urllib.error.HTTPError as error:
        with error:
            return Reply(error.code, dict(error.headers), json.load(error))


def ask(server: RunningServer, body: object) -> Reply:
    return call(f"{server.url}/predict", json.dumps(body).encode())


def by_client(server: RunningServer, text: str, **parameters: str) -> Any:
    """Ask with Hugging Face's client; gives what it found, or the text of what it raised."""
    code = (
        "import json, sys\n"
        "from huggingface_hub import InferenceClient\n"
        f"client = InferenceClient(model='{server.url}/predict')\n"
        "try:\n"
        f"    found = client.token_classification(sys.stdin.read(), **{parameters})\n"
        "    print(json.dumps([dict(one) for one in found]))\n"
        "except Exception as error:\n"
        "    print(json.dumps(str(error)))"
    )
    # The client goes nowhere but to the server; its offline switch would stop that too.
    done = subprocess.run(
        [sys.executable, "-c", code],
        input=text,
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"HF_HUB_OFFLINE": "0"},
    )
    return json.loads(done.stdout)


@pytest.mark.alone
def test_the_hugging_face_client_says_what_the_server_refused(server: RunningServer) -> None:
    wrong = by_client(server, TEXT, aggregation_strategy="last")
    assert "Bad request" in wrong
    assert "`parameters.aggregation_strategy`: input should be" in wrong
    large = by_client(server, "x" * (MAX_CHARACTERS + 1))
    assert "413" in large
    assert "a request may hold 1,000,000 characters, got 1,000,001" in large
    body = by_client(server, "x" * MAX_BODY)
    assert "413" in body
    assert "a request's body may have 2,000,000 bytes" in body


@pytest.mark.alone
def test_the_hugging_face_client_finds_every_entity_of_a_long_text(server: RunningServer) -> None:
    text = long_text(1000)
    found = by_client(server, text)
    assert len(found) > 100
    for one in found:
        assert all(one[key] is not None for key in ("entity_group", "word", "start", "end"))
        assert 0.0 < one["score"] <= 1.0
        assert text[one["start"] : one["end"]] == one["word"]


@pytest.mark.alone
def test_served_answers_are_those_of_the_predictor(
    server: RunningServer, predictor: Predictor
) -> None:
    texts = [TEXT, "", "Peter van Dam met \U0001f600 Ingrid .", long_text(200)]
    answers = ask(server, {"inputs": texts}).body
    for found, expected in zip(answers, predictor.predict_texts(texts), strict=True):
        assert [(e["entity_group"], e["word"], e["start"], e["end"]) for e in found] == [
            (one.entity_group, one.word, one.start, one.end) for one in expected
        ]
    assert ask(server, {"inputs": ""}).body == []
    assert ask(server, {"inputs": []}).body == []
    words = ask(server, {"words": [TEXT.split()]}).body
    assert [one["start"] for one in words[0]] == [0, 3, 5]
    root = call(f"{server.url}/", json.dumps({"inputs": TEXT}).encode())
    assert [one["word"] for one in root.body] == ["Anna", "Lisbon", "Oslo"]


@pytest.mark.alone
def test_requests_at_the_same_time_get_their_own_answers(server: RunningServer) -> None:
    names = ["Anna", "Rafael", "Ingrid", "Tomas"] * 25

    def words(name: str) -> list[str]:
        return [one["word"] for one in ask(server, {"inputs": f"{name} flew to Oslo ."}).body]

    with ThreadPoolExecutor(16) as pool:
        assert list(pool.map(words, names)) == [[name, "Oslo"] for name in names]


@pytest.mark.alone
@pytest.mark.parametrize(
    ("path", "body", "kind", "status"),
    [
        ("/predict", b"{nope", "application/json", 400),
        ("/predict", b"", "application/json", 400),
        ("/predict", b"\xff\xfe", "application/json", 400),
        ("/predict", b'{"inputs": NaN}', "application/json", 400),
        ("/predict", b'{"inputs": "\\ud800"}', "application/json", 400),
        ("/predict", b'{"inputs": "a", "parameters": {"x": 1}}', "application/json", 400),
        ("/predict", b'{"inputs": "a"}', "text/plain", 415),
        ("/predict", b'"' + b"x" * MAX_BODY + b'"', "application/json", 413),
        ("/predict", None, "", 405),
        ("/model", b"{}", "application/json", 405),
        ("/nowhere", None, "", 404),
        ("/predict/", b'{"inputs": "a"}', "application/json", 404),
    ],
)
def test_every_refusal_is_an_error_text_in_json(
    server: RunningServer, path: str, body: bytes | None, kind: str, status: int
) -> None:
    reply = call(server.url + path, body, kind)
    assert reply.status == status
    assert list(reply.body) == ["error"]
    assert len(reply.body["error"]) > 20


@pytest.mark.alone
def test_the_server_says_what_it_serves(server: RunningServer) -> None:
    assert call(f"{server.url}/healthz").body == {"status": "ok"}
    model = call(f"{server.url}/model").body
    assert model["name"] == "bundle"
    assert re.fullmatch("[0-9a-f]{12}", model["version"])
    assert (model["scheme"], model["types"]) == ("BIOES", ["LOC", "ORG", "PER"])
    assert (model["receipt"], model["metrics"]) == ({"seed": 13}, {"val_f1": 0.5})
    paths = call(f"{server.url}/openapi.json").body["paths"]
    assert set(paths) == {"/", "/predict", "/healthz", "/model"}


@pytest.mark.alone
def test_no_process_of_the_server_loads_torch(server: RunningServer) -> None:
    maps = {child: Path(f"/proc/{child}/maps") for child in below(server.pid)}
    replicas = [
        child for child in maps if b"ServeReplica" in Path(f"/proc/{child}/cmdline").read_bytes()
    ]
    assert len(replicas) == 1
    text = maps[replicas[0]].read_text()
    assert "onnxruntime" in text
    assert "libtorch" not in text


def listeners(pid: int) -> set[tuple[str, str]]:
    """Of a process and all below it: which listen where; addresses as the kernel writes them."""
    owner = {}
    for child in [pid, *below(pid)]:
        name = Path(f"/proc/{child}/cmdline").read_text().partition("\0")[0].strip()
        links = [os.readlink(file) for file in Path(f"/proc/{child}/fd").iterdir()]
        owner |= {link[8:-1]: name for link in links if link.startswith("socket:[")}
    found = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            _, local, _, state, *_, inode = line.split()[:10]
            if state == "0A" and inode in owner:
                found.add((owner[inode], local.partition(":")[0]))
    return found


@pytest.mark.alone
def test_the_server_and_ray_listen_on_loopback_alone(server: RunningServer) -> None:
    loopback = ("0100007F", "0000000000000000FFFF00000100007F")
    found = listeners(server.pid)
    assert any("DashboardAgent" in name for name, _ in found), "where the metrics are"
    assert any("ServeReplica" in name for name, _ in found)
    assert {name for name, where in found if where not in loopback} == set()
    assert any(name.endswith("haproxy") for name, _ in found) is available()


@pytest.mark.alone
def test_a_port_that_another_server_uses_is_refused(server: RunningServer, bundle: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "sweeps.serve", str(bundle), "--port", str(server.port)],
        cwd=server.log.parent.parent,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert f"port {server.port} is in use" in done.stderr
    assert "--port" in done.stderr
    assert call(f"{server.url}/healthz").status == 200


@pytest.mark.parametrize("option", [None, socket.SO_REUSEADDR, socket.SO_REUSEPORT])
@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
def test_a_port_with_a_listener_is_refused(option: int | None, host: str) -> None:
    with socket.socket() as listener:
        if option is not None:
            listener.setsockopt(socket.SOL_SOCKET, option, 1)
        listener.bind((host, 0))
        listener.listen()
        port = listener.getsockname()[1]
        with pytest.raises(PortInUse, match=rf"port {port} is in use .*--port"):
            check_port("127.0.0.1", port)


def test_a_port_whose_connections_were_just_closed_is_free() -> None:
    port = free_port()
    with (
        socket.create_server(("127.0.0.1", port)) as listener,
        socket.create_connection(("127.0.0.1", port)) as client,
    ):
        served, _ = listener.accept()
        served.close()
        client.recv(1)
    check_port("127.0.0.1", port)


def test_requests_are_weighed_in_sub_words_roughly_and_for_what_they_cost() -> None:
    short, long = Request(("a" * 200,) * 3), Request(("a" * MAX_CHARACTERS,))
    assert weight([short, short]) == 2 * weight([short])
    assert 3 * 200 / 4 / 8 < weight([short]) < 3 * 200 / 4 / 8 + 3  # four bytes a sub-word
    assert weight([long]) > 100 * BATCH
    assert weight([Request(words=(("",) * 600_000,))]) > 100 * BATCH
    assert weight([Request(("\u4e2d" * 1000,))]) > weight([Request(("a" * 1000,))])


def test_the_replica_itself_refuses_before_serve_would() -> None:
    built: Any = application("models:/ner/1", Settings())
    most = built._bound_deployment._deployment_config.max_ongoing_requests
    assert most > WAITING_REQUESTS, "Serve's own refusal does not say when to ask again"


def test_an_address_of_another_machine_is_refused() -> None:
    with pytest.raises(PortInUse, match=r"not usable on 192\.0\.2\.77"):
        check_port("192.0.2.77", free_port())


def test_a_proxy_of_the_environment_is_not_asked_whether_the_server_is_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{free_port()}")
    monkeypatch.delenv("no_proxy", raising=False)
    with HTTPServer(("127.0.0.1", 0), SimpleHTTPRequestHandler) as listening:
        answering = threading.Thread(target=listening.handle_request)
        answering.start()
        with pytest.raises(TokclsError, match="404"):  # the server's, where there is no /healthz
            await_health(f"http://127.0.0.1:{listening.server_port}", within=0.0)
        answering.join()


@pytest.mark.alone
def test_rays_own_proxy_answers_and_refuses_in_our_form(bundle: Path, tmp_path: Path) -> None:
    with served(bundle, tmp_path, "--proxy", "default") as server:
        assert not any("haproxy" in name for name, _ in listeners(server.pid))
        words = [one["word"] for one in ask(server, {"inputs": TEXT}).body]
        assert words == ["Anna", "Lisbon", "Oslo"]
        for path, body, status in [("/predict", b"{", 400), ("/nowhere", None, 404)]:
            reply = call(server.url + path, body)
            assert (reply.status, list(reply.body)) == (status, ["error"])
        large = call(f"{server.url}/predict", b'"' + b"x" * MAX_BODY + b'"')
        assert (large.status, list(large.body)) == (413, ["error"])
