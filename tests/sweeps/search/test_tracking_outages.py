"""Stores that fail in every way: in the end each run and each point is there, and there once."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

import sweeps.search.background as background_module
import sweeps.search.tracking as tracking_module
from sweeps.errors import RefusedError
from sweeps.search.background import InBackground
from sweeps.search.shown import End, SweepRun
from sweeps.search.tracking import Tracker
from tests.sweeps.search.made_trials import make_trial
from tests.sweeps.search.test_tracking import closed_port, over
from tests.sweeps.search.told_script import BEGAN, SWEEP, Faulty, recorded, script, the_end

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with its tables and its experiment, to be copied: making it takes seconds."""
    path = tmp_path_factory.mktemp("empty") / "mlflow.db"
    Tracker(f"sqlite:///{path}", "e", SWEEP).connect()
    return path


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background_module, "SHORTEST_WAIT_S", 0.05)
    monkeypatch.setattr(background_module, "HURRIED_WAIT_S", 0.05)
    monkeypatch.setattr(tracking_module, "LOOK_AGAIN_S", 0.0)


def play(database: Path, at: int = 0, *, done: bool = False) -> int:
    """Play the script step by step against a store whose call `at` fails; count the calls."""
    tracker = Tracker(f"sqlite:///{database}", "e", SWEEP)
    tracker.connect()
    tracker._client = Faulty(tracker._client, at, done=done)
    told = InBackground(tracker)
    for step in script():
        step(told)
        assert told.settle(within=20) == []
    assert told.finish(the_end(), within=20) == []
    return int(tracker._client.calls)


@pytest.fixture(scope="module")
def undisturbed(empty: Path) -> dict[str, Any]:
    database = empty.with_name("undisturbed.db")
    shutil.copy(empty, database)
    play(database)
    return recorded(database)


def test_the_script_leaves_what_it_tells(undisturbed: dict[str, Any]) -> None:
    assert [run[:2] for run in undisturbed["runs"]] == [
        ("s", "FINISHED"),
        ("t001", "FINISHED"),
        ("t002", "FAILED"),
    ]
    f1 = [row[1:] for row in undisturbed["metrics"] if row[:2] == ("t001", "val_f1")]
    assert [(at, step) for _, _, at, step in f1] == [
        (round(BEGAN + 60 * step) * 1000, step) for step in (1, 2, 3)
    ]


@pytest.mark.parametrize("done", [False, True], ids=["undone", "answer lost"])
def test_whichever_call_fails_the_record_is_that_of_an_undisturbed_sweep(
    empty: Path, tmp_path: Path, undisturbed: dict[str, Any], done: bool
) -> None:
    at, calls = 1, 1
    while at <= calls:
        database = tmp_path / f"{at}.db"
        shutil.copy(empty, database)
        calls = max(calls, play(database, at, done=done))
        assert recorded(database) == undisturbed, f"call {at}"
        at += 1
    assert calls >= 15


def test_a_database_that_is_locked_for_a_while_loses_nothing(
    empty: Path, tmp_path: Path, undisturbed: dict[str, Any]
) -> None:
    database = tmp_path / "mlflow.db"
    shutil.copy(empty, database)
    tracker = Tracker(f"sqlite:///{database}", "e", SWEEP)
    tracker.connect()
    told = InBackground(tracker)
    assert told.settle(within=20) == []
    other = sqlite3.connect(database)
    other.execute("begin exclusive")
    began = time.monotonic()
    for step in script():
        step(told)
    assert time.monotonic() - began < 1
    assert told.settle(within=0.5) == ["t001", "t002"]
    other.rollback()
    other.close()
    assert told.finish(the_end(), within=30) == []
    assert recorded(database) == undisturbed


FULL = """
import resource, sys
from pathlib import Path
from tests.sweeps.search import test_tracking_outages as outages
import sweeps.search.background as background
background.HURRIED_WAIT_S = background.SHORTEST_WAIT_S = 0.05
database = Path(sys.argv[1])
tracker = outages.Tracker(f"sqlite:///{database}", "e", outages.SWEEP)
tracker.connect()
told = outages.InBackground(tracker)
resource.setrlimit(resource.RLIMIT_FSIZE, (1024, resource.RLIM_INFINITY))  # no file may grow
for step in outages.script():
    step(told)
assert told.settle(within=1), "nothing can be written"
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
assert told.finish(outages.the_end(), within=30) == []
"""


