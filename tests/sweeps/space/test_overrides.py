"""`key=value` behind the file."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from sweeps.space.space import SearchSpace
from sweeps.space.verbs import LogUniform

Load = Callable[..., SearchSpace]
Complain = Callable[..., list[str]]


def test_an_override_takes_the_place_of_the_file_s_value(load: Load) -> None:
    space = load("", "train.learning_rate={loguniform: [1e-5, 1e-3]}", "labels.scheme=BIOES")
    assert space.parameters == {"train.learning_rate": LogUniform(1e-5, 1e-3)}
    assert space.trial({"train.learning_rate": 1e-4}).labels.scheme == "BIOES"


def test_an_override_mends_what_the_file_says_wrong(load: Load) -> None:
    assert load("  epochs: x\n", "train.epochs=2").trial({}).train.epochs == 2


def test_an_override_reaches_into_a_map(load: Load) -> None:
    space = load("", "data.source.train=a", "data.source.validation=b")
    assert space.document["data"]["source"] == {"train": "a", "validation": "b"}


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("train.epochs=x", "must be a whole number greater than 0, got 'x'"),
        ("train.epochs=", "must be a whole number greater than 0, got null"),
        ("epochs=1", "unknown key; did you mean `train.epochs`?"),
        ("train.epoch=1", "unknown key; did you mean `train.epochs`?"),
        ("trian.epochs=1", "unknown key; did you mean `train.epochs`?"),
        ("train=3", "`train` is a section; give one of its keys, such as train.learning_rate"),
        ("train.epochs", "must be key=value, such as train.epochs=1"),
        ("train.clip={loguniform: [0, 1]}", "loguniform needs 0 < low < high, got [0, 1]"),
        ("search.trials={int: [1, 2]}", "cannot be searched; labels, model and train keys can"),
        ("name=a b", "got 'a b'"),
        ("model.backbone={choice: [a", "not valid YAML"),
    ],
)
def test_a_wrong_override_is_reported_as_it_was_typed(
    complain: Complain, override: str, message: str
) -> None:
    (line,) = complain("", override)
    assert line.startswith(f"override {override}: ")
    assert message in line


def test_the_same_key_twice_is_a_problem(complain: Complain) -> None:
    assert complain("", "train.epochs=1", "train.epochs=2") == [
        "override train.epochs=2: the same key is given twice, first as train.epochs=1"
    ]


def test_overrides_are_reported_after_the_file_and_in_their_order(complain: Complain) -> None:
    lines = complain("  clip: 0\n", "zzz=1", "train.epochs=0", "labels.scheme=X", "a")
    assert [line.split(":")[0] for line in lines] == [
        "s.yaml",
        "override zzz=1",
        "override train.epochs=0",
        "override labels.scheme=X",
        "override a",
    ]
