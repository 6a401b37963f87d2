"""One driver a sweep, across machines: who writes into its storage says so again and again.

The kernel's lock (`lock`) ends with its process but reaches no bucket. So a driver keeps a small
file in the storage, `driver.json`, and writes it anew every few seconds. Whether it is still
written is seen by watching it, and its age is taken from the store's clock: clocks of machines
differ. A driver that finds another's name there has been taken for dead, and ends itself.
"""

from __future__ import annotations

import json
import secrets
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace

from sweeps.errors import LedgerError, SweepError
from sweeps.search.lock import Holder
from sweeps.search.storage import Storage, write_json

NAME = "driver.json"
EVERY_S, STALE_S = 10.0, 60.0
LOOK_S = 1.0


@dataclass(frozen=True)
class Beat:
    """What a driver writes: who it is, a token that no other has, and how often it has written."""

    pid: int
    host: str
    since: str
    token: str
    count: int = 0
    boot: str = ""
    pids: str = ""

    @property
    def holder(self) -> Holder:
        """The driver, as the lock of a folder knows it."""
        return Holder(self.pid, self.host, self.since, self.boot, self.pids)


class Heartbeat:
    """A driver's sign of life in `storage`; `lost` is why it must end, once it must."""

    def __init__(
        self,
        storage: Storage,
        *,
        end: Callable[[], None],
        every: float = EVERY_S,
        stale: float = STALE_S,
    ) -> None:
        self.storage, self.lost = storage, ""
        self._end, self._every, self._stale = end, every, stale
        self._beat = Beat(**asdict(Holder.this()), token=secrets.token_hex(8))
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)

    def take(self, say: Callable[[str], None]) -> None:
        """Become the sweep's driver, and go on saying so.

        Waits, at most as long as a living driver is silent, to see whether another one is dead.
        Raises LedgerError if it lives, OSError if the storage cannot be used.
        """
        other = self._read()
        if other is not None and not other.holder.gone:
            self._watch(other, say)
        write_json(self.storage, NAME, asdict(self._beat))
        self._thread.start()

    def _watch(self, other: Beat, say: Callable[[str], None]) -> None:
        age = self._age()
        left = self._stale - age
        who = f"the sweep of process {other.pid} on {other.host} since {other.since}"
        if left > 0:
            say(f"{who} was there {age:.0f} s ago; waiting {left:.0f} s to see if it still runs")
        until = time.monotonic() + left
        while time.monotonic() < until:
            time.sleep(min(LOOK_S, left))
            now = self._read()
            if now is None:
                return
            if now != other:
                raise LedgerError(
                    f"{self.storage} is in use by {who}: it wrote there just now; "
                    "wait for it, or end it"
                )

    def _age(self) -> float:
        """Seconds since the other driver wrote, on the store's clock."""
        name = f"{NAME}.{self._beat.token}"
        write_json(self.storage, name, "now")
        now, then = self.storage.stored(name), self.storage.stored(NAME)
        self.storage.delete(name)
        return max(0.0, now.written - then.written) if now and then else self._stale

    def _read(self) -> Beat | None:
        try:
            return Beat(**json.loads(self.storage.read(NAME) or b""))
        except (ValueError, TypeError):  # nobody, or not a driver's
            return None

    def ours(self) -> bool:
        """Look whether this driver is still the one; raise OSError if the storage fails."""
        found = None if self.lost else self._read()
        if found is not None and found.token != self._beat.token:
            self.lost = (
                f"{self.storage} was taken over by the sweep of process {found.pid} on "
                f"{found.host} since {found.since}, to which this one seemed dead; "
                "this one has ended, let the other go on"
            )
        return not self.lost

    def _run(self) -> None:
        while not self._closing.wait(self._every):
            with suppress(OSError):  # the ledger's copy says that the storage fails
                if not self.ours():
                    return self._end()
                self._beat = replace(self._beat, count=self._beat.count + 1)
                write_json(self.storage, NAME, asdict(self._beat))

    def close(self) -> None:
        """Give the sweep free."""
        self._closing.set()
        self._thread.join()
        with suppress(OSError):  # then it grows stale
            if self.ours():
                self.storage.delete(NAME)


@contextmanager
def driving(
    storage: Storage, say: Callable[[str], None], *, every: float = EVERY_S
) -> Iterator[Heartbeat]:
    """Be the one driver of a sweep's storage; raises LedgerError if another is, or takes over."""
    heartbeat = Heartbeat(storage, end=interrupt, every=every)
    try:
        heartbeat.take(say)
    except OSError as error:
        raise LedgerError(f"output.storage: {storage} cannot be used: {error}") from error
    try:
        yield heartbeat
    except (KeyboardInterrupt, SweepError):
        if heartbeat.lost:
            raise LedgerError(heartbeat.lost) from None
        raise
    finally:
        heartbeat.close()


def interrupt() -> None:
    """Stop the main thread as Ctrl-C does, wherever it waits."""
    main = threading.main_thread().ident
    assert main is not None
    signal.pthread_kill(main, signal.SIGINT)
