"""The processes below this one: who they are, and their end. Linux only: it reads /proc."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path


def end_children(*, within: float) -> None:
    """Kill every process below this one, and those that become ours while we do."""
    until = time.monotonic() + within
    while (children := below(os.getpid())) and time.monotonic() < until:
        for child in children:
            try:
                os.kill(child, signal.SIGKILL)
                os.waitpid(child, os.WNOHANG)
            except (ProcessLookupError, ChildProcessError):
                continue
        time.sleep(0.02)


def below(top: int) -> list[int]:
    """List the living descendants of a process, from Linux's /proc."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            # The name, in parentheses, may hold anything; the fields behind it are plain.
            fields = entry.read_text(errors="replace").rpartition(")")[2].split()
        except OSError:
            continue
        children.setdefault(int(fields[1]), []).append(int(entry.parent.name))
    found: list[int] = []
    ahead = [top]
    while ahead:
        ahead = [child for parent in ahead for child in children.get(parent, [])]
        found += ahead
    return found
