"""A server follows the champion, keeps what works, and drops no request while it changes."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.tokcls.inference.made import free_port, start
from tokcls.errors import BundleError
from tokcls.inference import fetched
from tokcls.inference import follow as module
from tokcls.inference.follow import Follower, Loaded, follow, load
from tokcls.inference.sources import Located, Unanswered, locate

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]

ALIAS = "models:/ner@champion"


def test_what_a_bundle_finds_is_compared_with_what_was_found_when_it_was_made(
    registry: Any,
) -> None:
    load(locate("models:/ner/1"), 1)
    load(locate("models:/ner/2"), 1)
    with pytest.raises(BundleError, match=r"finds other entities here .* in . of 8 texts"):
        load(locate("models:/ner/3"), 1)


def test_the_alias_is_followed_but_to_nothing_that_does_not_work(registry: Any) -> None:
    follower = Follower(ALIAS, 1)
    assert follower.look("1") is None

    def named(version: str, present: str = "1") -> Loaded | None:
        registry.set_registered_model_alias("ner", "champion", version)
        return follower.look(present)

    assert follower.refused is None
    with pytest.raises(BundleError, match="finds other entities here"):
        named("3")
    assert named("3") is None  # it is not tried again and again
    assert follower.refused is not None
    assert follower.refused["version"] == "3"
    assert "finds other entities here" in follower.refused["why"]
    with pytest.raises(BundleError, match=r"model\.onnx is not the file that was sealed"):
        named("4")
    with pytest.raises(BundleError, match="finds other entities here"):
        named("3")  # but after another was named
    loaded = named("2")
    assert loaded is not None
    assert loaded.located.version == "2"
    assert follower.refused is None
    assert loaded.predictor.predict_texts(["Anna flew to Oslo ."])[0]


def test_a_version_without_a_bundle_is_fetched_once(registry: Any, tmp_path: Path) -> None:
    (tmp_path / "model-5").mkdir()
    registry.create_model_version("ner", str(tmp_path / "model-5"))
    registry.set_registered_model_alias("ner", "champion", "5")
    follower = Follower(ALIAS, 1)
    with pytest.raises(BundleError, match=r"one bundle .* is expected"):
        follower.look("1")
    assert follower.look("1") is None


def test_a_version_that_fails_in_the_engine_is_tried_once(
    registry: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "check_parity", raising(RuntimeError("an engine's own")))
    registry.set_registered_model_alias("ner", "champion", "2")
    follower = Follower(ALIAS, 1)
    with pytest.raises(RuntimeError):
        follower.look("1")
    assert follower.look("1") is None


def test_what_does_not_answer_is_asked_again(
    registry: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry.set_registered_model_alias("ner", "champion", "2")
    follower = Follower(ALIAS, 1)
    with monkeypatch.context() as patch:
        patch.setattr(module, "version_of", raising(Unanswered("no registry")))
        for _ in range(2):
            with pytest.raises(Unanswered):
                follower.look("1")
    with monkeypatch.context() as patch:
        patch.setattr(module, "locate", raising(Unanswered("no store")))
        with pytest.raises(Unanswered):
            follower.look("1")
        assert follower.look("1") is None  # each time it might be downloaded whole
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + module.AGAIN_AFTER_S)
    assert follower.look("1") is not None


def raising(error: Exception) -> Callable[..., Any]:
    def called(*_: Any) -> Any:
        raise error

    return called


def test_what_was_fetched_is_gone_once_it_is_loaded_or_of_no_use(bundle: Path) -> None:
    good, bad = fetched.make_folder(), fetched.make_folder()
    shutil.copytree(bundle, good / "bundle")
    loaded = load(Located(good / "bundle", "ner", "1"), 1)
    assert loaded.predictor.predict_texts(["Anna flew to Oslo ."])[0]
    with pytest.raises(BundleError):
        load(Located(bad / "bundle", "ner", "1"), 1)
    assert not good.exists()
    assert not bad.exists()
    load(Located(bundle, "ner", "1"), 1)
    assert bundle.exists()  # it was not fetched


def test_whatever_is_wrong_is_said_once_and_ends_nothing(
    bundle: Path, caplog: pytest.LogCaptureFixture
) -> None:
    present = load(Located(bundle, "ner", "1"), 1)
    new = Loaded(Located(bundle, "ner", "2"), present.predictor)
    answers: list[Any] = [RuntimeError("no"), RuntimeError("no"), None, RuntimeError("no"), new]
    swapped = asyncio.Event()

    class Scripted(Follower):
        def look(self, present: str) -> Loaded | None:
            answer = answers.pop(0) if answers else None
            if isinstance(answer, Exception):
                raise answer
            return answer  # type: ignore[no-any-return]

    async def watch() -> list[Loaded]:
        got: list[Loaded] = []

        def swap(loaded: Loaded) -> None:
            got.append(loaded)
            swapped.set()

        watching = asyncio.create_task(
            follow(Scripted(ALIAS, 1), lambda: present, swap, every=0.01)
        )
        await asyncio.wait_for(swapped.wait(), 30)
        watching.cancel()
        return got

    assert asyncio.run(watch()) == [new]
    said = [record.message for record in caplog.records if "is not followed" in record.message]
    assert len(said) == 1
    assert "RuntimeError: no" in said[0]


@pytest.fixture
def url(registry: Any, tmp_path: Path) -> Iterator[str]:
    port = free_port()
    registry.set_registered_model_alias("ner", "challenger", "2")
    process = start([ALIAS, "--port", str(port), "--shadow", "challenger"], tmp_path)
    assert process.stdout is not None
    said = iter(process.stdout.readline, "ready; Ctrl-C stops it\n")
    try:
        assert any(line.startswith(f"following {ALIAS}") for line in list(said))
        yield f"http://127.0.0.1:{port}"
    finally:
        process.send_signal(signal.SIGINT)
        process.stdout.close()
        process.wait(timeout=30)


def asked(url: str, path: str, body: bytes | None = None) -> Any:
    headers = {"Content-Type": "application/json"} if body else {}
    with urllib.request.urlopen(
        urllib.request.Request(url + path, body, headers), timeout=30
    ) as it:
        return json.load(it)


def promote(*arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "sweeps.promote", *arguments],
        capture_output=True,
        text=True,
        env=os.environ,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.alone
def test_no_request_fails_while_the_champion_changes_and_a_challenger_is_compared(
    url: str, registry: Any
) -> None:
    body = json.dumps({"inputs": "Anna flew from Lisbon to Oslo ."}).encode()
    over, wrong, answered = threading.Event(), [], [0]

    def keep_asking() -> None:
        while not over.is_set():
            try:
                words = [one["word"] for one in asked(url, "/predict", body)]
            except OSError as error:
                wrong.append(str(error))
                return
            answered[0] += 1
            if words != ["Anna", "Lisbon", "Oslo"]:
                wrong.append(str(words))

    asking = [threading.Thread(target=keep_asking) for _ in range(4)]
    for each in asking:
        each.start()
    assert "champion: models:/ner/2 (before: 1)" in promote("models:/ner/2")
    until_version(url, "2")
    assert "champion: models:/ner/1 (before: 2)" in promote("models:/ner", "--rollback")
    until_version(url, "1")
    told = compared(url)
    assert asked(url, "/model")["refused"] is None
    registry.set_registered_model_alias("ner", "champion", "3")  # which finds something else
    assert refused(url)["version"] == "3"
    assert asked(url, "/model")["version"] == "1"
    over.set()
    for each in asking:
        each.join()
    assert wrong == []
    assert answered[0] > 50
    assert (told["version"], told["agreement"]) == ("2", 1.0)
    assert told["spans_both"] == 3 * told["texts"]
    assert told["spans_champion_only"] == told["spans_challenger_only"] == 0


def until_version(url: str, version: str) -> None:
    until = time.monotonic() + 30
    while asked(url, "/model")["version"] != version:
        assert time.monotonic() < until
        time.sleep(0.2)


def refused(url: str) -> Any:
    until = time.monotonic() + 30
    while (found := asked(url, "/model")["refused"]) is None:
        assert time.monotonic() < until
        time.sleep(0.2)
    return found


def compared(url: str) -> Any:
    """Wait until a challenger was compared with the champion; gives what the server says of it."""
    until = time.monotonic() + 30
    while not (told := asked(url, "/model")["challenger"]) or not told["texts"]:
        assert time.monotonic() < until
        time.sleep(0.1)
    return told
