"""What a command says while it works: stages on stderr, what they wait for, how long they took.

Ray writes to the terminal from native code and from other processes; `Terminal` keeps a way to the
person and turns everything else into a file.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from rich.console import Console
from rich.live import Live
from rich.spinner import Spinner
from rich.text import Text


class Terminal:
    """The terminal's stdout and stderr, kept for us; `divert` sends the process's own to a log."""

    def __init__(self) -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        self.out: TextIO
        self.err: TextIO
        self.out, self.err = (os.fdopen(os.dup(number), "w", buffering=1) for number in (1, 2))

    def divert(self, log: Path) -> None:
        """Append all that Python, native code and child processes print from now on to `log`."""
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as stream:
            os.dup2(stream.fileno(), 1)
            os.dup2(stream.fileno(), 2)


def duration(seconds: float) -> str:
    """Write a time span for people: 4.2 s, 45 s, 3 min, 2 h 10 min."""
    if seconds < 90:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"


def wide(stream: TextIO) -> Console:
    """Make a console that fits a terminal, and folds nothing where the text goes to a file."""
    return Console(file=stream, width=None if stream.isatty() else 240)


class Stages:
    """Names each stage of a command as it begins, and says how long it took."""

    def __init__(self, console: Console, *, quiet: bool = False) -> None:
        """Speak on `console`; `quiet`: only what must not be overlooked."""
        self._always = console
        self.console = Console(file=console.file, quiet=True) if quiet else console

    @contextmanager
    def __call__(self, what: str, usually: str = "") -> Iterator[None]:
        began = time.monotonic()
        waits = f"{what} ({usually}) ..." if usually else f"{what} ..."
        if self.console.is_terminal:
            # Not console.status(): it would show what other libraries print.
            spinner = Spinner("dots", Text(waits))
            with Live(
                spinner,
                console=self.console,
                transient=True,
                redirect_stdout=False,
                redirect_stderr=False,
            ):
                yield
        else:
            self.say(waits)
            yield
        self.say(f"{what}: {duration(time.monotonic() - began)}")

    def say(self, text: str) -> None:
        """Print one line as it is."""
        self.console.print(text, highlight=False, markup=False, soft_wrap=True)

    def warn(self, text: str) -> None:
        """Print what went wrong, also when quiet."""
        self._always.print(text, highlight=False, markup=False, soft_wrap=True)

    def notes(self, notes: Iterable[str]) -> None:
        """Print what must not be overlooked."""
        for note in notes:
            self._always.print(f"NOTE: {note}", style="bold yellow", markup=False, soft_wrap=True)
