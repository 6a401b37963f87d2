"""What a sweep is said to cost before it starts follows from what its backbones showed."""

from __future__ import annotations

from pathlib import Path

import pytest

from sweeps.estimate import Measured, estimate, expected_epochs
from sweeps.search.resources import SlotPlan
from sweeps.space.config import SearchConfig
from tests.sweeps.search.made_trials import make_space

ONE_SLOT = SlotPlan(workers=1, cpus=2, gpus=0, slots=1)


def measured(seconds: float, parameters: int = 1_000_000) -> Measured:
    """A backbone whose epoch takes so long, a fifth of it for validation."""
    return Measured(
        parameters=parameters,
        largest_seconds=2.0,
        typical_seconds=1.0,
        training_seconds=0.8 * seconds,
        validation_seconds=0.2 * seconds,
        words_per_second=500.0,
        memory=10**9,
        capacity=8 * 10**9,
    )


def test_without_stopping_one_backbone_is_reckoned_exactly(tmp_path: Path) -> None:
    space = make_space(tmp_path, "search.scheduler=none", "train.epochs=3")
    made = estimate(space, ONE_SLOT, {"a": measured(100.0)}, trials=8)
    assert made.seconds_at_most == made.seconds_expected == 8 * 3 * 100
    in_two = SlotPlan(workers=1, cpus=1, gpus=0, slots=2)
    assert estimate(space, in_two, {"a": measured(100.0)}, trials=8).seconds_expected == 1200
    # The last of three trials has a slot for itself.
    assert estimate(space, in_two, {"a": measured(100.0)}, trials=3).seconds_at_most == 600


def test_at_most_means_the_slowest_backbone_and_the_most_epochs(tmp_path: Path) -> None:
    space = make_space(tmp_path, "search.scheduler=none", "train.epochs={choice: [1, 3]}")
    both = {"small": measured(10.0), "large": measured(30.0)}
    made = estimate(space, ONE_SLOT, both, trials=4)
    assert made.seconds_at_most == 4 * 3 * 30
    assert made.seconds_expected == pytest.approx(4 * 2 * 20)


def test_more_slots_than_trials_are_of_no_use(tmp_path: Path) -> None:
    space = make_space(tmp_path, "search.scheduler=none", "train.epochs=2")
    plan = SlotPlan(workers=1, cpus=1, gpus=0, slots=9)
    made = estimate(space, plan, {"a": measured(10.0)}, trials=3)
    assert (made.slots, made.seconds_at_most) == (3, 20)


@pytest.mark.parametrize(("trials", "least", "most"), [(1, 9.0, 9.0), (100, 1.0, 3.0)])
def test_asha_is_expected_to_stop_what_its_rule_stops(
    trials: int, least: float, most: float
) -> None:
    search = SearchConfig(scheduler="asha", grace=1, reduction=3)
    assert least <= expected_epochs(search, 9, trials) <= most


def test_what_is_expected_lies_between_grace_and_all_epochs() -> None:
    for grace in (1, 2, 5):
        search = SearchConfig(scheduler="asha", grace=grace)
        played = [expected_epochs(search, 8, trials) for trials in (5, 20, 80)]
        assert min(grace, 8) < played[-1] < 8
        assert played == sorted(played, reverse=True), "the more rivals, the more are stopped"
    assert expected_epochs(SearchConfig(scheduler="none"), 8, 20) == 8


def test_the_disk_is_that_of_the_largest_backbone(tmp_path: Path) -> None:
    space = make_space(tmp_path, "output.keep_top=2")
    both = {"small": measured(1.0, 10**6), "large": measured(1.0, 5 * 10**7)}
    made = estimate(space, ONE_SLOT, both, trials=20)
    assert (made.checkpoints, made.checkpoint_bytes) == (2, 4 * 5 * 10**7)
    assert made.disk_bytes > 2 * made.checkpoint_bytes
    assert estimate(space, ONE_SLOT, both, trials=1).checkpoints == 1


def test_an_estimate_is_said_in_lines_json_and_params(tmp_path: Path) -> None:
    space = make_space(tmp_path, "search.scheduler=none", "train.epochs=2")
    made = estimate(space, ONE_SLOT, {"a": measured(1800.0)}, trials=2)
    first, time, disk = made.lines()
    assert first.startswith("a: 500 words/s, 1.8e+03 s an epoch; its largest batch 2 s, 1 GB")
    assert "at most 2 h 0 min of training, about 2 h 0 min expected (2 trials of 2 of 2" in time
    assert "weights that stay: 2 x 4 MB" in disk
    assert made.to_json()["hours_at_most"] == 2.0
    assert made.to_json()["backbones"]["a"]["words_per_second"] == 500.0
    assert made.params()["estimate.hours_expected"] == "2"
