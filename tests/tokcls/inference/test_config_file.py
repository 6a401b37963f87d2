"""The file for `serve deploy` that `sweeps.serve --write-config` writes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from ray.serve.schema import ServeDeploySchema

from tokcls.inference.config_file import APPLICATION, config_text
from tokcls.inference.settings import Listening, Settings

MODEL = "models:/ner@champion"


def test_ray_takes_the_file_and_it_says_what_was_asked_for() -> None:
    settings = Settings(threads=2, engine="int8", fewest=1, most=3)
    text = config_text(MODEL, settings, Listening(), "ner.yaml")
    assert text.startswith("# serve deploy ner.yaml")
    config = ServeDeploySchema.model_validate(yaml.safe_load(text))
    (application,) = config.applications
    assert application.import_path == APPLICATION
    assert application.args == {"model": MODEL, "engine": "int8", "threads": 2}
    (deployment,) = application.deployments
    assert deployment.autoscaling_config["max_replicas"] == 3  # type: ignore[index]
    assert deployment.ray_actor_options.num_cpus == 2  # type: ignore[union-attr]


def test_one_replica_is_not_scaled_and_has_its_gpu() -> None:
    plain = yaml.safe_load(
        config_text(MODEL, Settings(4, "torch", gpus=1), Listening("0.0.0.0", 80), "x")
    )
    (deployment,) = plain["applications"][0]["deployments"]
    assert deployment["num_replicas"] == 1
    assert deployment["ray_actor_options"] == {"num_cpus": 4, "num_gpus": 1}


def test_a_cluster_is_not_told_of_the_cpus_of_this_machine() -> None:
    text = config_text(MODEL, Settings(), Listening(), "ner.yaml")
    (application,) = yaml.safe_load(text)["applications"]
    assert application["args"] == {"model": MODEL, "engine": "auto"}
    assert application["deployments"][0]["ray_actor_options"]["num_cpus"] == 1


def test_it_says_where_a_token_is_read_and_holds_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERVE_TOKEN", "s3same")
    text = config_text(MODEL, Settings(), Listening(), "ner.yaml")
    assert "# SERVE_TOKEN" in text
    assert "s3same" not in text


@pytest.mark.slow
def test_the_command_writes_it_and_starts_nothing(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "sweeps.serve", MODEL, "--write-config", "ner.yaml"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "serve deploy ner.yaml" in done.stdout
    config = yaml.safe_load((tmp_path / "ner.yaml").read_text())
    ServeDeploySchema.model_validate(config)
    assert "threads" not in config["applications"][0]["args"]
    assert [path.name for path in tmp_path.iterdir()] == ["ner.yaml"]


@pytest.mark.slow
def test_a_folder_is_named_from_the_root_since_the_server_starts_elsewhere(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "sweeps.serve", "bundle", "--write-config", "ner.yaml"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, timeout=60)
    (application,) = yaml.safe_load((tmp_path / "ner.yaml").read_text())["applications"]
    assert application["args"]["model"] == str(tmp_path.resolve() / "bundle")
