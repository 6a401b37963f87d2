"""A loaded space: parameters, trials, the winner's file, stand-ins; and every file that ships."""

from __future__ import annotations

import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from sweeps.space.space import SearchSpace, load_space
from sweeps.space.verbs import Choice, Grid, LogUniform, Uniform
from tokcls.errors import ConfigError

Load = Callable[..., SearchSpace]

ROOT = Path(__file__).parents[3]
SHIPPED = sorted((ROOT / "search_spaces").glob("*.yaml"))
SEARCHED = """\
  weight_decay: {uniform: [0, 0.3]}
  epochs: {choice: [1, 2]}
"""
VALUES = {"train.weight_decay": 0.1, "train.epochs": 2}


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.name)
def test_every_shipped_file_loads_and_makes_trials_at_its_corners(path: Path) -> None:
    space = load_space(path)
    assert space.name == path.stem
    low = {name: verb.corners()[0] for name, verb in space.parameters.items()}
    high = {name: verb.corners()[-1] for name, verb in space.parameters.items()}
    assert space.trial(low).config_hash != space.trial(high).config_hash


def test_the_quickstart_needs_nothing_from_the_hub() -> None:
    space = load_space(ROOT / "search_spaces" / "quickstart.yaml")
    assert space.data.source == "bundled"
    assert set(space.backbones) == {"minilm-l6", "minilm-l3"}
    assert space.trials == 6
    assert space.sweep.output.register_as == "ner-quickstart"


def test_parameters_are_dotted_keys_in_the_order_of_the_file(load: Load) -> None:
    assert list(load(SEARCHED).parameters.items()) == [
        ("train.weight_decay", Uniform(0.0, 0.3)),
        ("train.epochs", Choice((1, 2))),
    ]


@pytest.mark.parametrize(
    ("epochs", "fewest", "most"),
    [("7", 7, 7), ("{choice: [3, 5, 2]}", 2, 5), ("{int: [1, 9]}", 1, 9)],
)
def test_the_epochs_of_a_trial_are_known(load: Load, epochs: str, fewest: int, most: int) -> None:
    assert load(f"  epochs: {epochs}\n").epochs == (fewest, most)


def test_a_trial_has_the_drawn_values_and_the_fixed_ones(load: Load) -> None:
    trial = load(SEARCHED).trial(VALUES)
    assert trial.train.weight_decay == 0.1
    assert trial.train.epochs == 2
    assert trial.train.learning_rate == 1e-4


def test_a_drawn_value_outside_the_rules_is_named(load: Load) -> None:
    with pytest.raises(ConfigError, match=r"s.yaml:6: train.epochs: .* got 2.5 \(drawn: .*2.5"):
        load(SEARCHED).trial({**VALUES, "train.epochs": 2.5})


@pytest.mark.parametrize("values", [{}, {"train.epochs": 1}, {**VALUES, "train.clip": 1.0}])
def test_a_trial_wants_exactly_the_parameters(load: Load, values: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=r"needs values for train.weight_decay, train.epochs"):
        load(SEARCHED).trial(values)


def test_offline_keys_are_no_part_of_a_trial(load: Load) -> None:
    plain = load().trial({})
    told = load("", "model.offline=minilm-l3", "data.offline=bundled").trial({})
    assert told.config_hash == plain.config_hash


def test_the_winner_s_file_holds_values_where_the_verbs_were(load: Load, tmp_path: Path) -> None:
    space = load(SEARCHED, "model.offline={choice: [minilm-l3, minilm-l6]}")
    winner = tmp_path / "winner.yaml"
    winner.write_text(space.to_yaml(VALUES))
    again = load_space(winner)
    assert again.name == "s"
    assert again.parameters == {}
    assert again.trials == 1
    assert again.trial({}) == space.trial(VALUES)
    assert "offline" not in winner.read_text()


def test_a_space_written_again_is_the_same_space(load: Load, tmp_path: Path) -> None:
    space = load(SEARCHED)
    (tmp_path / "again.yaml").write_text(space.to_yaml())
    again = load_space(tmp_path / "again.yaml")
    assert again.document == space.document
    assert again.space_hash == space.space_hash


def test_the_hash_says_what_is_searched_and_not_how_it_is_run(load: Load) -> None:
    space = load(SEARCHED)
    assert load(SEARCHED, "search.trials=3", "name=x").space_hash == space.space_hash
    assert load(SEARCHED, "train.epochs={choice: [1, 3]}").space_hash != space.space_hash
    assert load(SEARCHED, "labels.scheme=IO").space_hash != space.space_hash


def test_stand_ins_take_the_place_of_all_backbones(load: Load) -> None:
    space = load(
        "",
        "model.backbone={choice: [a/b, c/d, e]}",
        "model.offline={choice: [minilm-l6, minilm-l3]}",
        "search.trials=2",
    )
    assert space.backbones == ("a/b", "c/d", "e")
    offline = space.with_backbones(space.offline_backbones, ["OFFLINE"]).with_source("bundled")
    assert offline.parameters == {"model.backbone": Choice(("minilm-l6", "minilm-l3"))}
    assert offline.notes == ("OFFLINE",)
    assert space.with_backbones(["minilm-l6"]).parameters == {}


def test_a_grid_counts_every_combination(load: Load) -> None:
    space = load("  epochs: {grid: [1, 2, 3]}\n  seed: {choice: [4, 5]}\n", "search.algorithm=grid")
    assert space.grid_size == space.trials == 6
    assert space.with_backbones(["a", "b"]).trials == 12
    assert isinstance(space.parameters["train.epochs"], Grid)


def test_what_cannot_be_counted_has_no_grid_size(load: Load) -> None:
    space = load(SEARCHED)
    assert space.grid_size is None
    assert space.trials == 20


def test_the_search_has_a_seed_even_where_seeds_are_searched(load: Load) -> None:
    assert load().seed == 13
    assert load("  seed: {choice: [7, 3]}\n").seed == 3


def test_the_file_s_name_and_the_sweep_s_name_fill_in(load: Load) -> None:
    space = load()
    assert space.name == "s"
    assert space.sweep.experiment == "s"
    assert load("", "tracking.experiment=e").sweep.experiment == "e"


def test_a_space_describes_itself_and_travels(load: Load) -> None:
    space = load(SEARCHED)
    lines = space.describe()
    assert lines[0] == "s: 20 trials, drawn by tpe, stopped early by asha"
    assert "searched  train.weight_decay: {uniform: [0.0, 0.3]}" in lines
    assert "fixed     train.learning_rate: 0.0001" in lines
    assert pickle.loads(pickle.dumps(space)) == space


def test_shipped_learning_rates_are_drawn_by_powers_of_ten() -> None:
    for path in SHIPPED:
        assert isinstance(load_space(path).parameters["train.learning_rate"], LogUniform)


def test_loading_imports_no_heavy_library() -> None:
    code = (
        "import sys\n"
        "from sweeps.space.space import load_space\n"
        f"load_space({str(SHIPPED[0])!r})\n"
        "heavy = {'ray', 'torch', 'transformers', 'mlflow', 'datasets', 'numpy', "
        "'huggingface_hub'}\n"
        "sys.exit(', '.join(sorted(heavy & set(sys.modules))) or 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
