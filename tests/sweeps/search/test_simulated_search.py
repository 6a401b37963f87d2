"""Whole sweeps without Ray or training: the same again, never wedged, better than chance."""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import Any

import pytest

from benchmarks.simulated_search import Session, compare, make_space, sweep, wrong
from sweeps.space.space import SearchSpace

Told = list[tuple[str, dict[str, Any], str, list[float]]]


def told(session: Session) -> Told:
    """All that a sweep comes to: values, states and scores."""
    return [
        (t.trial_id, dict(t.values), t.state.value, [e.metrics["val_f1"] for e in t.epochs])
        for t in session.trials.values()
    ]


@pytest.mark.parametrize("measure", ["epochs", "tokens"])
def test_the_same_file_seed_and_one_slot_give_the_same_trials_and_scores(
    tmp_path: Path, measure: str
) -> None:
    def run(seed: int) -> Told:
        space = make_space(tmp_path, f"train.seed={seed}", f"search.time={measure}")
        return told(sweep(space, 1)[-1])

    first = run(1)
    assert first == run(1)
    assert len({tuple(scores) for *_, scores in first}) > 20
    assert len({len(scores) for *_, scores in first}) > 2  # some were stopped early
    assert first != run(2)


def test_sweeps_keep_their_rules_and_find_better_than_chance(tmp_path: Path) -> None:
    runs = [compare(tmp_path, seed) for seed in range(45)]
    assert [text for run in runs for text in run.wrong] == []
    ours, theirs = statistics.mean(r.ours for r in runs), statistics.mean(r.theirs for r in runs)
    assert ours >= theirs
    assert sum(run.ours >= run.theirs for run in runs) > len(runs) / 2


@pytest.mark.parametrize("stop_after", range(1, 30, 4))
def test_an_interrupted_sweep_is_resumed_to_its_end_wherever_it_was(
    tmp_path: Path, stop_after: int
) -> None:
    space = make_space(tmp_path, "search.trials=8", "search.time=tokens")
    sessions = sweep(space, 2, stop_after=stop_after)
    assert sessions[0].epochs == stop_after
    assert wrong(space, sessions) == []
    assert list(sessions[1].trials)[: len(sessions[0].trials)] == list(sessions[0].trials)


def discrete(folder: Path, algorithm: str) -> SearchSpace:
    values = "{grid: [1e-4, 1e-3, 1e-2]}" if algorithm == "grid" else "{choice: [1e-4, 1e-3, 1e-2]}"
    return make_space(
        folder, f"search.algorithm={algorithm}", "search.trials=100", "model.dropout=0.1",
        "train.weight_decay=0.0", f"train.learning_rate={values}",
        "model.backbone={choice: [minilm-l6, minilm-l3]}",
    )  # fmt: skip


@pytest.mark.parametrize("algorithm", ["random", "tpe", "grid"])
@pytest.mark.parametrize("slots", [1, 5])
def test_a_space_that_is_exhausted_ends_the_sweep(
    tmp_path: Path, algorithm: str, slots: int
) -> None:
    space = discrete(tmp_path, algorithm)
    sessions = [Session(space, slots).run()]
    assert len(sessions[0].trials) == space.trials == 12
    assert wrong(space, sessions) == []
