"""Loading a file: every problem at once, in plain words, at its line."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from sweeps.space.space import SearchSpace

Load = Callable[..., SearchSpace]
Complain = Callable[..., list[str]]


BAD = """\
name: bad sweep
data:
  source: {train: a.txt, dev: b.txt}
  max_length: {choice: [128, 256]}
labels:
  scheme: {choice: [IOB2, IOB3]}
model:
  backbone: minilm-l6
  dropout: {uniform: [0, 1.5]}
train:
  learning_rate: {logunform: [1e-5, 1e-3]}
  batch_size: 32
  epochs: 3.5
  clip: "1e-3"
  warmup: {loguniform: [0, 0.1]}
  seed: true
  epochs: 4
resources: 3
epochs: 3
"""

NAME = "a name (at most 64 letters, digits, `.`, `_`, `-`; the first a letter or digit)"


def test_all_problems_come_at_once_in_the_order_of_the_file(complain: Complain) -> None:
    assert complain(text=BAD) == [
        f"s.yaml:1: name: must be {NAME}, got 'bad sweep'",
        "s.yaml:3: data.source.dev: unknown key; did you mean `validation`?",
        "s.yaml:4: data.max_length: cannot be searched; labels, model and train keys can",
        "s.yaml:6: labels.scheme: must be one of `IO`, `IOB1`, `IOB2`, `IOE2`, `BIOES`, "
        "`BILOU`, got 'IOB3' in {choice: [IOB2, IOB3]}",
        "s.yaml:9: model.dropout: must be a number of at least 0 and less than 1, got 1.5 "
        "in {uniform: [0.0, 1.5]}",
        "s.yaml:11: train.learning_rate: unknown verb `logunform`; did you mean `loguniform`?",
        "s.yaml:12: train.batch_size: unknown key; did you mean `tokens_per_batch`?",
        "s.yaml:13: train.epochs: must be a whole number greater than 0, got 3.5",
        "s.yaml:14: train.clip: must be a number greater than 0, got '1e-3' "
        "(text; take the quotes away)",
        "s.yaml:15: train.warmup: loguniform needs 0 < low < high, got [0, 0.1]",
        "s.yaml:16: train.seed: must be a whole number of at least 0, got true",
        "s.yaml:17: train.epochs: is given twice, first on line 13; keep one",
        "s.yaml:18: resources: must be a section with keys, got 3",
        "s.yaml:19: epochs: unknown key; did you mean `train.epochs`?",
    ]


@pytest.mark.parametrize(
    ("added", "message"),
    [
        ("  dropout: 0.1", "train.dropout: unknown key; did you mean `model.dropout`?"),
        ("  lr: 1e-3", "train.lr: unknown key; did you mean `learning_rate`?"),
        ("  epoch: 3", "train.epoch: unknown key; did you mean `epochs`?"),
        ("  zzz: 3", "train.zzz: unknown key; `train` knows learning_rate, epochs, "),
        ("train.epochs: 3", "train.epochs: unknown key; write `epochs` under `train:`"),
        ("  choice: [1]", "a verb stands in place of one value, not of the section `train`"),
        ("  epochs: {choice: []}", "train.epochs: choice needs at least one value, got []"),
        ("  clip: {uniform: [1, 2], int: [1, 2]}", "got a map of uniform, int"),
        ("  clip: {}", "takes one value or one verb, got a map of {}"),
        ("  clip: {low: 1}", "unknown verb `low`; verbs are choice, grid, uniform"),
        ("  clip: .inf", "train.clip: must be a finite number, got .inf"),
        ("  epochs:", "train.epochs: must be a whole number greater than 0, got null"),
        ("  epochs: {quniform: [1, 5, 2]}", "must be a whole number greater than 0, got 1.0"),
        ("  epochs: *x", "train.epochs: alias *x is not read; write the value itself"),
        ("search: {metric: {choice: [val_f1]}}", "search.metric: cannot be searched"),
        ("search: {trials: yes}", "must be a whole number greater than 0, got 'yes'"),
        ("search: {algorithm: TPE}", "must be one of `random`, `grid`, `tpe`, got 'TPE'"),
        ("resources: {gpus_per_worker: 0.4}", "must be a whole number, or 1/n"),
        ("resources: {gpus_per_worker: all}", "must be `auto` or a number of at least 0"),
        ("resources: {workers_per_trial: 2, gpus_per_worker: 0.5}", "workers_per_trial = 1"),
        ("tracking: {uri: ''}", "tracking.uri: must not be empty"),
        ("output: {register_as: a/b}", "or null, got 'a/b'"),
    ],
)
def test_one_problem_gets_one_message(complain: Complain, added: str, message: str) -> None:
    messages = {text.split(" in {")[0]: text for text in complain(added)}
    assert message in next(iter(messages.values()))
    assert all(text.startswith("s.yaml:5: ") for text in messages.values())


def test_grid_belongs_to_the_grid_algorithm(complain: Complain) -> None:
    assert complain("  epochs: {grid: [1, 2]}\n") == [
        "s.yaml:5: train.epochs: grid needs search.algorithm = grid, got tpe; or write choice"
    ]
    assert complain("  clip: {uniform: [1, 2]}\nsearch: {algorithm: grid}\n") == [
        "s.yaml:5: train.clip: search.algorithm = grid needs grid or choice here, got uniform"
    ]


def test_required_keys_are_asked_for_one_by_one(complain: Complain) -> None:
    messages = complain("labels:\ntrain:\n  epochs: 1\n", text="")
    assert [message.split(": is required")[0] for message in messages] == [
        "s.yaml:2: train.learning_rate",
        "s.yaml: data.source",
        "s.yaml: model.backbone",
    ]


@pytest.mark.parametrize("text", ["", "# nothing\n", "null\n"])
def test_an_empty_file_says_what_a_file_needs(complain: Complain, text: str) -> None:
    assert complain(text=text) == [
        "s.yaml: the file says nothing; it needs data.source, model.backbone and "
        "train.learning_rate"
    ]


def test_a_file_that_is_no_map_is_a_problem(complain: Complain) -> None:
    assert complain(text="- a\n") == ["s.yaml:1: a file is a map of sections, got [a]"]


def test_a_choice_of_one_is_that_value_with_a_note(load: Load) -> None:
    space = load("  epochs: {choice: [5]}\n")
    assert space.parameters == {}
    assert space.trial({}).train.epochs == 5
    assert space.notes == ("train.epochs: choice with one item is that value, 5",)


def test_a_map_of_files_stays_a_value(load: Load) -> None:
    space = load("", "data.source={train: a.txt, validation: b.txt}")
    assert space.data.model_dump()["source"] == {
        "train": "a.txt",
        "validation": "b.txt",
        "test": None,
    }


def test_validation_is_a_file_or_a_share_and_not_both(load: Load, complain: Complain) -> None:
    assert load("", "data.source={train: a}", "data.validation=0.1").data.validation == 0.1
    (neither,) = complain("", "data.source={train: a}")
    assert neither.startswith("s.yaml:1: data.validation: data.source names no validation file;")
    (both,) = complain("", "data.source={train: a, validation: b}", "data.validation=0.1")
    assert both.endswith("names a validation file as well; keep one of the two")
    for share in ("0", "1", "1.5", "true"):
        (wrong,) = complain("", f"data.validation={share}")
        assert "must be a number greater than 0 and less than 1 or null" in wrong


def test_columns_are_a_map_of_names_or_numbers(load: Load, complain: Complain) -> None:
    columns = load("", "data.columns={word: 1, tag: NE}").data.columns
    assert columns is not None
    assert columns.model_dump(exclude_none=True) == {"word": 1, "tag": "NE"}
    (unknown,) = complain("", "data.columns={words: 1}")
    assert "unknown key; did you mean `word`?" in unknown


def test_a_share_of_a_gpu_is_one_over_n(load: Load) -> None:
    for text, share in {"0.5": 0.5, "0.33": 0.33, "2": 2.0, "0": 0.0, "auto": "auto"}.items():
        space = load(f"resources: {{gpus_per_worker: {text}}}\n")
        assert space.sweep.resources.gpus_per_worker == share


def test_every_choice_is_tried_by_itself_and_not_in_all_combinations(load: Load) -> None:
    values = ", ".join(map(str, range(2, 500)))
    keys = ("epochs", "seed", "tokens_per_batch")
    many = [f"  {key}: {{choice: [{values.replace(', ', '0, ')}0]}}\n" for key in keys]
    assert load("".join(many)).grid_size == 498**3
