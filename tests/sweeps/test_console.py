"""What a person sees: our own lines, and not what libraries print meanwhile."""

from __future__ import annotations

import io
import os
import re
import signal
import subprocess
import sys
import threading

import pytest
from rich.console import Console

from sweeps.console import Stages
from sweeps.search.progress import Progress
from sweeps.search.remaining import Remaining
from sweeps.stop import told_of_interrupt
from tests.sweeps.search.made_trials import make_trial


def terminal() -> Console:
    return Console(file=io.StringIO(), force_terminal=True, width=100)


def progress_on(console: Console) -> Progress:
    remaining = Remaining(trials=2, slots=1, epochs=2)
    return Progress(console, total=2, slots=1, metric="val_f1", remaining=remaining)


def seen(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_a_terminal_shows_the_stage_and_nothing_that_others_print() -> None:
    console = terminal()
    with Stages(console)("starting Ray", "7 to 15 s"):
        print("noise of a library")
        print("Downloading artifacts: 89%", file=sys.stderr)
    assert "starting Ray (7 to 15 s) ..." in seen(console)
    assert "noise" not in seen(console)
    assert "Downloading" not in seen(console)


def test_the_live_table_shows_nothing_that_others_print() -> None:
    console = terminal()
    with progress_on(console) as progress:
        progress.started(make_trial("t001", [0.5]))
        print("Press CTRL+C to skip")
    assert "t001" in seen(console)
    assert "CTRL" not in seen(console)


def test_plain_lines_say_that_slots_are_waited_for() -> None:
    console = Console(file=io.StringIO(), force_terminal=False)
    with progress_on(console):
        assert seen(console) == "waiting for 1 slot to start (15 to 40 s) ...\n"


@pytest.mark.parametrize("on_terminal", [True, False])
def test_quiet_says_notes_and_errors_and_nothing_else(*, on_terminal: bool) -> None:
    console = Console(file=io.StringIO(), force_terminal=on_terminal, width=100)
    stages = Stages(console, quiet=True)
    with stages("starting Ray"), progress_on(stages.console) as progress:
        progress.started(make_trial("t001", [0.5]))
        stages.say("the log goes elsewhere")
    assert seen(console) == ""
    stages.notes(["mind this"])
    stages.warn("error: that")
    assert re.findall("mind this|error: that|Ray|t001|log", seen(console)) == [
        "mind this",
        "error: that",
    ]


def interrupt_this() -> None:
    os.kill(os.getpid(), signal.SIGINT)
    threading.Event().wait(5)


def test_ctrl_c_is_told_of_at_once_and_handled_as_before() -> None:
    told = threading.Event()
    with told_of_interrupt(told.set), pytest.raises(KeyboardInterrupt):
        interrupt_this()
    assert told.wait(1)
    assert signal.set_wakeup_fd(-1) == -1


def test_without_ctrl_c_nothing_is_told() -> None:
    told = threading.Event()
    with told_of_interrupt(told.set):
        pass
    assert not told.is_set()
    assert not [each for each in threading.enumerate() if each.name == "interrupt"]


def test_a_reader_that_has_had_enough_of_the_keys_is_no_fault() -> None:
    keys = subprocess.Popen(
        [sys.executable, "-m", "sweeps.run", "--keys"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert keys.stdout is not None
    keys.stdout.close()
    _, err = keys.communicate(timeout=60)
    assert err == ""
