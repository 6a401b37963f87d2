"""No configuration twice: points first, then new ones only, until a space is exhausted."""

from __future__ import annotations

import json
import logging
import math
from pathlib import Path
from typing import Any

import pytest
from optuna.trial import TrialState
from ray.tune.search import Searcher

from sweeps.search.events import State, Trial
from sweeps.search.searcher import SpaceSearcher
from sweeps.search.slot import TRIAL, VALUES
from sweeps.space.space import SearchSpace
from tests.sweeps.search.made_trials import make_space, make_trial

JOINTLY = "tpe:relative_params:0"  # where Optuna notes what it drew jointly
RATE, EPOCHS, SEED = "train.learning_rate", "train.epochs", "train.seed"
DISCRETE = ("train.learning_rate=1e-4", "train.epochs={int: [1, 4]}", "train.seed={int: [1, 3]}")


def drawn(searcher: SpaceSearcher, *, most: int = 500) -> list[dict[str, Any]]:
    """Draw until the searcher is finished; the more epochs, the better a trial is."""
    found: list[dict[str, Any]] = []
    while (given := searcher.suggest(str(len(found)))) != Searcher.FINISHED and len(found) < most:
        found.append(given)
        score = given[VALUES].get(EPOCHS, 1) / 10
        searcher.on_trial_complete(str(len(found) - 1), {"val_f1": score, "epoch": 1})
    return found


def hashes(space: SearchSpace, found: list[dict[str, Any]]) -> list[str]:
    return [space.trial(given[VALUES]).config_hash for given in found]


@pytest.mark.parametrize("algorithm", ["random", "tpe"])
@pytest.mark.parametrize("seed", range(3))
def test_a_space_is_exhausted_without_a_configuration_twice(
    tmp_path: Path, algorithm: str, seed: int
) -> None:
    space = make_space(
        tmp_path, *DISCRETE[:2], f"train.seed={{int: [{seed}, {seed + 2}]}}",
        f"search.algorithm={algorithm}", "search.trials=50",
    )  # fmt: skip
    found = drawn(SpaceSearcher(space, at_once=1))
    assert space.trials == len(found) == len(set(hashes(space, found))) == 12


def test_what_is_running_is_not_drawn_either(tmp_path: Path) -> None:
    space = make_space(tmp_path, *DISCRETE, "search.trials=12")
    searcher = SpaceSearcher(space, at_once=12)
    found = [searcher.suggest(str(number)) for number in range(12)]
    assert len(set(hashes(space, found))) == 12


def test_a_resumed_sweep_exhausts_what_is_left(tmp_path: Path) -> None:
    space = make_space(tmp_path, *DISCRETE, "search.trials=50")
    first = drawn(SpaceSearcher(space, at_once=1), most=7)
    past = [make_trial(g[TRIAL], [0.1], State.FINISHED, values=g[VALUES]) for g in first]
    then = drawn(SpaceSearcher(space, at_once=1, past=past))
    assert len(set(hashes(space, [*first, *then]))) == len(first) + len(then) == 12
    assert then[0][TRIAL] == "t008"


def test_trials_are_numbered_on_from_all_that_the_ledger_holds(tmp_path: Path) -> None:
    space = make_space(tmp_path, "search.trials=2")
    past = [make_trial("t004", [0.1], State.FINISHED, values={RATE: 1e-4})]
    found = drawn(SpaceSearcher(space, at_once=1, past=past, taken=9))
    assert [given[TRIAL] for given in found] == ["t010"]


@pytest.mark.parametrize("algorithm", ["random", "tpe"])
def test_a_space_too_large_to_list_is_drawn_without_repetition(
    tmp_path: Path, algorithm: str
) -> None:
    # TPE learns that the highest is best and would draw it again and again.
    space = make_space(
        tmp_path, DISCRETE[0], "train.epochs={int: [1, 12000]}",
        f"search.algorithm={algorithm}", "search.trials=60",
    )  # fmt: skip
    assert space.combinations is None
    found = drawn(SpaceSearcher(space, at_once=1))
    assert len(found) == len(set(hashes(space, found))) == 60


def test_points_come_first_and_what_they_leave_out_is_drawn(tmp_path: Path) -> None:
    points = "search.points=[{train.epochs: 3, train.seed: 2}, {train.epochs: 4}]"
    space = make_space(tmp_path, *DISCRETE, "search.trials=5", points)
    first, second, *others = [given[VALUES] for given in drawn(SpaceSearcher(space, at_once=1))]
    assert first == {EPOCHS: 3, SEED: 2}
    assert second[EPOCHS] == 4
    assert len(others) == 3


