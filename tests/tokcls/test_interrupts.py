"""An interrupt that comes while a process is forked is heard, if a moment later."""

from __future__ import annotations

import subprocess
import sys

import pytest

CODE = """
import logging, os, signal, time
from tokcls.interrupts import heard_interrupts

class Lock:
    '''Logging's lock, with a Ctrl-C that comes while the hook behind a fork gives it back.'''
    def __init__(self, lock): self.lock, self.parent = lock, os.getpid()
    def acquire(self): return self.lock.acquire()
    def release(self):
        if os.getpid() == self.parent and not came:
            came.append(True)
            signal.raise_signal(signal.SIGINT)
        self.lock.release()
    def _at_fork_reinit(self): self.lock._at_fork_reinit()

came = []
try:
    with heard_interrupts():
        logging._lock = Lock(logging._lock)
        child = os.fork()
        if not child:
            os._exit(0)
        logging._lock = logging._lock.lock
        os.waitpid(child, 0)
        time.sleep(20)
    print("not heard")
except KeyboardInterrupt:
    logging.getLogger("free").warning("the lock is free")
    print("heard")
"""


@pytest.mark.slow
def test_an_interrupt_in_the_hooks_of_a_fork_comes_again_and_leaves_no_lock() -> None:
    done = subprocess.run(
        [sys.executable, "-c", CODE], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == "heard\n"
    assert "the lock is free" in done.stderr
    assert "ignored" not in done.stderr
