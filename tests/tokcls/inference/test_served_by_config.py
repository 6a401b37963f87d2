"""The application that a Serve config file names: built from `args`, looked up by each replica."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import ValidationError

from tests.tokcls.inference.made import free_port
from tokcls.errors import BundleError
from tokcls.inference.app import build
from tokcls.inference.config_file import config_text
from tokcls.inference.settings import Listening, Settings


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ({}, "model"),
        ({"model": "models:/ner@champion", "treads": 2}, "treads"),
        ({"model": "models:/ner@champion", "threads": 0}, "threads"),
    ],
)
def test_wrong_arguments_are_refused_by_name(args: dict[str, object], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        build(args)


def test_a_challenger_of_a_model_without_an_alias_is_refused() -> None:
    with pytest.raises(BundleError, match="'challenger' cannot be compared"):
        build({"model": "models:/ner/3", "shadow": "challenger"})
    build({"model": "models:/ner@champion", "shadow": "challenger"})


@pytest.fixture
def url(ray_cluster: None, bundle: Path, tmp_path: Path) -> Iterator[str]:
    """Deploy a written config file on the session's cluster, as its user would."""
    import ray
    from ray import serve

    port, file = free_port(), tmp_path / "ner.yaml"
    settings, listening = Settings(threads=1), Listening(port=port)
    file.write_text(config_text(str(bundle), settings, listening, file.name))
    dashboard = f"http://{ray.get_runtime_context().worker.node.address_info['webui_url']}"
    command = [str(Path(sys.executable).with_name("serve")), "deploy", str(file), "-a", dashboard]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stdout + done.stderr
        yield f"http://127.0.0.1:{port}"
    finally:
        serve.shutdown()  # type: ignore[no-untyped-call]


def asked(url: str, body: dict[str, object] | None = None, *, patience: float = 60.0) -> object:
    """Ask until there is an answer: `serve deploy` returns before replicas are up."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    until = time.monotonic() + patience
    while True:
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return json.load(answer)
        except urllib.error.URLError:
            if time.monotonic() > until:
                raise
            time.sleep(0.5)


@pytest.mark.alone
def test_serve_deploy_takes_the_written_file_and_replicas_find_the_model(
    url: str, bundle: Path
) -> None:
    about = asked(f"{url}/model")
    assert isinstance(about, dict)
    assert about["name"] == bundle.name
    found = asked(f"{url}/predict", {"inputs": "Anna flew from Lisbon to Oslo ."})
    assert isinstance(found, list)
    assert [one["word"] for one in found] == ["Anna", "Lisbon", "Oslo"]
