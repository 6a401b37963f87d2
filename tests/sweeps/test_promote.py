"""`python -m sweeps.promote`: what is champion is chosen by hand, and only what works here."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.tokcls.inference.made import make_bundle
from tokcls.inference.bundle import read_manifest, seal
from tokcls.inference.parity import KEY, record
from tokcls.inference.predictor import Predictor

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_bundle(tmp_path_factory.mktemp("made"))


def promote(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "sweeps.promote", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        env=os.environ | {"MLFLOW_TRACKING_URI": f"sqlite:///{folder / 'mlflow.db'}"},
    )


def aliases(folder: Path) -> dict[str, str]:
    from mlflow.tracking import MlflowClient

    client: Any = MlflowClient(f"sqlite:///{folder / 'mlflow.db'}")
    return {name: str(n) for name, n in client.get_registered_model("ner").aliases.items()}


def test_bundles_become_versions_and_the_one_before_can_come_back(
    bundle: Path, tmp_path: Path
) -> None:
    for version, before in (("1", "none"), ("2", "1")):
        done = promote(tmp_path, str(bundle), "--name", "ner")
        assert done.returncode == 0, done
        assert done.stdout == f"champion: models:/ner/{version} (before: {before})\n"
        assert done.stderr == f"trying {bundle}\n"
    assert aliases(tmp_path) == {"champion": "2", "previous": "1"}
    back = promote(tmp_path, "models:/ner", "--rollback")
    again = "--rollback again makes {} it again\n"
    assert back.stdout == f"champion: models:/ner/1 (before: 2); {again.format(2)}"
    assert aliases(tmp_path) == {"champion": "1", "previous": "2"}
    forth = promote(tmp_path, "models:/ner", "--rollback")
    assert forth.stdout == f"champion: models:/ner/2 (before: 1); {again.format(1)}"
    assert aliases(tmp_path) == {"champion": "2", "previous": "1"}
    promote(tmp_path, "models:/ner", "--rollback")
    same = promote(tmp_path, "models:/ner/1")
    assert same.stdout == "champion: models:/ner/1 (before: 1)\n"
    for unclear in (("models:/ner",), ("models:/ner/2", "--rollback")):
        assert "name the " in promote(tmp_path, *unclear).stderr
    missing = promote(tmp_path, "models:/ner/7")
    assert missing.returncode == 2
    assert "models:/ner/7" in missing.stderr or "version 7" in missing.stderr.lower()
    assert aliases(tmp_path)["champion"] == "1"


def test_a_bundle_that_does_not_work_here_is_not_promoted(bundle: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(bundle, broken)
    (broken / "model.onnx").write_bytes(b"none")
    done = promote(tmp_path, str(broken), "--name", "ner")
    assert done.returncode == 2
    assert "is not the file that was sealed" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "mlflow.db").exists()


def test_a_version_that_finds_something_else_here_is_not_promoted(
    bundle: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    shutil.copytree(bundle, other)
    manifest, good = read_manifest(other), record(Predictor.from_bundle(bundle))
    for found in (good["found"], [[]] * len(good["found"])):
        seal(other, replace(manifest, receipt={KEY: good | {"found": found}}))
        done = promote(tmp_path, str(other), "--name", "ner")
    assert done.returncode == 2
    assert "finds other entities here" in done.stderr
    assert aliases(tmp_path) == {"champion": "1"}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("models:/ner/3",), "there is no MLflow database at"),
        (("models:/ner@champion",), "must be models:/NAME/VERSION"),
        (("models:/ner/3", "--name", "ner"), "takes no --name"),
        (("models:/ner", "--rollback"), "there is no MLflow database at"),
        (("somewhere",), "say with --name"),
        (("somewhere", "--name", "ner"), "is not a bundle"),
    ],
)
def test_what_is_not_clear_is_said(tmp_path: Path, arguments: tuple[str, ...], said: str) -> None:
    done = promote(tmp_path, *arguments)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []
