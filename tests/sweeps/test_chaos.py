"""One seed of the benchmark that kills everything once."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks._chaos_run import KINDS, LATEST, blows
from benchmarks._chaos_world import world
from benchmarks.chaos import disturbed


def test_each_kind_is_killed_once_at_moments_that_the_seed_decides() -> None:
    drawn = {seed: blows(seed, tuple(KINDS)) for seed in range(1, 11)}
    for ahead in drawn.values():
        assert sorted(blow.what for blow in ahead) == sorted(KINDS)
        moments = [blow.epochs for blow in ahead]
        assert moments == sorted(set(moments))
        assert moments[-1] <= LATEST
    assert blows(3, tuple(KINDS)) == drawn[3]
    assert len({tuple(blow.what for blow in ahead) for ahead in drawn.values()}) > 5


@pytest.mark.alone
def test_a_sweep_in_which_everything_is_killed_once_ends_as_an_undisturbed_one(
    tmp_path: Path,
) -> None:
    with world(tmp_path) as around:
        line = disturbed(around, seed=2)
    assert [each["what"] for each in line["killed"]] == [b.what for b in blows(2, tuple(KINDS))]
    assert line["wrong"] == {}, json.dumps(line, indent=1)
