"""Look-ups against a small Hub on loopback: every way in which it can answer, or not."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import huggingface_hub
import pytest
from huggingface_hub.utils import _detect_agent

from tokcls.errors import BackboneError, CorpusError
from tokcls.hub import Lookup, in_cache, is_local, look_up, resolve_backbones, resolve_source
from tokcls.model.backbones import find_backbone

SHA = "0123456789abcdef0123456789abcdef01234567"
REPO = {"id": "org/there", "sha": SHA, "private": False, "tags": [], "downloads": 0, "likes": 0}


class Hub(ThreadingHTTPServer):
    """Answers by the last part of the name that is asked for, and counts what was asked."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[str] = []
        self.url = f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    server: Hub

    def do_GET(self) -> None:
        if not self.path.startswith(("/api/models/", "/api/datasets/")):
            self.reply(200, {"standardEnvVars": [], "harnesses": {}})
            return
        self.server.asked.append(self.path)
        name = self.path.rpartition("/")[2]
        if name == "there" or name == "conll2003":
            self.reply(200, REPO)
        elif name == "gated":
            self.reply(403, {"error": "gated"}, code="GatedRepo")
        elif name == "private":
            self.reply(401, {"error": "Invalid username or password."})
        elif name == "broken":
            self.reply(500, {"error": "down"})
        elif name == "portal":
            self.reply(200, None)
        else:
            self.reply(404, {"error": "Repository not found"}, code="RepoNotFound")

    def reply(self, status: int, body: object, *, code: str = "") -> None:
        raw = b"<html>log in</html>" if body is None else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(raw)))
        if code:
            self.send_header("X-Error-Code", code)
        self.end_headers()
        self.wfile.write(raw)

    def log_message(self, format: str, *args: object) -> None:
        return


