"""A model is found by folder, by alias or by version; what is not there is said with what is."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.stores import BUCKET, s3_server
from tokcls.errors import BundleError
from tokcls.inference import fetched
from tokcls.inference.bundle import MANIFEST
from tokcls.inference.sources import (
    CHAMPION,
    NothingToServe,
    SeveralToServe,
    Unanswered,
    locate,
    using,
    version_of,
)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return tmp_path


def test_a_folder_is_taken_as_it_is(here: Path) -> None:
    (here / "bundle").mkdir()
    (here / "bundle" / MANIFEST).touch()
    located = locate("bundle")
    assert (located.folder, located.name, located.version) == (here / "bundle", "bundle", "")


def test_a_folder_that_is_no_bundle_is_refused(here: Path) -> None:
    with pytest.raises(BundleError, match=r"'nowhere' is not a bundle.* give a bundle's folder"):
        locate("nowhere")


@pytest.mark.parametrize("model", [None, f"models:/ner@{CHAMPION}"])
def test_without_a_database_none_is_made(here: Path, model: str | None) -> None:
    with pytest.raises(NothingToServe, match=r"no MLflow database at mlflow.db; run a sweep"):
        locate(model)
    assert not list(here.iterdir())


def test_without_mlflow_the_line_that_installs_it_is_given(here: Path) -> None:
    (here / "mlflow.db").touch()
    code = (
        "import sys; sys.modules['mlflow'] = None\n"
        "from tokcls.inference.sources import locate\n"
        "try: locate('models:/ner/1')\n"
        "except Exception as error: print(type(error).__name__, error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "BundleError registered models need MLflow: pip install" in done.stdout


@pytest.fixture
def bucket(here: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A registry whose files are in a bucket: version 1 is a bundle, version 2 is none.

    Gives the folder that temporary files go to.
    """
    import boto3
    import mlflow

    temporary = here / "temporary"
    temporary.mkdir()
    uri = f"sqlite:///{here / 'registry.db'}"
    with s3_server() as server:
        url = f"http://127.0.0.1:{server.port}"
        for name, value in {
            "MLFLOW_TRACKING_URI": uri,
            "MLFLOW_S3_ENDPOINT_URL": url,
            "AWS_DEFAULT_REGION": "us-east-1",
            "TMPDIR": str(temporary),
        }.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(tempfile, "tempdir", None)
        store: Any = boto3.client("s3", endpoint_url=url)
        client = mlflow.MlflowClient(uri, uri)
        client.create_registered_model("ner")
        for number, file in enumerate((f"artifacts/bundle/{MANIFEST}", "other"), 1):
            store.put_object(Bucket=BUCKET, Key=f"model-{number}/{file}", Body=b"it")
            client.create_model_version("ner", f"s3://{BUCKET}/model-{number}")
        yield temporary
    tempfile.tempdir = None


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_what_was_fetched_is_removed_when_told_and_when_it_is_no_bundle(bucket: Path) -> None:
    located = locate("models:/ner/1")
    assert (located.folder / MANIFEST).read_text() == "it"
    assert [located.folder.is_relative_to(each) for each in bucket.iterdir()] == [True]
    fetched.remove(located.folder)
    with pytest.raises(BundleError, match=r"one bundle .* is expected among its files, found 0"):
        locate("models:/ner/2")
    assert list(bucket.iterdir()) == []


@pytest.mark.slow
def test_what_was_fetched_is_gone_when_the_process_has_ended(bucket: Path) -> None:
    code = (
        "from tokcls.inference.sources import locate\n"
        "print(locate('models:/ner/1').folder.is_dir())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "True\n"
    assert list(bucket.iterdir()) == []


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_what_is_wrong_is_said_without_keys(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://ada:secret@127.0.0.1:1")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    for ask in (locate, version_of):
        with pytest.raises(Unanswered, match=r"registry http://127.0.0.1:1 did not") as raised:
            ask(f"models:/ner@{CHAMPION}")
        assert "secret" not in str(raised.value)


@pytest.mark.slow
def test_a_registry_that_is_not_there_is_told_within_seconds(here: Path) -> None:
    code = "from tokcls.inference.sources import locate\nlocate()"
    settings = {
        name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_HTTP")
    }
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env=settings | {"MLFLOW_TRACKING_URI": "http://127.0.0.1:1"},
        timeout=60,
    )
    assert "the model registry http://127.0.0.1:1 did not answer" in done.stderr


def test_stores_are_used_one_thread_at_a_time() -> None:
    told: list[str] = []
    mlflow: Any = SimpleNamespace(
        set_tracking_uri=lambda uri: told.append(uri or ""), set_registry_uri=lambda uri: None
    )
    inside, free = threading.Event(), threading.Event()

    def first() -> None:
        with using(mlflow, "one"):
            inside.set()
            free.wait(20)

    def second() -> None:
        with using(mlflow, "two"):
            pass

    threads = [threading.Thread(target=each) for each in (first, second)]
    threads[0].start()
    inside.wait(20)
    threads[1].start()
    threads[1].join(0.1)
    assert told == ["one"]
    free.set()
    for each in threads:
        each.join()
    assert told == ["one", "", "two", ""]


@pytest.fixture
def registry(here: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A real registry with two versions of `ner`, whose bundles lie below other files."""
    import mlflow

    uri = f"sqlite:///{here / 'registry.db'}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    client = mlflow.MlflowClient(uri, uri)
    client.create_registered_model("ner")
    for number in (1, 2):
        top = here / f"model-{number}"
        (top / "artifacts" / "bundle").mkdir(parents=True)
        (top / "MLmodel").touch()
        (top / "artifacts" / "bundle" / MANIFEST).write_text(str(number))
        client.create_model_version("ner", str(top))
    client.set_registered_model_alias("ner", CHAMPION, "2")
    return client


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_registered_model_is_found_and_what_is_missing_is_said(registry: Any) -> None:
    for model, version in (
        (None, "2"),
        (f"models:/ner@{CHAMPION}", "2"),
        ("models:/ner/1", "1"),
    ):
        located = locate(model)
        assert (located.name, located.version) == ("models:/ner", version)
        assert (located.folder / MANIFEST).read_text() == version

    for model, message in (
        ("models:/other/1", "no model 'other' is registered in sqlite.*registered are: ner"),
        ("models:/ner/7", "has no version 7; its versions: 1, 2"),
        ("models:/ner@best", r"no alias 'best'; its aliases: champion \(version 2\)"),
        ("models:/ner", "must be models:/NAME@ALIAS or models:/NAME/VERSION"),
    ):
        with pytest.raises(BundleError, match=message):
            locate(model)

    with pytest.MonkeyPatch.context() as patch:
        patch.delattr("mlflow.MlflowClient.search_registered_models")  # one model is asked for
        assert version_of(f"models:/ner@{CHAMPION}") == "2"

    registry.create_registered_model("second")
    registry.create_model_version("second", "somewhere")
    registry.set_registered_model_alias("second", CHAMPION, "1")
    with pytest.raises(SeveralToServe, match="models:/ner@champion, models:/second@champion"):
        locate()
    for name in ("ner", "second"):
        registry.delete_registered_model_alias(name, CHAMPION)
    with pytest.raises(NothingToServe, match=r"no registered model .* has the alias 'champion'"):
        locate()
