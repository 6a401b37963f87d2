"""What a server does before it answers: tries its port and its model, waits, and not for ever."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.tokcls.inference.made import free_port
from tokcls.errors import TokclsError
from tokcls.inference import fetched, server
from tokcls.inference.server import PortInUse, check_port, serve_model
from tokcls.inference.settings import Listening, Settings
from tokcls.inference.sources import Located


class Stopped(Exception):
    """Instead of Ray's start."""


def test_what_was_fetched_is_still_there_for_the_replicas_when_the_model_was_tried(
    bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(_: Listening) -> None:
        raise Stopped

    monkeypatch.setattr(server, "_start_ray", stop)
    monkeypatch.setattr(server.ray, "is_initialized", lambda: False)
    copy = fetched.make_folder() / "bundle"
    shutil.copytree(bundle, copy)
    with pytest.raises(Stopped):
        serve_model(Located(copy, "ner", "1"), Settings(1), Listening(port=free_port()))
    assert (copy / "model.onnx").is_file()
    fetched.remove_all()
    assert not copy.exists()


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """What Serve tells of the replicas, again and again: status and message, the last for ever."""
    saying: list[tuple[str, str]] = []

    def status() -> Any:
        now, message = saying.pop(0) if len(saying) > 1 else saying[0]
        ner = SimpleNamespace(message=message)
        told = SimpleNamespace(status=now, message="", deployments={"ner": ner})
        return SimpleNamespace(applications={"ner": told})

    monkeypatch.setattr(server.serve, "status", status)
    monkeypatch.setattr(server.ray, "available_resources", lambda: {"CPU": 2.0})
    return saying


def test_a_server_is_waited_for_until_its_replicas_are_there(told: list[tuple[str, str]]) -> None:
    told += [("DEPLOYING", ""), ("RUNNING", "")]
    server._await_replicas(Settings(1))
    assert told == [("RUNNING", "")]


def test_replicas_that_have_no_room_are_not_waited_for_without_end(
    told: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "STARTED_WITHIN_S", 0.0)
    told += [("DEPLOYING", "2 replicas wait for resources")]
    with pytest.raises(TokclsError) as raised:
        server._await_replicas(Settings(4, fewest=2, most=2))
    said = str(raised.value)
    assert "each of 2 replicas wants 4 CPUs and 0 GPUs, and 2 and 0 are free" in said
    assert "--replicas and --threads" in said
    assert "2 replicas wait for resources" in said


def test_replicas_that_cannot_start_end_the_wait_with_the_reason(
    told: list[tuple[str, str]],
) -> None:
    failed = "It failed to start:\n  File app.py, line 1\nBlankToken: SERVE_TOKEN is blank\n"
    told += [("DEPLOYING", ""), ("DEPLOY_FAILED", failed)]
    with pytest.raises(TokclsError, match=r"did not start: BlankToken: SERVE_TOKEN is blank$"):
        server._await_replicas(Settings(1))


@pytest.mark.alone
def test_where_ray_ran_already_what_it_has_counts_and_not_the_cpus_here(
    ray_cluster: None, bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    located, listening = Located(bundle, "ner", "1"), Listening(port=free_port())
    running = serve_model(located, Settings(3, "fp32"), listening)
    running.close()
    monkeypatch.setattr(server, "STARTED_WITHIN_S", 3.0)
    with pytest.raises(TokclsError, match=r"wants 64 CPUs and 0 GPUs, and 4 and 0 are free"):
        serve_model(located, Settings(64, "fp32"), listening)


@pytest.mark.parametrize("host", ["::1", "::"])
def test_what_is_no_ipv4_address_is_refused(host: str) -> None:
    with pytest.raises(PortInUse, match=rf"not usable on {host} .*an IPv4 address"):
        check_port(host, free_port())


def test_every_loopback_address_will_do() -> None:
    check_port("127.0.0.2", free_port())