def test_points_of_a_grid_come_first_and_not_again(tmp_path: Path) -> None:
    space = make_space(
        tmp_path, "search.algorithm=grid", DISCRETE[0], "train.epochs={grid: [1, 2, 3]}",
        "train.seed={grid: [1, 2]}", "search.points=[{train.epochs: 3, train.seed: 2}]",
    )  # fmt: skip
    found = drawn(SpaceSearcher(space, at_once=1))
    assert found[0][VALUES] == {EPOCHS: 3, SEED: 2}
    assert len(found) == len(set(hashes(space, found))) == 6


def test_more_points_than_trials_end_with_the_trials(tmp_path: Path) -> None:
    points = ", ".join(f"{{train.seed: {seed}}}" for seed in (1, 2, 3))
    space = make_space(tmp_path, *DISCRETE, "search.trials=2", f"search.points=[{points}]")
    found = drawn(SpaceSearcher(space, at_once=1))
    assert [given[VALUES][SEED] for given in found] == [1, 2]


def test_a_point_that_was_run_is_not_run_by_a_resumed_sweep(tmp_path: Path) -> None:
    points = (
        "search.points=[{train.epochs: 3}, {train.epochs: 3}, {train.epochs: 4, train.seed: 1}]"
    )
    space = make_space(tmp_path, *DISCRETE, "search.trials=4", points)
    past = [make_trial("t001", [0.1], State.FINISHED, values={EPOCHS: 3, SEED: 1})]
    found = [given[VALUES] for given in drawn(SpaceSearcher(space, at_once=1, past=past))]
    assert found[0][EPOCHS] == 3
    assert found[0][SEED] != 1
    assert found[1] == {EPOCHS: 4, SEED: 1}
    assert len(found) == 3


def test_a_point_that_is_given_twice_is_run_once_and_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    point = "{train.epochs: 3, train.seed: 1}"
    space = make_space(tmp_path, *DISCRETE, "search.trials=3", f"search.points=[{point}, {point}]")
    with caplog.at_level(logging.WARNING, "sweeps"):
        found = drawn(SpaceSearcher(space, at_once=1))
    assert len(set(hashes(space, found))) == 3
    assert "is not run: it was run before" in caplog.text


@pytest.mark.parametrize(
    ("scores", "value"), [([math.nan], None), ([0.3, math.nan], 0.3), ([math.inf, 0.2], 0.2)]
)
def test_a_score_that_is_no_number_is_never_told(
    tmp_path: Path, scores: list[float], value: float | None
) -> None:
    searcher = SpaceSearcher(make_space(tmp_path, "search.trials=15"), at_once=1)
    searcher.suggest("a")
    for number, score in enumerate(scores[:-1], 1):
        searcher.on_trial_result("a", {"val_f1": score, "epoch": number})
    searcher.on_trial_complete("a", {"val_f1": scores[-1], "epoch": len(scores)})
    (told,) = searcher._study.told()
    assert told.state is (TrialState.FAIL if value is None else TrialState.COMPLETE)
    assert told.value == value
    assert len(drawn(searcher)) == 14


def test_a_trial_that_failed_is_told_as_failed_now_and_after_a_resume(tmp_path: Path) -> None:
    space = make_space(tmp_path, "search.trials=3")
    searcher = SpaceSearcher(space, at_once=1)
    searcher.suggest("a")
    searcher.on_trial_result("a", {"val_f1": 0.9, "epoch": 1})
    searcher.on_trial_complete("a", {"failed": "out of memory", "done": True})
    past: list[Trial] = [make_trial("t001", [0.9], State.FAILED, values={RATE: 1e-4})]
    for told in (searcher._study.told(), SpaceSearcher(space, at_once=1, past=past)._study.told()):
        assert [trial.state for trial in told] == [TrialState.FAIL]


@pytest.mark.parametrize(("trials", "startup"), [(60, 10), (12, 4), (2, 1)])
def test_tpe_draws_by_chance_first_and_then_all_parameters_together(
    tmp_path: Path, trials: int, startup: int
) -> None:
    space = make_space(
        tmp_path, f"search.trials={trials}", "train.weight_decay={uniform: [0.0, 1.0]}"
    )
    searcher = SpaceSearcher(space, at_once=1)
    drawn(searcher)
    together = [
        set(json.loads(text)) if (text := trial.system_attrs.get(JOINTLY)) else set()
        for trial in searcher._study.told()
    ]
    assert together[:startup] == [set()] * startup
    assert together[startup:] == [{RATE, "train.weight_decay"}] * (trials - startup)
