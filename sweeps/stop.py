"""How a command ends: Ctrl-C or SIGTERM takes this process and all below it, within seconds.

Linux only: it reads /proc and adopts orphans with prctl.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO

from tokcls.processes import end_children

GONE_WITHIN_S = 3.0
PR_SET_CHILD_SUBREAPER = 36  # <linux/prctl.h>


def adopt_orphans() -> None:
    """Let processes that lose their parent while Ray goes down become ours, to be found."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def stop_on_signal(err: TextIO, *, then: Callable[[], object] = lambda: None) -> threading.Event:
    """Let Ctrl-C or SIGTERM end this process and every process below it, with exit code 0.

    `then` is called when those below are gone.

    Python's own handlers wait until native code returns, and Ray's start can hold it for seconds.
    So a thread listens where the interpreter writes a signal's number as it comes. The event is
    set as soon as one came.
    """
    adopt_orphans()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: None)
    stopping = threading.Event()
    near, far = socket.socketpair()
    far.setblocking(False)
    signal.set_wakeup_fd(far.fileno())

    def listen() -> None:
        while near.recv(1)[0] not in (signal.SIGINT, signal.SIGTERM):
            pass
        stopping.set()
        # The far end must live as long as the thread that reads from the near one.
        far.close()
        with contextlib.suppress(OSError):  # the reader of our output may be gone
            print("stopping", file=err)
        end_children(within=GONE_WITHIN_S)
        then()
        os._exit(0)

    threading.Thread(target=listen, name="stop", daemon=True).start()
    return stopping


@contextmanager
def told_of_interrupt(tell: Callable[[], None]) -> Iterator[None]:
    """Call `tell` from a thread as soon as Ctrl-C comes, whoever handles it, and however late."""
    near, far = socket.socketpair()
    far.setblocking(False)
    before = signal.set_wakeup_fd(far.fileno(), warn_on_full_buffer=False)

    def listen() -> None:
        while number := near.recv(1):  # nothing comes any more once the far end is closed
            if number[0] == signal.SIGINT:
                tell()
                return

    listener = threading.Thread(target=listen, name="interrupt", daemon=True)
    listener.start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(before)
        far.close()
        listener.join()
        near.close()


@contextmanager
def interrupted_at_once() -> Iterator[None]:
    """Let Ctrl-C raise KeyboardInterrupt here, whoever else would handle it (in the main thread).

    Tune only takes note of the first one, which is no use while a callback of it waits.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
