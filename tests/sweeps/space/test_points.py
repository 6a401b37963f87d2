"""Points to try first: read from the file, judged at their line, given as a searcher draws them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from sweeps.space.combinations import distinct
from sweeps.space.space import SearchSpace
from sweeps.space.verbs import Choice, Int, LogUniform, QUniform, Uniform, Verb
from tokcls.config import TrialConfig
from tokcls.errors import ConfigError, Problem

Load = Callable[..., SearchSpace]
Complain = Callable[..., list[str]]
SEARCHED = """\
  weight_decay: {uniform: [0, 0.3]}
  epochs: {choice: [1, 2]}
  warmup: {quniform: [0.0, 0.3, 0.1]}
"""


def test_points_are_written_with_dots_or_nested_and_may_leave_keys_out(load: Load) -> None:
    space = load(
        SEARCHED + "search:\n  points:\n    - {train.epochs: 2, train.weight_decay: 0}\n"
        "    - train: {warmup: 0.2, learning_rate: 1e-4}\n    - {}\n"
    )
    assert space.points == (
        {"train.epochs": 2, "train.weight_decay": 0.0},
        {"train.warmup": pytest.approx(0.2)},
        {},
    )


@pytest.mark.parametrize(
    ("point", "message"),
    [
        ("{train.epochs: 3}", "must be one of [1, 2], got 3"),
        ("{train.weight_decay: 0.5}", "must be a number from 0 to 0.3, got 0.5"),
        ("{train.weight_decay: a}", "must be a number from 0 to 0.3"),
        ("{train.warmup: 0.15}", "must be 0 and a number of steps of 0.1"),
        ("{train: {warmup: true}}", "must be a number from 0 to 0.3"),
        ("{train.clip: 2.0}", "train.clip is not searched; this file searches train.weight_decay"),
        ("{train.learning_rate: 1e-3}", "train.learning_rate is not searched"),
        ("{epochs: 1}", "epochs is not searched"),
        ("{train.epochs: 1, train: {epochs: 2}}", "train.epochs is given twice in this point"),
    ],
)
def test_a_point_outside_the_space_is_named_at_its_line(
    complain: Complain, point: str, message: str
) -> None:
    added = f"{SEARCHED}search:\n  points:\n    - {{train.epochs: 1}}\n    - {point}\n"
    (found,) = complain(added)
    assert found.startswith("s.yaml:11: search.points.1.")
    assert message in found


def test_a_point_given_behind_the_file_is_named_too(complain: Complain) -> None:
    (found,) = complain(SEARCHED, "search.points=[{train.epochs: 9}]")
    assert found.startswith("override search.points=[{train.epochs: 9}]: ")
    assert "must be one of [1, 2]" in found


def test_points_that_are_no_list_of_maps_are_refused(complain: Complain) -> None:
    (found,) = complain(SEARCHED, "search.points=[3]")
    assert "must be a list of maps, from searched keys to values, got [3]" in found


def test_a_backbone_that_another_stands_in_for_is_drawn_instead(load: Load) -> None:
    space = load(
        "",
        "model.backbone={choice: [a/b, c/d]}",
        "model.offline={choice: [minilm-l6, minilm-l3]}",
        "train.learning_rate={uniform: [1e-5, 1e-3]}",
        "search.points=[{model.backbone: c/d, train.learning_rate: 1e-4}]",
    )
    offline = space.with_backbones(space.offline_backbones)
    assert offline.points == ({"train.learning_rate": 1e-4},)


@pytest.mark.parametrize(
    ("verb", "given", "fitted"),
    [
        (Choice((1, 2.5, "a", {"GPE": "LOC"})), {"GPE": "LOC"}, {"GPE": "LOC"}),
        (Choice((1, 2.5)), 1.0, 1),
        (Uniform(0.0, 2.0), 2, 2.0),
        (LogUniform(1e-5, 1e-3), 1e-3, 1e-3),
        (QUniform(0.1, 0.7, 0.2), 0.5, 0.1 + 2 * 0.2),
        (Int(1, 9), 9, 9),
    ],
)
def test_a_value_of_a_verb_is_given_as_it_is_drawn(
    verb: Verb, given: object, fitted: object
) -> None:
    found = verb.fit(given)
    assert (found, type(found)) == (fitted, type(fitted))


@pytest.mark.parametrize(
    ("verb", "given"),
    [
        (Choice((1, 2)), True),
        (Choice(("a",)), "b"),
        (Uniform(0.0, 2.0), 2.1),
        (Uniform(0.0, 2.0), float("nan")),
        (QUniform(0.0, 1.0, 0.5), 0.4),
        (Int(1, 9), 2.0),
        (Int(1, 9), 10),
    ],
)
def test_a_value_that_a_verb_does_not_span_is_refused(verb: Verb, given: object) -> None:
    with pytest.raises(ValueError, match="must be"):
        verb.fit(given)


def test_a_space_with_fewer_configurations_than_trials_says_so_and_runs_those(load: Load) -> None:
    space = load("  epochs: {choice: [1, 2]}\n  warmup: {quniform: [0.0, 0.2, 0.1]}\n")
    assert space.trials == 6
    assert space.notes == (
        "search.trials is 20, but the space has 6 different configurations: 6 trials are run",
    )
    assert load("  epochs: {choice: [1, 2]}\n", "search.trials=2").notes == ()
    assert load("  epochs: {int: [1, 30]}\n").trials == 20


def test_what_is_too_large_to_list_is_not_listed(load: Load) -> None:
    assert load("  seed: {int: [0, 100000000]}\n").combinations is None
    assert load("  seed: {int: [0, 100000000]}\n").trials == 20
    assert load(SEARCHED).combinations is None
    grid = ", ".join(map(str, range(200)))
    large = f"  seed: {{grid: [{grid}]}}\n  epochs: {{grid: [{grid.replace('0, 1', '1', 1)}]}}\n"
    assert load(large, "search.algorithm=grid").trials == 200 * 199


def test_a_space_says_what_is_tried_first_and_how_work_is_counted(load: Load) -> None:
    lines = load(SEARCHED, "search.points=[{train.epochs: 2}]", "search.time=seconds").describe()
    assert lines[0] == "s: 20 trials, drawn by tpe, stopped early by asha on seconds of training"
    assert "first     {train.epochs: 2}" in lines


def test_a_combination_that_a_rule_forbids_is_not_counted(load: Load) -> None:
    space = load("  epochs: {choice: [1, 2]}\n  seed: {int: [1, 3]}\n")

    def ruled(values: object) -> TrialConfig:
        trial = space.trial(values)  # type: ignore[arg-type]
        if trial.train.epochs == trial.train.seed == 2:
            raise ConfigError([Problem("not both")])
        return trial

    listed = distinct(space.parameters, ruled)
    assert len(listed) == 5
    assert {"train.epochs": 2, "train.seed": 2} not in listed


def test_an_override_takes_values_out_of_points_and_says_so(load: Load) -> None:
    text = SEARCHED + "search:\n  points: [{train.epochs: 2, train.weight_decay: 0.1}]\n"
    space = load(text, "train.epochs=1")
    assert space.points == ({"train.weight_decay": 0.1},)
    assert any("2 is left out of its point, since train.epochs=1" in each for each in space.notes)
