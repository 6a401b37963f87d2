"""What is shown while a sweep runs: lines in a file, a table on a terminal."""

from __future__ import annotations

import re
from io import StringIO

import pytest
from rich.console import Console

from sweeps.search import progress as progress_module
from sweeps.search.events import State, Trial
from sweeps.search.mailbox import Epoch
from sweeps.search.progress import Progress, shown_values
from sweeps.search.remaining import Remaining
from tests.sweeps.search.made_trials import make_trial, metrics_at


class Clock:
    """Stands in for the time module: seconds that pass when told to."""

    now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(progress_module, "time", made)
    return made


def plain(console: Console | None = None, *, total: int = 4, slots: int = 1) -> Progress:
    return Progress(
        console or Console(file=StringIO(), width=200),
        total=total,
        slots=slots,
        metric="val_f1",
        remaining=Remaining(trials=total, slots=slots, epochs=3),
    )


def lines(progress: Progress) -> list[str]:
    file = progress._console.file
    assert isinstance(file, StringIO)
    return file.getvalue().splitlines()


def rendered(progress: Progress) -> str:
    """The table as a terminal shows it."""
    console = Console(file=StringIO(), width=120)
    console.print(progress._render())
    file = console.file
    assert isinstance(file, StringIO)
    return file.getvalue()


def end(progress: Progress, trial: Trial, state: State = State.FINISHED, reason: str = "") -> None:
    trial.state, trial.reason = state, reason
    progress.ended(trial)


def test_a_file_gets_one_plain_line_an_event(clock: Clock) -> None:
    with plain() as progress:
        trial = make_trial("t001", values={"train.learning_rate": 0.000123456})
        progress.started(trial)
        trial.epochs.append(Epoch(1, metrics_at(0.5) | {"train_seconds": 60.0}))
        progress.epoch(trial, trial.epochs[0])
        end(progress, trial)
    assert lines(progress) == [
        "waiting for 1 slot to start (15 to 40 s) ...",
        "t001 started: learning_rate=0.000123",
        "t001 epoch 1: f1 0.500, train loss 0.250, 1,234 words/s",
        "t001 finished, best f1 0.500; 1 of 4 trials over, 0 running, 3 waiting, "
        "best f1 0.500 (t001), about 6 min left",
    ]


def test_no_line_is_folded_and_nothing_is_coloured_in_a_file() -> None:
    progress = plain()
    values = {f"train.key{number}": "v" * 20 for number in range(20)}
    progress.started(make_trial("t001", values=values))
    (line,) = lines(progress)
    assert line.count("v" * 20) == 20
    assert "\x1b" not in line


def test_a_failure_says_why_and_is_counted() -> None:
    progress = plain()
    trial = make_trial("t001")
    progress.started(trial)
    end(progress, trial, State.FAILED, "RuntimeError: out of memory")
    assert re.fullmatch(
        "t001 failed: RuntimeError: out of memory; "
        "1 of 4 trials over, 0 running, 3 waiting, 1 failed",
        lines(progress)[-1],
    )


def test_a_resumed_trial_says_where_it_goes_on() -> None:
    progress = plain()
    progress.started(make_trial("t002", [0.1, 0.2]))
    assert lines(progress)[0].startswith("t002 started, from epoch 2: ")


def test_the_time_left_falls_as_time_goes_on(clock: Clock) -> None:
    progress = plain(total=1)
    trial = make_trial("t001")
    progress.started(trial)
    for _ in range(2):
        clock.now += 30
        trial.epochs.append(Epoch(len(trial.epochs) + 1, metrics_at(0.5) | {"train_seconds": 30.0}))
        progress.epoch(trial, trial.epochs[-1])
    assert "about 30 s left" in rendered(progress)
    clock.now += 30
    trial.epochs.append(Epoch(3, metrics_at(0.5)))
    end(progress, trial)
    assert "left" not in lines(progress)[-1]


def test_the_best_so_far_is_the_best_epoch_of_all_trials() -> None:
    progress = plain()
    for trial in (make_trial("t001", [0.2, 0.9, 0.3]), make_trial("t002", [0.5]), make_trial("t3")):
        progress.started(trial)
    end(progress, make_trial("t002", [0.5]), State.STOPPED)
    assert "best f1 0.900 (t001)" in lines(progress)[-1]


