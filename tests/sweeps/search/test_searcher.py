"""What is drawn next. Trials are driven here as Tune drives them, without Tune."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.distributions import CategoricalDistribution
from optuna.trial import TrialState
from ray import cloudpickle
from ray.tune.search import Searcher

from sweeps.search.events import State, Trial
from sweeps.search.searcher import SpaceSearcher, state_of
from sweeps.search.slot import RESUMED_AT, TRIAL, VALUES
from sweeps.search.study import distribution
from sweeps.space.verbs import Choice
from tests.sweeps.search.made_trials import make_space, make_trial

RATE = "train.learning_rate"
GRID = (
    "search.algorithm=grid",
    "train.learning_rate={choice: [1e-5, 1e-4]}",
    "labels.scheme={choice: [IOB2, BIOES]}",
    "train.epochs={grid: [1, 2, 3]}",
)
Score = Callable[[dict[str, Any]], float]


def play(
    searcher: SpaceSearcher,
    score: Score = lambda values: 0.5,
    *,
    most: int = 1000,
    epochs: int = 1,
    start: int = 0,
) -> list[dict[str, Any]]:
    """Run trials one by one until the searcher is finished.

    As in Tune, a trial's last result comes with `on_trial_complete` and in no other way.
    """
    drawn: list[dict[str, Any]] = []
    while len(drawn) < most:
        name = f"tune-{start + len(drawn)}"
        config = searcher.suggest(name)
        if config == Searcher.FINISHED:
            return drawn
        assert config is not None
        drawn.append(config)
        result = {"val_f1": score(config[VALUES]), "epoch": 1}
        for number in range(1, epochs):
            searcher.on_trial_result(name, result | {"epoch": number})
        searcher.on_trial_complete(name, result | {"epoch": epochs})
    return drawn


def values_of(drawn: Sequence[dict[str, Any]]) -> list[Any]:
    return [config[VALUES] for config in drawn]


def told(searcher: SpaceSearcher) -> list[optuna.trial.FrozenTrial]:
    return searcher._study.told()


@pytest.mark.parametrize("algorithm", ["random", "tpe"])
def test_as_many_trials_are_drawn_as_asked_for_and_all_of_them_are_valid(
    tmp_path: Path, algorithm: str
) -> None:
    space = make_space(tmp_path, f"search.algorithm={algorithm}", "search.trials=7")
    drawn = play(SpaceSearcher(space, at_once=1))
    assert [config[TRIAL] for config in drawn] == [f"t{number:03d}" for number in range(1, 8)]
    assert all(config[RESUMED_AT] == 0 for config in drawn)
    rates = [space.trial(config[VALUES]).train.learning_rate for config in drawn]
    assert all(1e-5 <= rate <= 1e-3 for rate in rates)
    assert len(set(rates)) == 7


def test_every_verb_is_drawn_within_its_bounds(tmp_path: Path) -> None:
    space = make_space(
        tmp_path,
        "search.algorithm=random",
        "search.trials=40",
        "train.weight_decay={uniform: [0.0, 0.3]}",
        "model.dropout={quniform: [0.0, 0.4, 0.2]}",
        "train.epochs={int: [1, 3]}",
        "labels.scheme={choice: [IO, BIOES]}",
    )
    trials = [space.trial(values) for values in values_of(play(SpaceSearcher(space, at_once=1)))]
    assert all(0.0 <= trial.train.weight_decay <= 0.3 for trial in trials)
    assert {round(trial.model.dropout, 6) for trial in trials} == {0.0, 0.2, 0.4}
    assert {trial.train.epochs for trial in trials} == {1, 2, 3}
    assert {trial.labels.scheme for trial in trials} == {"IO", "BIOES"}
    # Powers of ten are equally likely: about half of the draws are below the middle one.
    assert 8 <= sum(trial.train.learning_rate < 1e-4 for trial in trials) <= 32


def test_a_grid_runs_every_combination_once_and_is_finished(tmp_path: Path) -> None:
    space = make_space(tmp_path, *GRID)
    drawn = values_of(play(SpaceSearcher(space, at_once=1)))
    made = {space.trial(values).config_hash for values in drawn}
    assert len(drawn) == len(made) == 12


@pytest.mark.parametrize("algorithm", ["random", "tpe", "grid"])
def test_a_searcher_can_be_pickled_at_any_time_as_tune_does(tmp_path: Path, algorithm: str) -> None:
    choices = ("train.epochs={choice: [1, 2]}", "labels.scheme={choice: [IO, IOB2, BIOES]}")
    discrete = ("train.learning_rate=1e-4", f"search.algorithm={algorithm}", *choices)
    searcher = SpaceSearcher(make_space(tmp_path, *discrete), at_once=9)
    for number in range(3):
        pickled = cloudpickle.dumps(searcher)  # type: ignore[no-untyped-call]
        again = cloudpickle.loads(pickled)
        name = f"tune-{number}"
        assert again.suggest(name)[TRIAL] == searcher.suggest(name)[TRIAL]


def test_a_space_without_parameters_is_one_trial(tmp_path: Path) -> None:
    space = make_space(tmp_path, "train.learning_rate=1e-4")
    assert values_of(play(SpaceSearcher(space, at_once=1))) == [{}]


def test_no_more_trials_are_given_at_once_than_there_are_slots(tmp_path: Path) -> None:
    searcher = SpaceSearcher(make_space(tmp_path, "search.trials=3"), at_once=2)
    assert searcher.suggest("a")[TRIAL] == "t001"
    assert searcher.suggest("b")[TRIAL] == "t002"
    assert searcher.suggest("c") is None
    searcher.on_trial_complete("a", {"val_f1": 0.5, "epoch": 1})
    assert searcher.suggest("c")[TRIAL] == "t003"
    searcher.on_trial_complete("b", error=True)
    assert searcher.suggest("d") == Searcher.FINISHED


@pytest.mark.parametrize("algorithm", ["random", "tpe"])
def test_the_same_seed_draws_the_same_and_another_seed_does_not(
    tmp_path: Path, algorithm: str
) -> None:
    def draw(seed: int) -> list[Any]:
        space = make_space(tmp_path, f"search.algorithm={algorithm}", f"train.seed={seed}")
        score: Score = lambda values: -abs(math.log10(values[RATE]) + 4)  # noqa: E731
        return values_of(play(SpaceSearcher(space, at_once=1), score))

    assert draw(3) == draw(3)
    assert draw(3) != draw(4)


def test_tpe_learns_where_the_good_values_are(tmp_path: Path) -> None:
    space = make_space(tmp_path, "search.trials=40")

    def score(values: dict[str, Any]) -> float:
        return 1.0 - abs(math.log10(values[RATE]) + 3.5)

    drawn = values_of(play(SpaceSearcher(space, at_once=1), score, epochs=2))
    near = [abs(math.log10(values[RATE]) + 3.5) < 0.3 for values in drawn]
    assert sum(near[-20:]) >= 10  # 6 of 20 by chance


@pytest.mark.parametrize("epochs", [1, 3])
def test_the_study_is_told_the_best_epoch_the_last_one_included(
    tmp_path: Path, epochs: int
) -> None:
    searcher = SpaceSearcher(make_space(tmp_path, "search.trials=1"), at_once=1)
    searcher.suggest("a")
    for number in range(1, epochs):
        searcher.on_trial_result("a", {"val_f1": number / 10, "epoch": number})
    searcher.on_trial_complete("a", {"val_f1": epochs / 10, "epoch": epochs})
    (trial,) = told(searcher)
    assert trial.state is TrialState.COMPLETE
    assert trial.value == pytest.approx(epochs / 10)


def test_an_epoch_that_got_worse_does_not_hide_the_best_one(tmp_path: Path) -> None:
    searcher = SpaceSearcher(make_space(tmp_path, "search.trials=1"), at_once=1)
    searcher.suggest("a")
    searcher.on_trial_result("a", {"val_f1": 0.8, "epoch": 1})
    searcher.on_trial_complete("a", {"val_f1": 0.2, "epoch": 2})
    assert told(searcher)[0].value == pytest.approx(0.8)


@pytest.mark.parametrize(
    ("result", "error"), [({"failed": "out of memory", "done": True}, False), (None, True)]
)
def test_a_failed_trial_is_told_as_failed_and_the_search_goes_on(
    tmp_path: Path, result: dict[str, Any] | None, error: bool
) -> None:
    searcher = SpaceSearcher(make_space(tmp_path, "search.trials=14"), at_once=1)
    searcher.suggest("a")
    searcher.on_trial_complete("a", result, error=error)
    assert told(searcher)[0].state is TrialState.FAIL
    assert len(play(searcher, lambda values: values[RATE])) == 13


def test_a_sweep_in_which_everything_fails_comes_to_its_end(tmp_path: Path) -> None:
    searcher = SpaceSearcher(make_space(tmp_path, "search.trials=14"), at_once=1)
    for number in range(14):
        assert searcher.suggest(str(number))[TRIAL] == f"t{number + 1:03d}"
        searcher.on_trial_complete(str(number), {"failed": "no", "done": True})
    assert searcher.suggest("x") == Searcher.FINISHED


def past_of(drawn: Sequence[dict[str, Any]], state: State = State.FINISHED) -> list[Trial]:
    return [
        make_trial(config[TRIAL], [0.1, 0.3, 0.2], state, values=config[VALUES]) for config in drawn
    ]


def test_what_is_finished_is_known_and_counted(tmp_path: Path) -> None:
    space = make_space(tmp_path, "search.trials=5")
    past = past_of(play(SpaceSearcher(space, at_once=1), most=3))
    past[2].epochs.clear()
    past[2].state = State.FAILED
    searcher = SpaceSearcher(space, at_once=1, past=past)
    assert [(trial.state, trial.value) for trial in told(searcher)] == [
        (TrialState.COMPLETE, 0.3),
        (TrialState.COMPLETE, 0.3),
        (TrialState.FAIL, None),
    ]
    assert [config[TRIAL] for config in play(searcher)] == ["t004", "t005"]


@pytest.mark.parametrize(("algorithm", "done"), [("random", 4), ("tpe", 1), ("tpe", 4)])
def test_a_resumed_sweep_does_not_draw_its_first_trials_again(
    tmp_path: Path, algorithm: str, done: int
) -> None:
    space = make_space(tmp_path, f"search.algorithm={algorithm}", "search.trials=8")
    first = play(SpaceSearcher(space, at_once=1), most=done)
    then = play(SpaceSearcher(space, at_once=1, past=past_of(first)), start=done)
    rates = [values[RATE] for values in values_of([*first, *then])]
    assert len(rates) == len(set(rates)) == 8


def test_a_resumed_grid_runs_what_is_left_of_it(tmp_path: Path) -> None:
    space = make_space(tmp_path, *GRID)
    first = play(SpaceSearcher(space, at_once=1), most=5)
    past = past_of(first)
    past[4].state = State.RUNNING
    then = play(SpaceSearcher(space, at_once=1, past=past), start=5)
    assert then[0][TRIAL] == "t005"
    made = {space.trial(values).config_hash for values in values_of([*first[:4], *then])}
    assert (len(then), len(made)) == (8, 12)


def test_interrupted_trials_come_first_under_their_old_names(tmp_path: Path) -> None:
    space = make_space(tmp_path, "search.trials=4")
    past = [
        make_trial("t001", [0.1, 0.2], State.FINISHED, values={RATE: 1e-4}),
        make_trial("t002", [0.1, 0.2], values={RATE: 2e-4}),
        make_trial("t003", [], values={RATE: 3e-4}),
    ]
    drawn = play(SpaceSearcher(space, at_once=1, past=past))
    named = [(config[TRIAL], config[RESUMED_AT]) for config in drawn]
    assert named == [("t002", 2), ("t003", 0), ("t004", 0)]
    assert values_of(drawn)[:2] == [{RATE: 2e-4}, {RATE: 3e-4}]


@pytest.mark.parametrize(
    ("last", "value"), [({"val_f1": 0.9, "epoch": 3}, 0.9), ({"val_f1": 0.1, "epoch": 3}, 0.4)]
)
def test_what_an_interrupted_trial_comes_to_is_known_too(
    tmp_path: Path, last: dict[str, Any], value: float
) -> None:
    past = [make_trial("t001", [0.4, 0.2], values={RATE: 2e-4})]
    searcher = SpaceSearcher(make_space(tmp_path, "search.trials=2"), at_once=1, past=past)
    searcher.suggest("a")
    searcher.on_trial_complete("a", last)
    assert [(trial.params, trial.value) for trial in told(searcher)] == [({RATE: 2e-4}, value)]


def test_interrupted_trials_wait_for_a_slot_too(tmp_path: Path) -> None:
    past = [make_trial(name, values={RATE: 1e-4}) for name in ("t001", "t002")]
    searcher = SpaceSearcher(make_space(tmp_path, "search.trials=2"), at_once=1, past=past)
    assert searcher.suggest("a")[TRIAL] == "t001"
    assert searcher.suggest("b") is None
    searcher.on_trial_complete("a", {"val_f1": 0.5, "epoch": 1})
    assert searcher.suggest("b")[TRIAL] == "t002"
    searcher.on_trial_complete("b", {"val_f1": 0.5, "epoch": 1})
    assert searcher.suggest("c") == Searcher.FINISHED


def test_maps_and_lists_are_drawn_as_text_and_come_back_as_they_were_given() -> None:
    verb = Choice(({"GPE": "LOC"}, {}, ["a", 1], "a", 1, 0.5))
    drawn = distribution(verb)
    assert isinstance(drawn, CategoricalDistribution)
    assert all(isinstance(choice, str | int | float) for choice in drawn.choices)
    assert tuple(verb.original(choice) for choice in drawn.choices) == verb.values


@pytest.mark.parametrize(
    ("result", "state", "reason"),
    [
        ({"epoch": 3}, State.FINISHED, ""),
        ({"epoch": 2}, State.STOPPED, ""),
        ({}, State.STOPPED, ""),
        ({"failed": "out of memory", "epoch": 3}, State.FAILED, "out of memory"),
    ],
)
def test_a_last_result_says_how_it_ended(result: dict[str, Any], state: State, reason: str) -> None:
    assert state_of(result, 3) == (state, reason)
