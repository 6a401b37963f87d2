"""Ctrl-C that is not lost while processes are started.

Around a fork Python calls hooks, logging's among them, and drops whatever they raise: an interrupt
that comes there is heard by nobody, and logging's lock stays taken.
"""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

AGAIN_S = 0.05
NAMES = ("_acquireLock", "_releaseLock")
"""logging's hooks, where they are written in Python: what runs in C is not interrupted"""
HOOKS = frozenset(getattr(logging, name).__code__ for name in NAMES if hasattr(logging, name))


@contextmanager
def heard_interrupts() -> Iterator[None]:
    """Let Ctrl-C raise KeyboardInterrupt here, after the hooks of a fork if it comes in one.

    Elsewhere than in the main thread nothing changes, since signals are heard there alone.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, _heard)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _heard(number: int, frame: FrameType | None) -> None:
    if not _in_hook(frame):
        raise KeyboardInterrupt
    again = threading.Timer(AGAIN_S, signal.raise_signal, (number,))
    again.daemon = True
    again.start()


def _in_hook(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code in HOOKS:
            return True
        frame = frame.f_back
    return False
