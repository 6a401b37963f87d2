"""The application that a Serve config file names: built from `args`, looked up by each replica."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import ValidationError

from tests.tokcls.inference.made import free_port
from tokcls.errors import BundleError
from tokcls.inference.app import build


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
def url(ray_cluster: None, bundle: Path) -> Iterator[str]:
    """Serve the bundle by name on the session's cluster."""
    from ray import serve

    port = free_port()
    try:
        serve.start(proxy_location="HeadOnly", http_options={"host": "127.0.0.1", "port": port})
        serve.run(build({"model": str(bundle), "threads": 1}), name="ner", route_prefix="/")
        yield f"http://127.0.0.1:{port}"
    finally:
        serve.shutdown()  # type: ignore[no-untyped-call]


@pytest.mark.alone
def test_a_replica_finds_the_model_that_it_was_told_the_name_of(url: str, bundle: Path) -> None:
    with urllib.request.urlopen(f"{url}/model", timeout=60) as answer:
        assert json.load(answer)["name"] == bundle.name
    body = json.dumps({"inputs": "Anna flew from Lisbon to Oslo ."}).encode()
    request = urllib.request.Request(f"{url}/predict", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        assert [one["word"] for one in json.load(answer)] == ["Anna", "Lisbon", "Oslo"]
