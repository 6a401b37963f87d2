"""A sweep whose trials are in a bucket goes on from there on a machine that has nothing of it."""

from __future__ import annotations

import re
import shutil

import pytest

from sweeps.search.storage import Storage, storage_at
from tests.stores import Bucket
from tests.sweeps.run_left import Resumed, Sweep
from tests.sweeps.run_made import command, interrupted, make_world, newest

pytestmark = pytest.mark.alone


@pytest.fixture(scope="module")
def root(bucket: Bucket) -> str:
    return bucket.part()


@pytest.fixture(scope="module")
def resumed(tmp_path_factory: pytest.TempPathFactory, root: str) -> Resumed:
    world = make_world(tmp_path_factory.mktemp("world"))
    arguments = ("s.yaml", f"output.storage={root}", "output.register_as=null", "train.epochs=3")
    first = interrupted(world, *arguments, at=lambda line: line.startswith("t002 epoch 1"))
    assert first.code == 130, first.err
    run = newest(world)
    after_first = Sweep(world, run, first).statuses_now()
    shutil.rmtree(world / "runs")
    done = command(world, *arguments, "--resume")
    assert done.code == 0, done.err
    return Resumed(world, run, done, first, done, (after_first, {}))


@pytest.fixture
def stored(resumed: Resumed, root: str) -> Storage:
    return storage_at(root).below("small", resumed.run.name)


def test_the_run_goes_on_under_its_name_from_the_copy(resumed: Resumed) -> None:
    assert newest(resumed.world) == resumed.run
    assert "going on from the ledger's copy in s3://sweeps/part-" in resumed.done.err
    assert re.search(r"t002 started, from epoch [12]: ", resumed.done.err)


def test_no_trial_and_no_epoch_is_run_again(resumed: Resumed) -> None:
    assert resumed.events.started == ["t001", "t002", "t002"]
    assert resumed.events.ended == ["t001", "t002"]
    assert resumed.events.epochs == {"t001": [1, 2, 3], "t002": [1, 2, 3]}


def test_mlflow_has_the_same_runs(resumed: Resumed) -> None:
    assert set(resumed.children) == {"t001", "t002"}
    assert resumed.parent.info.status == "FINISHED"
    assert resumed.steps("t001") == resumed.steps("t002") == [1, 2, 3]


def test_the_bucket_has_the_trials_and_the_whole_ledger(resumed: Resumed, stored: Storage) -> None:
    of_a_trial = ("model.safetensors", "model.json", "predictions.npz", "epoch.json")
    assert {*stored.files()} == {
        "ledger.jsonl",
        *(f"trials/{trial}/best/{name}" for trial in ("t001", "t002") for name in of_a_trial),
    }
    assert stored.read("ledger.jsonl") == (resumed.run / "ledger.jsonl").read_bytes()


def test_the_folder_has_the_bundle_and_no_trials(resumed: Resumed) -> None:
    assert (resumed.bundle / "model.onnx").is_file()
    assert not (resumed.run / "trials").exists()
