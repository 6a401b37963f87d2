"""A cluster that was there before: code and backbones travel to it, and it is named when refused.

Its nodes cannot import the project, nor read the folder of the backbone while a trial is trained.
"""

from __future__ import annotations

import json
import platform
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import ray

from sweeps.search.shipping import FOLDER, digest_of, read_files
from tests.sweeps.run_made import Done, command, ended, environment, make_world
from tests.sweeps.search.cluster_two_nodes import ROOT, TwoNodes, two_nodes
from tests.tiny import examples
from tests.tokcls.inference.made import make_bundle

pytestmark = pytest.mark.alone


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TwoNodes]:
    with two_nodes(tmp_path_factory.mktemp("nodes")) as cluster:
        yield cluster


def test_a_job_trains_on_a_node_that_has_neither_code_nor_backbone(
    cluster: TwoNodes, tmp_path: Path
) -> None:
    world = make_world(tmp_path / "world")
    entry = ("env", f"--chdir={world}", f"PYTHONPATH={ROOT}", sys.executable, "-m", "sweeps.run")
    file = ("s.yaml", "search.trials=1", "labels.scheme=IOB2", "output.register_as=null")
    # These stand in the session's own environment as well, which Ray takes for a conflict.
    submitted = cluster.submit(*entry, *file, TOKENIZERS_PARALLELISM="true", HF_HUB_OFFLINE="1")
    with ended(submitted) as job:
        sent = cluster.cache("other") / FOLDER
        _until_sent(sent, job)
        (world / "bert").rename(world / "nobody-finds-it-here")
        _until_trained(world, job)
        (world / "nobody-finds-it-here").rename(world / "bert")  # bundling is the driver's node's
        out, err = job.communicate(timeout=300)
    assert job.returncode == 0, out + err
    (copy,) = (each for each in sent.iterdir() if not each.name.startswith("."))
    assert digest_of(read_files(copy)) == copy.name
    assert digest_of(read_files(world / "bert")) == copy.name
    assert not (cluster.cache("head") / FOLDER).exists()  # the driver's node used the folder itself
    assert len(list(world.glob("runs/small/*/bundle/tokcls.json"))) == 1


def test_texts_are_predicted_on_a_node_that_has_neither_code_nor_model(
    cluster: TwoNodes, tmp_path: Path
) -> None:
    bundle = make_bundle(tmp_path)
    (tmp_path / "in.txt").write_text("".join(" ".join(w) + "\n" for w, _ in examples(40)))
    entry = ("env", f"--chdir={tmp_path}", f"PYTHONPATH={ROOT}", sys.executable)
    predict = ("-m", "tokcls.predict", "--model", str(bundle), "--input", "in.txt", "--output")
    with ended(cluster.submit(*entry, *predict, "out.jsonl", "--ray")) as job:
        out, err = job.communicate(timeout=200)
    assert job.returncode == 0, out + err
    assert "40 texts in out.jsonl" in out + err
    here = command(tmp_path, *predict[2:], "here.jsonl", module="tokcls.predict")
    assert here.code == 0, here.err
    found, wanted = (
        [
            [(one["entity_group"], one["start"], one["end"]) for one in answer["entities"]]
            for answer in map(json.loads, (tmp_path / name).read_text().splitlines())
        ]
        for name in ("out.jsonl", "here.jsonl")
    )
    assert found == wanted
    assert any(found)


def _until_trained(world: Path, job: subprocess.Popen[str]) -> None:
    until = time.monotonic() + 200
    while not any('"ended"' in path.read_text() for path in world.glob("runs/*/*/ledger.jsonl")):
        assert job.poll() is None, "".join(job.communicate())
        assert time.monotonic() < until
        time.sleep(0.05)


def _until_sent(sent: Path, job: subprocess.Popen[str]) -> None:
    until = time.monotonic() + 200
    while not [each for each in sent.glob("*") if not each.name.startswith(".")]:
        assert job.poll() is None, "".join(job.communicate())
        assert time.monotonic() < until
        time.sleep(0.05)


@pytest.fixture(scope="module")
def joined(cluster: TwoNodes) -> dict[str, Any]:
    return cluster.run("join_twice", env=cluster.environment())


def test_the_code_travels_to_every_node_when_a_driver_joins(joined: dict[str, Any]) -> None:
    assert joined["joined"] is True
    assert len(joined["found"]) == 2
    for slot, corpus in joined["found"]:
        assert slot.endswith("sweeps/search/slot.py")
        assert corpus.endswith("tokcls/bundled/__init__.py")
        assert not slot.startswith(str(ROOT))


def test_a_cluster_of_another_ray_is_refused_with_both_versions(joined: dict[str, Any]) -> None:
    refused = joined["refused"]
    for part in ("Ray: 1.2.3", f"Ray: {ray.__version__}", platform.python_version(), "install"):
        assert part in refused
    assert len(refused.splitlines()) == 1


def test_a_cluster_without_the_token_is_refused_with_what_to_set(cluster: TwoNodes) -> None:
    # Ray asks once a second, twenty times by default.
    env = environment(HOME=str(cluster.folder), RAY_NUM_REDIS_GET_RETRIES="2")
    refused = str(cluster.run("join", env=env)["refused"])
    assert f"cannot use the Ray cluster at {cluster.address}" in refused
    assert "RAY_AUTH_MODE=token" in refused


def test_a_check_measures_on_the_cluster_and_leaves_nothing(
    cluster: TwoNodes, tmp_path: Path
) -> None:
    world = make_world(tmp_path / "world")
    there = {path.name for path in world.iterdir()}
    done = _ask(cluster, world, "--check", "--json")
    assert done.code == 0, done.err
    report = json.loads(done.out)
    assert report["slots"] == 1
    assert 0 < report["estimate"]["hours_expected"] <= report["estimate"]["hours_at_most"]
    assert report["estimate"]["backbones"]["./bert"]["words_per_second"] > 0
    assert {path.name for path in world.iterdir()} == there
    assert "joining Ray at" in done.err
    assert "Ray" not in done.out
    sent = list((cluster.cache("other") / FOLDER).iterdir())
    assert digest_of(read_files(world / "bert")) in {each.name for each in sent}


@pytest.mark.parametrize("asked", ["--check", "--quiet"])
def test_what_a_cluster_does_not_have_is_said_once_it_is_joined(
    cluster: TwoNodes, tmp_path: Path, asked: str
) -> None:
    world = make_world(tmp_path / "world")
    done = _ask(cluster, world, "resources.workers_per_trial=9", asked)
    assert done.code == 2, done.err
    assert "resources.workers_per_trial=9: a trial of 9 worker(s) with 1 CPU" in done.err
    assert "tokenising" not in done.err
    assert list(world.glob("runs/small/*")) == []


def _ask(cluster: TwoNodes, world: Path, *arguments: str) -> Done:
    given = ("s.yaml", *arguments, "--address", cluster.address)
    return command(world, *given, env=cluster.environment(PYTHONPATH=str(ROOT)), limit=120)
