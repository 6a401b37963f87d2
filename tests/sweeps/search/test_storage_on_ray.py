"""Storage on a real Ray: a full one stops no trial, and one that a node does not see is found."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import ray

from sweeps.errors import ResourceError
from sweeps.search.events import State
from sweeps.search.newcomers import Newcomers
from sweeps.search.reach import NAME, Mark, check_reach, marked
from sweeps.search.storage import storage_at
from sweeps.search.tuner import search
from tests.stores import Bucket, tiny_disk
from tests.sweeps.search.slots_small import Small, Told, write_corpus
from tests.tiny import tiny_model

pytestmark = pytest.mark.alone

JOIN = 'mount -t tmpfs tmpfs "$1" && shift && exec "$@"'


def test_a_trial_of_two_workers_goes_on_though_nothing_can_be_saved(
    ray_cluster: None, tmp_path: Path
) -> None:
    top = tmp_path / "top"
    top.mkdir()
    small = Small(top, write_corpus(tmp_path / "corpus"), tiny_model("bert", tmp_path / "bert"))
    materials = small.materials("full", "resources.workers_per_trial=2", "train.epochs=2")
    with tiny_disk(tmp_path / "disk", "16k") as disk:
        materials = replace(materials, storage=storage_at(disk))
        (trial,) = search(materials, [Told()])
        assert materials.storage.files() == {}
    assert trial.state is State.FINISHED
    assert trial.retries == []
    first, second = trial.epochs
    assert first.note.startswith("the weights of epoch 1 are not saved: ")
    assert "the state after epoch 1 is not saved: " in second.note
    assert "the weights of epoch 2 are not saved: " in second.note


def test_a_trial_that_comes_to_a_node_which_does_not_see_the_storage_is_not_trained_there(
    ray_cluster: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    top = tmp_path / "top"
    top.mkdir()
    small = Small(top, write_corpus(tmp_path / "corpus"), tiny_model("bert", tmp_path / "bert"))
    materials = small.materials("blind", "search.retries=1")
    blind = storage_at(tmp_path / "another node's own disk")
    materials = replace(materials, storage=blind, mark=Mark(blind, "of the driver", within=0.0))
    told, look = Told(), Newcomers.look
    # The node is asked when the trial was there: as if both came at the same moment.
    monkeypatch.setattr(Newcomers, "look", lambda self: look(self) if told.retries else None)
    with pytest.raises(ResourceError, match=r"a node has joined .* does not see .*--resume"):
        search(materials, [told])
    (retry,) = told.retries
    assert re.search(r"node \S+ does not see what the driver writes there; set", retry.reason)
    assert [kind for kind, *_ in told.events] == ["started", "retried"]
    assert blind.files() == {}


def living() -> list[dict[str, Any]]:
    nodes: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]
    return [node for node in nodes if node["Alive"]]


@contextmanager
def blind_node(folder: Path) -> Iterator[None]:
    """Let a node without CPUs join that has a disk of its own where others have `folder`."""
    address = ray.get_runtime_context().gcs_address
    start = Path(sys.executable).with_name("ray")
    command = [str(start), "start", f"--address={address}", "--num-cpus=0", "--block"]
    before = len(living())
    process = subprocess.Popen(
        ["unshare", "-m", "sh", "-c", JOIN, "sh", str(folder), *command],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        until = time.monotonic() + 60
        while len(living()) == before and process.poll() is None and time.monotonic() < until:
            time.sleep(0.2)
        if process.poll() is not None:
            assert process.stderr is not None
            said = process.stderr.read()
            if "unshare" in said or "mount" in said:
                pytest.skip(f"a node with its own mounts is not allowed here: {said.strip()}")
            raise AssertionError(said)
        yield
    finally:
        process.terminate()
        process.communicate(timeout=30)
        until = time.monotonic() + 30
        while len(living()) > before and time.monotonic() < until:
            time.sleep(0.2)


def look_for(newcomers: Newcomers, *, seconds: float) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        newcomers.look()
        time.sleep(0.2)


def test_a_node_that_does_not_see_the_storage_is_named(
    ray_cluster: None, tmp_path: Path, bucket: Bucket
) -> None:
    shared, own = storage_at(tmp_path / "shared"), storage_at(tmp_path / "own")
    for storage in (shared, own):
        Path(storage.root).mkdir()
    check_reach(own)
    with marked(own) as mark, blind_node(Path(own.root)):
        newcomers = Newcomers(replace(mark, within=0.0))
        with pytest.raises(ResourceError, match="a node has joined that cannot be used"):
            look_for(newcomers, seconds=30)
        assert [*own.files()] == [NAME]
        check_reach(shared)
        check_reach(storage_at(bucket.part()))
        with pytest.raises(ResourceError, match=r"set output\.storage to a path") as refused:
            check_reach(own)
    address = living()[0]["NodeManagerAddress"]
    assert str(refused.value).startswith(f"{own} is not the same for all nodes")
    assert str(refused.value).count(f"node {address}: does not see what the driver writes") == 1
    assert own.files() == shared.files() == {}
