"""What the two benchmarks of overhead make of a sweep's record, on records made by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks._timeline import Timeline, Trained, read_events, timeline
from benchmarks.sweep_overhead import Ran, growth, overhead
from benchmarks.turnaround import figures

START = 1000.0


def epoch(trial: str, number: int, *, reported: float, **metrics: float) -> dict[str, Any]:
    """Write an epoch's line: 9 s of training, 1 s of scoring, half a second of saving."""
    took = {"train_seconds": 9.0, "validation_seconds": 1.0, "saving_seconds": 0.5}
    event = {"event": "epoch", "trial": trial, "number": number, "metrics": took | metrics}
    return event | {"time": START + reported}


def ended(trial: str, at: float) -> dict[str, Any]:
    return {"event": "ended", "trial": trial, "state": "finished", "time": START + at}


TWO_SLOTS = [
    epoch("t001", 1, reported=10.5),  # trained from 0 to 10
    epoch("t002", 1, reported=12.5),  # from 2 to 12
    ended("t001", 10.6),
    ended("t002", 12.6),
    epoch("t003", 1, reported=21.5, turnaround_seconds=1.0),  # from 11 to 21
    epoch("t004", 1, reported=23.5, turnaround_seconds=1.0),  # from 13 to 23
    ended("t003", 21.6),
    ended("t004", 24.0),
]


def test_an_epoch_ends_where_saving_begins() -> None:
    first = timeline(TWO_SLOTS).epochs[0]
    assert first == Trained("t001", START, START + 10.0)


def test_all_slots_train_when_the_last_has_taken_its_first_step() -> None:
    line = timeline(TWO_SLOTS)
    assert line.all_slots_from(1) == START
    assert line.all_slots_from(2) == START + 2.0


def test_only_training_after_a_moment_counts() -> None:
    assert timeline(TWO_SLOTS).trained_from(START + 2.0) == pytest.approx(8 + 10 + 10 + 10)
    assert timeline(TWO_SLOTS).trained_from(START + 22.0) == pytest.approx(1.0)


def test_a_ledger_is_read_line_by_line(tmp_path: Path) -> None:
    ledger = tmp_path / "ledger.jsonl"
    ledger.write_text("".join(json.dumps(event) + "\n" for event in TWO_SLOTS), encoding="utf-8")
    assert read_events(ledger) == TWO_SLOTS


def test_overhead_is_wall_over_training_once_all_slots_train() -> None:
    found = overhead(Ran(TWO_SLOTS, began=START - 30.0, ended=START + 40.0, memory={}))
    assert found["overhead"] == pytest.approx(22.0 / (38.0 / 2), abs=1e-4)
    assert found["overhead_of_command"] == pytest.approx(70.0 / (40.0 / 2), abs=1e-2)
    assert found["seconds_to_first_step"] == 32.0
    assert found["seconds_after_last_trial"] == 16.0
    assert found["train_seconds_a_trial"] == 10.0
    assert found["turnaround_seconds"] == 1.0


def test_memory_is_compared_after_few_trials_and_after_many() -> None:
    memory = {0: 100.0, 1: 300.0} | {over: 300.0 + 0.1 * over for over in range(2, 5)}
    found = growth(Ran(TWO_SLOTS, began=START, ended=START, memory=memory), few=2, many=4)
    assert found["memory_mb_few"] == 300.2
    assert found["memory_mb_many"] == 300.4
    assert found["memory_growth"] == pytest.approx(300.4 / 300.2, abs=1e-4)
    assert found["memory_kb_a_trial"] == pytest.approx(102.4, abs=0.1)
    assert found["seconds_a_tiny_trial"] == pytest.approx(22.0 / 4)


def test_time_between_trials_is_told_from_time_in_them() -> None:
    line = Timeline(
        [
            Trained("a", 10.0, 14.0),
            Trained("a", 15.0, 20.0),  # 1 s for a state to restart from
            Trained("b", 20.5, 25.0),
            Trained("b", 27.0, 30.0),
        ],
        over=30.5,
    )
    found = figures(line, began=2.0, ended=33.0)
    assert found.turnaround_seconds == 0.5
    assert found.overhead_seconds_a_trial == 0.5 + 2.0 + 0.5
    assert found.seconds_to_first_step == 8.0
    assert found.train_seconds_a_trial == pytest.approx((9.0 + 7.5) / 2, abs=0.06)
    assert found.wall_seconds == 31.0