def test_equal_bests_are_settled_as_on_the_leaderboard() -> None:
    progress = plain()
    for trial in (make_trial("t001", [0.5]), make_trial("t002", [0.5])):
        progress.started(trial)
    end(progress, make_trial("t002", [0.5]))
    assert "best f1 0.500 (t001)" in lines(progress)[-1]


def test_a_terminal_gets_a_table_and_no_lines() -> None:
    file = StringIO()
    console = Console(file=file, force_terminal=True, width=120, legacy_windows=False)
    with plain(console, total=2) as progress:
        trial = make_trial("t001", [0.4, 0.3])
        progress.started(trial)
        progress.epoch(trial, trial.epochs[-1])
        progress._live.refresh()
    shown = file.getvalue()
    assert "words/s" in shown
    assert "t001" in shown
    assert "t001 started" not in shown
    assert "\x1b[?25h" in shown  # the cursor is given back


def test_the_table_has_a_row_a_trial() -> None:
    progress = plain()
    progress.started(make_trial("t001", [0.4, 0.6, 0.5], State.FINISHED))
    progress.started(make_trial("t002", [], values={"labels.scheme": "BIOES"}))
    progress.started(make_trial("t003", [], State.FAILED, reason="out of memory"))
    rows = [row.split() for row in rendered(progress).splitlines()]
    assert rows[0] == ["trial", "state", "epoch", "f1", "best", "words/s", "params"]
    assert rows[1] == ["t001", "finished", "3/3", "0.500", "0.600", "1,234", "learning_rate=0.0001"]
    assert rows[2] == ["t002", "starting", "0/3", "scheme=BIOES"]
    assert rows[3] == ["t003", "failed", "0/3", "out", "of", "memory"]
    assert " ".join(rows[4]).startswith("2 of 4 trials over, 1 running, 1 waiting, 1 failed")


def test_values_that_all_trials_have_are_left_out_of_the_table() -> None:
    progress = plain()
    values = {"labels.scheme": "IO", "train.epochs": 2}
    progress.started(make_trial("t001", values=values | {"train.learning_rate": 1e-4}))
    assert "scheme=IO, epochs=2, learning_rate=0.0001" in rendered(progress)
    progress.started(make_trial("t002", values=values | {"train.learning_rate": 2e-4}))
    progress.started(make_trial("t003", values=values | {"train.learning_rate": 1e-4}))
    rows = [row.split()[-1] for row in rendered(progress).splitlines()[1:4]]
    assert rows == ["learning_rate=0.0001", "learning_rate=0.0002", "learning_rate=0.0001"]


def test_a_trial_that_runs_is_shown_however_many_have_ended_since() -> None:
    progress = plain(total=50)
    progress.started(make_trial("t000", [0.1]))
    for number in range(1, 40):
        progress.started(make_trial(f"t{number:03d}", [0.1], State.FINISHED))
    shown = rendered(progress)
    assert "t000" in shown
    assert shown.index("t000") < shown.index("t039")
    assert "t020" not in shown


def test_the_table_shows_the_newest_trials_of_many() -> None:
    progress = plain(total=50)
    for number in range(30):
        progress.started(make_trial(f"t{number:03d}", [0.1], State.FINISHED))
    shown = rendered(progress)
    assert "t029" in shown
    assert shown.count("finished") == progress_module.MOST_ROWS


def test_an_empty_table_says_what_is_waited_for() -> None:
    assert "waiting for 2 slots to start" in rendered(plain(slots=2))


@pytest.mark.parametrize("reason", ["KeyError: '[/INST]'", "ValueError: tag [bold]B-PER[red]"])
def test_brackets_in_a_reason_are_shown_as_they_are(reason: str) -> None:
    progress = plain()
    trial = make_trial("t001", values={"model.backbone": "models/[x]"})
    progress.started(trial)
    end(progress, trial, State.FAILED, reason)
    assert "models/[x]" in lines(progress)[0]
    assert reason in lines(progress)[-1]
    assert reason in rendered(progress)


def test_values_are_shown_shortly() -> None:
    values = {"train.learning_rate": 0.00012345, "labels.scheme": "IO", "train.epochs": 3}
    assert shown_values(values) == "learning_rate=0.000123, scheme=IO, epochs=3"
    assert shown_values({}) == ""
