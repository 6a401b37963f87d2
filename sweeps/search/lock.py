"""One driver a sweep: who writes into a sweep's folder says so, and a second one is refused.

The lock is the kernel's (`flock` on a file in the folder): it ends with its process, however that
ends, and a network file system that knows locks holds it across machines. Where the file system
knows none, what the holder has written into the file must do: a process that is gone from this
machine holds nothing.
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TextIO

from sweeps.errors import LedgerError

NAME = ".driver"
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
PIDS = "/proc/self/ns/pid"


@dataclass(frozen=True)
class Holder:
    """A driver, as it is written into the lock's file.

    `boot` and `pids` tell machines, and containers of one machine, from others of the same name:
    the kernel's boot id and the namespace that `pid` is of; empty: not known.
    """

    pid: int
    host: str
    since: str
    boot: str = ""
    pids: str = ""

    @classmethod
    def this(cls) -> Holder:
        """This process, from now on."""
        boot = pids = ""
        with suppress(OSError):  # no Linux, or a /proc that is not to be read
            boot = BOOT_ID.read_text(encoding="ascii").strip()
            pids = os.readlink(PIDS)
        now = time.strftime("%Y-%m-%d %H:%M:%S")
        return cls(os.getpid(), socket.gethostname(), now, boot, pids)

    @property
    def gone(self) -> bool:
        """Whether it surely runs no more; of what is not seen from here nothing is known."""
        here = Holder.this()
        places = [(each.host, each.boot, each.pids) for each in (self, here)]
        if places[0] != places[1] or not all(places[0]):
            return False
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return True
        except PermissionError:
            return False
        return False


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Hold a sweep's folder, made if it is not there.

    Raises LedgerError saying who holds it, where and since when.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / NAME).open("a+", encoding="utf-8") as file:
        _take(file, folder)
        try:
            yield
        finally:
            _write(file, "")


def _take(file: TextIO, folder: Path) -> None:
    holder = _read(file)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise LedgerError(f"{_in_use(folder, holder)}; wait for it, or end it") from error
    except OSError as error:  # no locks here
        if holder is not None and not holder.gone:
            remedy = f"if it runs no more, delete {folder / NAME}"
            raise LedgerError(f"{_in_use(folder, holder)}; {remedy}") from error
    _write(file, json.dumps(asdict(Holder.this())) + "\n")


def _in_use(folder: Path, holder: Holder | None) -> str:
    who = "another sweep"  # which has not come to writing its name
    if holder is not None:
        who = f"the sweep of process {holder.pid} on {holder.host} since {holder.since}"
    return f"{folder} is in use by {who}"


def _read(file: TextIO) -> Holder | None:
    file.seek(0)
    try:
        return Holder(**json.loads(file.read()))
    except (ValueError, TypeError):  # nobody, or one that was killed while it wrote
        return None


def _write(file: TextIO, text: str) -> None:
    file.seek(0)
    file.truncate()
    file.write(text)
    file.flush()
    os.fsync(file.fileno())
