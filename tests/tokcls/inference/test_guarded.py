"""A server of a model from a bucket, with a token: who is let in, how many, and what is logged.

Its engine fails at one word, which the tokenizer knows and the network does not.
"""

from __future__ import annotations

import json
import re
import shutil
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tests.stores import BUCKET, s3_server
from tests.tokcls.inference.made import RunningServer, served
from tests.tokcls.inference.test_app import TEXT, Reply, call
from tokcls.inference.app import WAITING_REQUESTS
from tokcls.inference.bundle import read_manifest, seal
from tokcls.inference.ingress import available
from tokcls.processes import below

pytestmark = [pytest.mark.alone, pytest.mark.filterwarnings("ignore")]

TOKEN = "s3same"
SECRET = "Xanthippe Quillfeather"
FATAL = "abracadabra"
WAIT_S = 30.0


def flawed(bundle: Path, folder: Path) -> Path:
    """Copy a bundle, with a word in its tokenizer for which its network has no embedding."""
    shutil.copytree(bundle, folder)
    manifest = read_manifest(folder)
    file = folder / "tokenizer.json"
    tokenizer = json.loads(file.read_text())
    vocabulary = tokenizer["model"]["vocab"]
    vocabulary[FATAL] = 10 * len(vocabulary)
    file.write_text(json.dumps(tokenizer))
    seal(folder, manifest)
    return folder


def registered(bundle: Path, folder: Path, endpoint: str) -> dict[str, str]:
    """Register a bundle whose files are in a bucket; gives the environment that finds it."""
    import boto3
    import mlflow

    store: Any = boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1")
    for file in bundle.iterdir():
        store.upload_file(str(file), BUCKET, f"model-1/artifacts/bundle/{file.name}")
    uri = f"sqlite:///{folder / 'registry.db'}"
    client = mlflow.MlflowClient(uri, uri)
    client.create_registered_model("ner")
    client.create_model_version("ner", f"s3://{BUCKET}/model-1")
    return {
        "MLFLOW_TRACKING_URI": uri,
        "MLFLOW_S3_ENDPOINT_URL": endpoint,
        "AWS_DEFAULT_REGION": "us-east-1",
    }


@pytest.fixture(scope="module")
def guarded(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    top = tmp_path_factory.mktemp("guarded")
    with s3_server() as bucket:
        endpoint = f"http://127.0.0.1:{bucket.port}"
        environment = registered(flawed(bundle, top / "bundle"), top, endpoint)
        environment["SERVE_TOKEN"] = TOKEN
        with served("models:/ner/1", top, environment=environment) as running:
            yield running


def ask(server: RunningServer, body: object, token: str = TOKEN) -> Reply:
    return call(f"{server.url}/predict", json.dumps(body).encode(), token=token)


def within(seconds: float, done: Callable[[], bool]) -> bool:
    """Look until something is so, but not for ever."""
    until = time.monotonic() + seconds
    while not (so := done()) and time.monotonic() < until:
        time.sleep(0.1)
    return so


def test_a_version_whose_files_are_in_a_bucket_is_served(guarded: RunningServer) -> None:
    about = call(f"{guarded.url}/model", token=TOKEN).body
    assert (about["name"], about["version"]) == ("models:/ner", "1")


def test_the_token_is_asked_for_behind_ray_and_its_ingress(guarded: RunningServer) -> None:
    assert "a token is wanted (SERVE_TOKEN)\n" in guarded.output
    assert any('-H "Authorization: Bearer $SERVE_TOKEN"' in line for line in guarded.output)
    assert TOKEN not in "".join(guarded.output)
    for token in ("", "another"):
        for reply in (
            ask(guarded, {"inputs": TEXT}, token),
            call(f"{guarded.url}/model", token=token),
        ):
            assert (reply.status, list(reply.body)) == (401, ["error"])
            assert "Authorization: Bearer" in reply.body["error"]
    assert call(f"{guarded.url}/healthz").status == 200
    answer = ask(guarded, {"inputs": TEXT})
    assert [one["word"] for one in answer.body] == ["Anna", "Lisbon", "Oslo"]


def test_a_full_replica_says_at_once_when_to_ask_again_through_the_ingress(
    guarded: RunningServer,
) -> None:
    # More of a body than HAProxy keeps back, and the rest never.
    head = (
        f"POST /predict HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {TOKEN}\r\n"
        "Content-Type: application/json\r\nContent-Length: 200000\r\n\r\n"
    )
    begun = head.encode() + b" " * 100_000
    with ExitStack() as clients:

        def begin() -> None:
            client = socket.create_connection(("127.0.0.1", guarded.port))
            clients.enter_context(client).sendall(begun)

        def full() -> bool:
            if ask(guarded, {"inputs": TEXT}).status == 503:
                return True
            begin()  # our own question may have had the last place when another came
            return False

        for _ in range(WAITING_REQUESTS):
            begin()
        assert within(WAIT_S, full)
        asked = time.monotonic()
        refused = ask(guarded, {"inputs": TEXT})
        assert time.monotonic() - asked < 2.0
    assert refused.status == 503
    assert f"the server has {WAITING_REQUESTS} requests to answer" in refused.body["error"]
    assert {name.lower(): it for name, it in refused.headers.items()}["retry-after"] == "1"
    assert within(WAIT_S, lambda: ask(guarded, {"inputs": TEXT}).status == 200)


def session(server: RunningServer) -> Path:
    """Find the folder of a server's Ray by what Ray's processes are started with."""
    for child in below(server.pid):
        with suppress(OSError):
            command = Path(f"/proc/{child}/cmdline").read_bytes()
            if found := re.search(rb"/[^\0=\s]*/session_\d[^\0/\s]*", command):
                return Path(found[0].decode())
    raise AssertionError("no process of the server is Ray's")


@pytest.mark.skipif(not available(), reason="Ray has brought no HAProxy for this platform")
def test_the_haproxy_that_runs_logs_no_requests(guarded: RunningServer) -> None:
    commands = [
        Path(f"/proc/{each}/cmdline").read_text().split("\0") for each in below(guarded.pid)
    ]
    (config,) = {each[each.index("-f") + 1] for each in commands if each[0].endswith("haproxy")}
    assert "bind" in Path(config).read_text()
    assert " local0 " not in Path(config).read_text()


def test_no_log_holds_the_text_of_a_user_even_where_its_answer_fails(
    guarded: RunningServer,
) -> None:
    ask(guarded, {"inputs": f"{SECRET} flew to Oslo ."})
    ask(guarded, {"inputs": [SECRET, 7]})
    call(f"{guarded.url}/predict", f'{{"inputs": "{SECRET}'.encode(), token=TOKEN)
    call(f"{guarded.url}/predict?text={quote(SECRET)}")
    call(f"{guarded.url}/{quote(SECRET)}")
    failed = ask(guarded, {"inputs": f"{SECRET} said {FATAL} ."})
    assert (failed.status, list(failed.body)) == (500, ["error"])
    logs = session(guarded) / "logs"

    def both_say_that_it_failed() -> bool:
        files = [guarded.log.parent, logs / "serve"]
        said = ["".join(text_of(each) for each in folder.rglob("*")) for folder in files]
        return all("a request failed: " in each for each in said)

    assert within(WAIT_S, both_say_that_it_failed)
    for file in [guarded.log, *logs.rglob("*")]:
        assert SECRET.split()[1] not in text_of(file), file


def text_of(file: Path) -> str:
    return file.read_text(errors="replace") if file.is_file() else ""
