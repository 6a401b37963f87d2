"""One driver across machines: a living one is believed, a silent one followed, a lost one ends."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from sweeps.errors import LedgerError
from sweeps.search.heartbeat import NAME, Beat, Heartbeat, driving
from sweeps.search.lock import Holder
from sweeps.search.storage import Storage, storage_at, write_json
from tests.stores import Bucket

ROOT = Path(__file__).parents[3]
ELSEWHERE = Beat(7, "another-host", "2026-01-01 00:00:00", "its-token", 3)
DRIVE = """
import sys, time
from sweeps.errors import LedgerError
from sweeps.search.heartbeat import driving
from sweeps.search.storage import storage_at
try:
    with driving(storage_at(sys.argv[1]), print, every=0.1):
        print("drives", flush=True)
        time.sleep(60)
except LedgerError as error:
    print(error)
"""


@pytest.fixture(params=["folder", "bucket"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    if request.param == "folder":
        return storage_at(tmp_path)
    bucket: Bucket = request.getfixturevalue("bucket")
    return storage_at(bucket.part())


def never() -> None:
    raise AssertionError("this driver must go on")


def heartbeat(storage: Storage, *, stale: float = 60.0) -> Heartbeat:
    return Heartbeat(storage, end=never, every=0.05, stale=stale)


def read(storage: Storage) -> dict[str, object]:
    found: dict[str, object] = json.loads(storage.read(NAME) or b"{}")
    return found


def test_a_driver_says_who_it_is_again_and_again_and_leaves_nothing(storage: Storage) -> None:
    beating = heartbeat(storage)
    beating.take(print)
    first = read(storage)
    assert (first["pid"], first["host"]) == (os.getpid(), socket.gethostname())
    time.sleep(0.5)
    again = read(storage)
    assert again["token"] == first["token"]
    assert int(str(again["count"])) > int(str(first["count"]))
    assert beating.ours()
    beating.close()
    assert storage.files() == {}


def test_a_driver_that_writes_is_not_followed(storage: Storage) -> None:
    living = heartbeat(storage)
    living._beat = replace(living._beat, host="another-host")
    living.take(print)
    said: list[str] = []
    began = time.monotonic()
    who = rf"in use by the sweep of process {os.getpid()} on another-host since 20.*; wait for it"
    with pytest.raises(LedgerError, match=who):
        heartbeat(storage).take(said.append)
    assert time.monotonic() - began < 10
    assert living.ours()
    living.close()
    assert "waiting" in said[0]
    assert storage.files() == {}


def test_a_silent_driver_elsewhere_is_followed_after_a_while(tmp_path: Path) -> None:
    storage = storage_at(tmp_path)
    write_json(storage, NAME, asdict(ELSEWHERE))
    said: list[str] = []
    began = time.monotonic()
    follower = heartbeat(storage, stale=1.0)
    follower.take(said.append)
    assert 0.8 < time.monotonic() - began < 5
    assert read(storage)["pid"] == os.getpid()
    follower.close()
    assert len(said) == 1
    assert "process 7 on another-host since 2026-01-01 00:00:00 was there 0 s ago" in said[0]


def test_a_driver_that_was_silent_for_long_is_followed_at_once(tmp_path: Path) -> None:
    storage = storage_at(tmp_path)
    write_json(storage, NAME, asdict(ELSEWHERE))
    os.utime(tmp_path / NAME, (1.0, 1.0))
    said: list[str] = []
    follower = heartbeat(storage)
    follower.take(said.append)
    follower.close()
    assert said == []


def test_a_driver_of_this_machine_that_is_gone_is_followed_at_once(storage: Storage) -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    gone = replace(Holder.this(), pid=process.pid)
    write_json(storage, NAME, asdict(Beat(**asdict(gone), token="its-token")))
    follower = heartbeat(storage)
    follower.take(lambda text: never())
    assert follower.ours()
    assert read(follower.storage)["pid"] == os.getpid()
    follower.close()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"pid": 3}'])
def test_what_no_driver_wrote_holds_nothing(tmp_path: Path, text: str) -> None:
    (tmp_path / NAME).write_text(text)
    follower = heartbeat(storage_at(tmp_path))
    follower.take(lambda text: never())
    assert follower.ours()
    assert read(follower.storage)["pid"] == os.getpid()
    follower.close()


def test_a_driver_that_was_followed_ends_and_leaves_the_others_name(storage: Storage) -> None:
    command = [sys.executable, "-c", DRIVE, storage.root]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "drives\n"
        write_json(storage, NAME, asdict(ELSEWHERE))
        said, _ = process.communicate(timeout=20)
    assert process.returncode == 0
    assert "was taken over by the sweep of process 7 on another-host since 2026-01-01" in said
    assert read(storage)["token"] == ELSEWHERE.token


def test_a_storage_that_cannot_be_used_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a_file").write_text("no folder")
    with (
        pytest.raises(LedgerError, match=r"output.storage: .*a_file cannot be used"),
        driving(storage_at(tmp_path / "a_file"), print),
    ):
        pass
