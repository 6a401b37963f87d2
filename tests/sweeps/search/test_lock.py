"""One driver a sweep: the second is refused and told by whom; a killed one holds nothing."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

import sweeps.search.lock as lock_module
from sweeps.errors import LedgerError
from sweeps.search.lock import NAME, Holder, held

ROOT = Path(__file__).parents[3]
HOLD = """
import sys
from pathlib import Path
from sweeps.search.lock import held
with held(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@contextmanager
def other_driver(folder: Path) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder)],
        cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        try:
            yield process
        finally:
            process.kill()


def test_a_second_driver_is_refused_and_told_who_holds_the_folder(tmp_path: Path) -> None:
    with other_driver(tmp_path) as process:
        who = rf"process {process.pid} on {socket.gethostname()} since 20\d\d-.*; wait for it"
        with pytest.raises(LedgerError, match=who), held(tmp_path):
            pass


def test_the_lock_of_a_killed_driver_is_free(tmp_path: Path) -> None:
    with other_driver(tmp_path) as process:
        process.kill()
        process.wait()
    assert json.loads((tmp_path / NAME).read_text())["pid"] == process.pid
    with held(tmp_path):
        assert json.loads((tmp_path / NAME).read_text())["pid"] == os.getpid()


def test_a_folder_is_made_held_and_free_again(tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "s"
    for _ in range(2):
        with held(folder):
            assert (folder / NAME).read_text()
        assert (folder / NAME).read_text() == ""


def test_a_folder_is_free_after_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no"), held(tmp_path):
        raise ValueError("no")
    with held(tmp_path):
        pass


@pytest.fixture
def no_locks(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system that knows no locks."""

    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, "no locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)


def written(folder: Path, holder: Holder) -> None:
    (folder / NAME).write_text(json.dumps(asdict(holder)))


def dead() -> Holder:
    """A process of this machine that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return replace(Holder.this(), pid=process.pid)


@pytest.mark.usefixtures("no_locks")
def test_without_locks_a_living_holder_is_believed(tmp_path: Path) -> None:
    written(tmp_path, Holder.this())
    with pytest.raises(LedgerError, match=rf"if it runs no more, delete .*{NAME}"), held(tmp_path):
        pass


@pytest.mark.usefixtures("no_locks")
def test_without_locks_a_holder_elsewhere_is_believed(tmp_path: Path) -> None:
    written(tmp_path, replace(dead(), pid=1, host="another-host"))
    with pytest.raises(LedgerError, match="process 1 on another-host"), held(tmp_path):
        pass


@pytest.mark.usefixtures("no_locks")
def test_without_locks_a_dead_holder_of_this_host_is_followed(tmp_path: Path) -> None:
    written(tmp_path, dead())
    with held(tmp_path):
        assert json.loads((tmp_path / NAME).read_text())["pid"] == os.getpid()


@pytest.mark.usefixtures("no_locks")
@pytest.mark.parametrize(
    "elsewhere",
    [{"boot": "of another"}, {"pids": "pid:[1]"}, {"boot": "", "pids": ""}],
    ids=["another machine of that name", "another container", "from before they were written"],
)
def test_without_locks_a_process_that_is_not_seen_from_here_is_believed(
    tmp_path: Path, elsewhere: dict[str, Any]
) -> None:
    written(tmp_path, replace(dead(), **elsewhere))
    with pytest.raises(LedgerError, match="if it runs no more, delete"), held(tmp_path):
        pass


def test_nobody_is_gone_where_machines_cannot_be_told_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert dead().gone
    monkeypatch.setattr(lock_module, "BOOT_ID", tmp_path / "none")
    assert not dead().gone


@pytest.mark.usefixtures("no_locks")
@pytest.mark.parametrize("text", ["", "{", "[]", '{"pid": 3}'])
def test_what_no_driver_wrote_holds_nothing(tmp_path: Path, text: str) -> None:
    (tmp_path / NAME).write_text(text)
    with held(tmp_path):
        assert json.loads((tmp_path / NAME).read_text())["pid"] == os.getpid()
