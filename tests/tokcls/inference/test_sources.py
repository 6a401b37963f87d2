"""A model is found by folder, by alias or by version; what is not there is said with what is."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tokcls.errors import BundleError
from tokcls.inference.bundle import MANIFEST
from tokcls.inference.sources import CHAMPION, NothingToServe, SeveralToServe, locate


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

    registry.create_registered_model("second")
    registry.create_model_version("second", "somewhere")
    registry.set_registered_model_alias("second", CHAMPION, "1")
    with pytest.raises(SeveralToServe, match="models:/ner@champion, models:/second@champion"):
        locate()
    for name in ("ner", "second"):
        registry.delete_registered_model_alias(name, CHAMPION)
    with pytest.raises(NothingToServe, match=r"no registered model .* has the alias 'champion'"):
        locate()