def point_at(url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Send all requests there, those too whose address the client fixes when it is imported."""
    monkeypatch.setenv("HF_ENDPOINT", url)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", url)
    monkeypatch.setattr(huggingface_hub.constants, "AGENT_HARNESSES_PATH", str(tmp_path / "agents"))
    monkeypatch.setattr(_detect_agent, "_registry", None)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    server = Hub()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    point_at(server.url, monkeypatch, tmp_path)
    yield server
    huggingface_hub.close_session()
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def silent_hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """A host that accepts connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        point_at(f"http://127.0.0.1:{listener.getsockname()[1]}", monkeypatch, tmp_path)
        yield
        huggingface_hub.close_session()


@pytest.fixture
def no_hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A port on which nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    point_at(f"http://127.0.0.1:{port}", monkeypatch, tmp_path)


def cached_model(folder: Path, repo_id: str, *, weights: bool = True) -> Path:
    """Lay out a snapshot as the Hub client does."""
    repo = folder / f"models--{repo_id.replace('/', '--')}"
    snapshot = repo / "snapshots" / SHA
    snapshot.mkdir(parents=True)
    (repo / "refs").mkdir()
    (repo / "refs" / "main").write_text(SHA)
    (snapshot / "config.json").write_text("{}")
    if weights:
        (snapshot / "model.safetensors").write_bytes(b"")
    return folder


def test_a_reachable_id_comes_back_with_its_commit(hub: Hub) -> None:
    assert look_up(["org/there"], "model")[0] == Lookup("org/there", "reachable", SHA)
    assert look_up(["org/there"], "dataset")[0] == Lookup("org/there", "reachable", SHA)
    assert hub.asked == ["/api/models/org/there", "/api/datasets/org/there"]


def test_a_missing_model_is_an_error_that_says_to_check_the_spelling(hub: Hub) -> None:
    with pytest.raises(BackboneError, match=r"'org/bertt'.*check the spelling"):
        look_up(["org/bertt"], "model")[0]


def test_a_missing_data_set_is_a_corpus_error(hub: Hub) -> None:
    with pytest.raises(CorpusError, match=r"'org/nothing' .* no data set on the Hub"):
        look_up(["org/nothing"], "dataset")[0]


def test_a_gated_model_says_where_to_accept_and_how_to_log_in(hub: Hub) -> None:
    with pytest.raises(BackboneError, match=r"huggingface\.co/org/gated.*hf auth login"):
        look_up(["org/gated"], "model")[0]


def test_a_private_model_is_an_error_and_not_an_offline_case(hub: Hub) -> None:
    with pytest.raises(BackboneError, match=r"private.*hf auth login"):
        resolve_backbones(["org/private"], ["minilm-l3"])


@pytest.mark.parametrize(("name", "reason"), [("broken", "500"), ("portal", "not the Hub")])
def test_a_hub_that_is_unwell_counts_as_unreachable(hub: Hub, name: str, reason: str) -> None:
    found = look_up([f"org/{name}"], "model")[0]
    assert found.state == "unreachable"
    assert reason in found.reason
    assert hub.asked == [f"/api/models/org/{name}"]


def test_a_refused_connection_is_unreachable_at_once(no_hub: None) -> None:
    started = time.monotonic()
    assert look_up(["org/there"], "model")[0].state == "unreachable"
    assert time.monotonic() - started < 2


def test_a_silent_host_costs_one_time_out_for_all_names(silent_hub: None) -> None:
    started = time.monotonic()
    names = ["org/a", "org/b", "org/c", "org/d"]
    resolved = resolve_backbones(names, ["minilm-l6"], timeout=1.0)
    assert time.monotonic() - started < 2
    assert resolved.names == ("minilm-l6",)


@pytest.mark.slow
def test_the_standard_time_out_answers_within_six_seconds(silent_hub: None) -> None:
    started = time.monotonic()
    assert look_up(["org/there"], "model")[0].state == "unreachable"
    assert time.monotonic() - started < 6


def test_hf_hub_offline_is_read_at_the_call(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    found = look_up(["org/there"], "model")[0]
    assert found == Lookup("org/there", "unreachable", reason="HF_HUB_OFFLINE is set")
    assert hub.asked == []


def test_each_id_is_looked_up_once(hub: Hub) -> None:
    resolved = resolve_backbones(["org/there", "minilm-l6", "org/there"])
    assert hub.asked == ["/api/models/org/there"]
    assert resolved.names == ("org/there", "minilm-l6", "org/there")
    assert not resolved.offline
    assert not resolved.notes


def test_all_missing_names_are_reported_together(hub: Hub) -> None:
    with pytest.raises(BackboneError) as caught:
        resolve_backbones(["org/one", "org/there", "org/two"], ["minilm-l3"])
    assert "org/one" in str(caught.value)
    assert "org/two" in str(caught.value)


def test_one_unreachable_name_puts_stand_ins_in_place_of_all(hub: Hub, tmp_path: Path) -> None:
    resolved = resolve_backbones(
        ["org/there", "org/broken"], ["minilm-l6", "minilm-l3"], cache_dir=tmp_path
    )
    assert resolved.names == ("minilm-l6", "minilm-l3")
    assert resolved.offline
    assert "OFFLINE" in resolved.notes[0]
    assert "org/there, org/broken" in resolved.notes[0]


def test_a_cached_model_is_used_before_any_stand_in(no_hub: None, tmp_path: Path) -> None:
    cache = cached_model(tmp_path / "hub", "org/there")
    resolved = resolve_backbones(["org/there"], ["minilm-l3"], cache_dir=cache)
    assert resolved.names == ("org/there",)
    assert resolved.cached
    assert not resolved.offline
    assert "local cache" in resolved.notes[0]


def test_a_cached_model_is_found_without_asking_a_hub_that_is_known_to_be_silent(
    silent_hub: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = cached_model(tmp_path / "hub", "org/there")
    snapshot = cache / "models--org--there" / "snapshots" / SHA
    (snapshot / "config.json").write_text('{"model_type": "bert"}')
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(cache))
    began = time.monotonic()
    assert find_backbone("org/there", cached=True).folder == snapshot.resolve()
    assert time.monotonic() - began < 1.0
    with pytest.raises(BackboneError, match="not in the local cache"):
        find_backbone("org/other", cached=True)


def test_a_cached_config_without_weights_is_not_usable(tmp_path: Path) -> None:
    cache = cached_model(tmp_path, "org/there", weights=False)
    assert not in_cache("org/there", "model", cache_dir=cache)
    assert not in_cache("org/other", "model", cache_dir=cache)


def test_a_prepared_data_set_counts_as_cached(tmp_path: Path) -> None:
    (tmp_path / "org___my_words" / "default" / "0.0.0" / "abc").mkdir(parents=True)
    assert in_cache("org/MyWords", "dataset", cache_dir=tmp_path)
    assert not in_cache("org/other", "dataset", cache_dir=tmp_path)


def test_without_stand_ins_an_unreachable_name_is_an_error(no_hub: None, tmp_path: Path) -> None:
    with pytest.raises(BackboneError, match=r"cannot be reached.*model\.offline"):
        resolve_backbones(["org/there"], cache_dir=tmp_path)


def test_a_stand_in_must_be_on_this_machine(hub: Hub) -> None:
    with pytest.raises(BackboneError, match=r"model\.offline must name .* got org/there"):
        resolve_backbones(["minilm-l6"], ["org/there"])


def test_conll2003_is_asked_for_by_its_full_id(hub: Hub) -> None:
    assert resolve_source("conll2003", "bundled").names == ("conll2003",)
    assert hub.asked == ["/api/datasets/lhoestq/conll2003"]


def test_an_unreachable_corpus_is_replaced_loudly(no_hub: None, tmp_path: Path) -> None:
    resolved = resolve_source("conll2003", "bundled", cache_dir=tmp_path)
    assert resolved.names == ("bundled",)
    assert resolved.offline
    assert "data.source = bundled instead of conll2003" in resolved.notes[0]


def test_local_names_ask_nobody(hub: Hub, tmp_path: Path) -> None:
    assert resolve_source(str(tmp_path)).names == (str(tmp_path),)
    assert resolve_source("bundled").names == ("bundled",)
    assert is_local("minilm-l3")
    assert not is_local("bert-base-cased")
    assert hub.asked == []


@pytest.mark.parametrize("name", ["./nowhere", "/no/such/folder", "~/no-such-folder", "../none"])
def test_a_path_that_does_not_exist_is_no_hub_id(name: str) -> None:
    with pytest.raises(BackboneError, match="folder not found"):
        is_local(name)


def test_a_name_of_no_known_form_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="no Hub id"):
        is_local("a/b/c", kind="dataset")
    (tmp_path / "train.txt").touch()
    with pytest.raises(BackboneError, match="is a file where a folder is wanted"):
        is_local(str(tmp_path / "train.txt"))
    assert is_local(str(tmp_path / "train.txt"), kind="dataset")


@pytest.mark.parametrize("name", ["bert--base", "a..b", "x.git"])
def test_an_ill_formed_id_is_an_error_and_not_an_offline_case(
    name: str, no_hub: None, tmp_path: Path
) -> None:
    with pytest.raises(BackboneError, match=name):
        resolve_backbones([name], [str(tmp_path)])