def test_a_full_disk_that_is_freed_loses_nothing(
    empty: Path, tmp_path: Path, undisturbed: dict[str, Any]
) -> None:
    database = tmp_path / "mlflow.db"
    shutil.copy(empty, database)
    run = subprocess.run(
        [sys.executable, "-c", FULL, str(database)],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[3],
        timeout=120,
    )
    assert run.returncode == 0, run.stderr
    assert recorded(database) == undisturbed


def test_a_driver_that_dies_after_any_call_finds_its_runs_again(
    empty: Path, tmp_path: Path, undisturbed: dict[str, Any]
) -> None:
    # The calls up to there are carried out, and nothing is known of them but the sweep's id.
    for at in (1, 2, 5, 12):
        database = tmp_path / f"{at}.db"
        shutil.copy(empty, database)
        first = Tracker(f"sqlite:///{database}", "e", SWEEP)
        first.connect()
        first._client = Faulty(first._client, at, done=True, dead=True)
        told = InBackground(first)
        for step in script():
            step(told)
            if told.settle(within=0.3):
                break
        assert told.finish(End(0.0), within=0) != []
        again = SweepRun("s", "id", params=SWEEP.params, tags=SWEEP.tags, resumed=True)
        second = InBackground(Tracker(f"sqlite:///{database}", "e", again))
        for step in script():
            step(second)
        assert second.finish(the_end(), within=20) == []
        assert recorded(database) == undisturbed, f"call {at}"


def test_a_run_that_was_deleted_is_refused_and_no_other(empty: Path, tmp_path: Path) -> None:
    database = tmp_path / "mlflow.db"
    shutil.copy(empty, database)
    tracker = Tracker(f"sqlite:///{database}", "e", SWEEP)
    tracker.open()
    for name in ("t001", "t002"):
        tracker.write(make_trial(name))
    tracker._client.delete_run(tracker.run_of("t001"))
    with pytest.raises(RefusedError, match="active"):
        tracker.write(make_trial("t001", [0.5]))
    tracker.write(over("t002", [0.5]))
    tracker.close(End(BEGAN))


@contextmanager
def hanging() -> Iterator[str]:
    """A server that takes every call and never answers."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


def test_a_server_that_hangs_keeps_neither_the_sweep_nor_its_end_waiting() -> None:
    with hanging() as uri:
        told = InBackground(Tracker(uri, "e", SWEEP))
        began = time.monotonic()
        for step in script():
            step(told)
        assert time.monotonic() - began < 0.5
        missing = told.finish(End(BEGAN), within=1.0)
        assert time.monotonic() - began < 2.5
    assert missing == ["the sweep's own run", "t001", "t002", "the sweep's end"]


@contextmanager
def mlflow_server(folder: Path, port: int) -> Iterator[str]:
    """A real server on one database; killed -9, all its processes, at the end of the block."""
    command = ["server", "--backend-store-uri", f"sqlite:///{folder / 'mlflow.db'}"]
    command += ["--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    log = (folder / "server.log").open("ab")
    server = subprocess.Popen(
        [sys.executable, "-m", "mlflow", *command],
        cwd=folder,
        stdout=log,
        stderr=log,
        start_new_session=True,
    )
    try:
        for _ in range(600):
            if _answers(port):
                break
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}"
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()
        log.close()


def _answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 0.2).close()
    except OSError:
        return False
    return True


def test_a_server_that_is_killed_and_comes_back_has_all_that_it_missed(
    empty: Path, tmp_path: Path, undisturbed: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    database = tmp_path / "mlflow.db"
    shutil.copy(empty, database)
    port = closed_port()
    steps = script()
    with ExitStack() as running:
        uri = running.enter_context(mlflow_server(tmp_path, port))
        tracker = Tracker(uri, "e", SWEEP)
        tracker.connect()
        told = InBackground(tracker)
        for step in steps[:4]:
            step(told)
        assert told.settle(within=60) == []
        steps[4](told)
        steps[5](told)  # the server dies while these are on their way
        time.sleep(0.03)
    for step in steps[6:]:
        step(told)
    assert set(told.settle(within=1)) & {"t001", "t002"}
    with mlflow_server(tmp_path, port):
        assert told.finish(the_end(), within=60) == []
    assert recorded(database) == undisturbed
    said = [one.getMessage() for one in caplog.records if one.name.startswith("sweeps")]
    assert len([line for line in said if "cannot be written" in line]) == 1
    assert len([line for line in said if "answers again" in line]) == 1
