"""A run is opened by one driver, here and in its storage, and leaves its record there."""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from pathlib import Path

import pytest

from sweeps.errors import LedgerError
from sweeps.search.heartbeat import NAME as DRIVER
from sweeps.search.heartbeat import Beat
from sweeps.search.ledger import NAME, Ledger
from sweeps.search.opened import Opened, opened
from sweeps.search.storage import storage_at, write_json
from sweeps.space.space import SearchSpace
from tests.stores import Bucket
from tests.sweeps.search.made_trials import make_space, make_trial


def space_in(folder: Path, runs: str, storage: str | None) -> SearchSpace:
    overrides = [f"output.folder={folder / runs}"]
    overrides += [f"output.storage={storage}"] if storage else []
    return make_space(folder, *overrides)


def begin(run: Opened) -> None:
    """Write what a driver writes when it starts a trial."""
    ledger = Ledger(run.place.folder)
    where = {"storage": run.place.where, "run_id": "r", "corpus": "c"}
    ledger.open_sweep(name="s", space="", space_hash="", **where)
    for listener in (ledger, *run.copies):
        listener.started(make_trial("t001"))


def test_a_run_without_a_storage_is_only_here(tmp_path: Path) -> None:
    space = space_in(tmp_path, "runs", None)
    with opened(space, "c", resume=False, say=print) as run:
        assert (run.history, list(run.copies)) == (None, [])
        begin(run)
    with opened(space, "c", resume=True, say=print) as again:
        assert again.place == run.place
        assert again.history is not None
        assert [trial.trial_id for trial in again.history.trials] == ["t001"]


def test_a_run_in_a_bucket_goes_on_on_a_machine_that_has_nothing_of_it(
    tmp_path: Path, bucket: Bucket
) -> None:
    uri = bucket.part()
    with opened(space_in(tmp_path, "here", uri), "c", resume=False, say=print) as run:
        begin(run)
        driver = json.loads(run.place.storage.read("driver.json") or b"")
        assert driver["token"]
    assert {*run.place.storage.files()} == {NAME}
    said: list[str] = []
    with opened(space_in(tmp_path, "there", uri), "c", resume=True, say=said.append) as again:
        assert again.place.folder == tmp_path / "there" / "s" / run.place.folder.name
        assert again.history is not None
        assert again.history.run_id == "r"
    assert said == [f"note: going on from the ledger's copy in {run.place.where}"]


def test_a_run_on_another_corpus_is_refused_from_the_copy_too(
    tmp_path: Path, bucket: Bucket
) -> None:
    uri = bucket.part()
    with opened(space_in(tmp_path, "here", uri), "c", resume=False, say=print) as run:
        begin(run)
    with (
        pytest.raises(LedgerError, match="its corpus was c and is now d"),
        opened(space_in(tmp_path, "there", uri), "d", resume=True, say=print),
    ):
        pass
    assert {*run.place.storage.files()} == {NAME}


@pytest.mark.parametrize("name", ["runs", "other_name"])
def test_a_storage_that_is_the_runs_own_folder_has_one_driver_and_no_copy(
    tmp_path: Path, name: str
) -> None:
    (tmp_path / "runs").mkdir()
    (tmp_path / "other_name").symlink_to(tmp_path / "runs")
    space = space_in(tmp_path, "runs", str(tmp_path / name))
    with opened(space, "c", resume=False, say=print) as run:
        begin(run)
        ledger = Ledger(run.place.folder)
        before = ledger.path.stat().st_ino
        for number in range(50):
            for listener in (ledger, *run.copies):
                listener.started(make_trial(f"t{number:03d}"))
        assert "driver.json" in run.place.storage
    assert ledger.path.stat().st_ino == before, "the ledger took its own place"
    assert len(ledger.path.read_text().splitlines()) == 52
    with opened(space, "c", resume=True, say=print) as again:
        assert again.history is not None


def test_a_driver_hears_that_it_was_followed(tmp_path: Path) -> None:
    space = space_in(tmp_path, "runs", str(tmp_path / "store"))
    with opened(space, "c", resume=False, say=print) as run:
        begin(run)
        assert not run.followed()
        another = Beat(7, "another-host", "2026-01-01 00:00:00", "its-token")
        write_json(run.place.storage, DRIVER, asdict(another))
        until = time.monotonic() + 10
        while not run.followed() and time.monotonic() < until:
            run.copies[0].started(make_trial("t002"))
            time.sleep(0.01)
        assert run.followed()


def test_a_run_that_is_refused_by_its_storage_leaves_no_folder(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "s").write_text("no folder")
    space = space_in(tmp_path, "runs", str(tmp_path / "store"))
    with (
        pytest.raises(LedgerError, match=r"output\.storage: .* cannot be used"),
        opened(space, "c", resume=False, say=print),
    ):
        pass
    assert list((tmp_path / "runs" / "s").iterdir()) == []


def fail_in(space: SearchSpace) -> None:
    with opened(space, "c", resume=False, say=print) as run:
        begin(run)
        raise ValueError("no")


def test_an_error_gives_the_run_free(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no"):
        fail_in(space_in(tmp_path, "runs", str(tmp_path / "store")))
    (run,) = storage_at(tmp_path / "store" / "s").folders()
    assert {*storage_at(tmp_path / "store" / "s" / run).files()} == {NAME}
