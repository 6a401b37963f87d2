"""Label schemas as a dimension of the search: which maps of types can be searched, and how."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from sweeps.space.space import SearchSpace, load_space
from sweeps.space.verbs import canonical

Load = Callable[..., SearchSpace]
Complain = Callable[..., list[str]]

SCHEMES = "labels.scheme={choice: [IO, IOB2, BIOES]}"
TYPES = "labels.types={choice: [{}, {MISC: null}, {GPE: LOC}]}"
SCORED = "labels.score_types={MISC: null, GPE: LOC}"


def test_schemes_and_types_are_searched_together(load: Load) -> None:
    space = load("", SCHEMES, TYPES, SCORED)
    types = space.parameters["labels.types"]
    assert space.grid_size == 9
    drawn = {"labels.scheme": "IO", "labels.types": canonical(types.corners()[1])}
    trial = space.trial(drawn)
    assert trial.labels.types == {"MISC": None}
    assert trial.labels.scored_types == {"MISC": None, "GPE": "LOC"}
    hashes = {
        space.trial({"labels.scheme": "IO", "labels.types": canonical(one)}).config_hash
        for one in types.corners()
    }
    assert len(hashes) == 3


def test_the_winner_s_types_come_back_from_its_file(load: Load, tmp_path: Path) -> None:
    space = load("", SCHEMES, TYPES, SCORED)
    drawn = {"labels.scheme": "BIOES", "labels.types": '{"MISC":null}'}
    winner = tmp_path / "winner.yaml"
    winner.write_text(space.to_yaml(drawn), encoding="utf-8")
    assert load_space(winner).trial({}) == space.trial(drawn)


def test_the_manual_s_example_is_a_space(load: Load) -> None:
    manual = (Path(__file__).parents[3] / "docs" / "yaml.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```yaml\n(labels:\n.*?)```", manual, re.DOTALL)
    assert set(load(example).parameters) == {"labels.scheme", "labels.types"}


def test_one_map_needs_no_score_types(load: Load) -> None:
    labels = load("", "labels.types={choice: [{GPE: LOC}]}").trial({}).labels
    assert labels.scored_types == labels.types == {"GPE": "LOC"}


def test_searched_types_need_a_word_on_what_is_scored(complain: Complain) -> None:
    (problem,) = complain("labels:\n  types: {choice: [{}, {MISC: null}]}\n")
    assert problem.startswith("s.yaml:6: labels.types: is searched, so labels.score_types must say")


def test_what_is_scored_is_not_searched(complain: Complain) -> None:
    (problem,) = complain("labels:\n  score_types: {choice: [{}, {MISC: null}]}\n")
    assert problem.startswith("s.yaml:6: labels.score_types: cannot be searched")


@pytest.mark.parametrize(
    ("choice", "said"),
    [
        ("{MISC: null}", "MISC is dropped, but scored as MISC"),
        ("{GPE: ORG}", "GPE and ORG become ORG, but are scored GPE as LOC, ORG as ORG"),
    ],
)
def test_a_choice_that_the_score_cannot_follow_is_refused_at_its_line(
    complain: Complain, choice: str, said: str
) -> None:
    scored = "  score_types: {GPE: LOC}\n"
    (problem,) = complain(f"labels:\n  types: {{choice: [{{}}, {choice}]}}\n{scored}")
    assert problem.startswith("s.yaml:7: labels.score_types: must merge what labels.types merges")
    assert problem.endswith(said)


@pytest.mark.parametrize(
    ("types", "said"),
    [
        ("3", "must be a map (text: text or null), got 3"),
        ("{GPE: 3}", "must be a map (text: text or null), got {GPE: 3}"),
        ('{GPE: "A B"}', "a type has no blanks in it, got 'A B'"),
        ("{chioce: [{}]}", "must be a map (text: text or null), got {chioce: [{}]}"),
    ],
)
def test_what_is_no_map_of_types_is_refused(complain: Complain, types: str, said: str) -> None:
    assert complain(f"labels:\n  types: {types}\n") == [f"s.yaml:6: labels.types: {said}"]
