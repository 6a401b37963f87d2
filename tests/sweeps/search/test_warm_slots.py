"""What staying warm costs a slot: memory, and room that another one could have."""

from __future__ import annotations

import resource
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import ray
from ray import tune

from sweeps.search.events import Retry, State, Trial
from sweeps.search.mailbox import Epoch
from sweeps.search.slot import DIVISION, RESUMED_AT, TRIAL, VALUES
from tests.sweeps.search.slots_processes import HastySlot
from tests.sweeps.search.slots_small import RETURN_SECONDS, Small, held, write_corpus
from tests.sweeps.search.test_retries_on_ray import pids_of
from tests.tiny import tiny_model

pytestmark = pytest.mark.alone


@dataclass
class Weigh:
    """Notes what the only worker holds in memory when a trial is over, in bytes."""

    at: tuple[str, ...]
    pids: list[int] = field(default_factory=list)
    weights: list[int] = field(default_factory=list)

    def started(self, trial: Trial) -> None:
        """Nothing to weigh yet."""

    def epoch(self, trial: Trial, epoch: Epoch) -> None:
        """The trial still holds its network."""

    def retried(self, trial: Trial, retry: Retry) -> None:
        """No trial of these fails."""

    def ended(self, trial: Trial) -> None:
        if trial.trial_id not in self.at:
            return
        (pid,) = pids_of("RayTrainWorker")
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        self.pids.append(pid)
        self.weights.append(pages * resource.getpagesize())


@pytest.fixture(scope="module")
def small(ray_cluster: None, tmp_path_factory: pytest.TempPathFactory) -> Small:
    top = tmp_path_factory.mktemp("warm")
    return Small(top, write_corpus(top / "corpus"), tiny_model("bert", top / "bert"))


def test_a_slot_does_not_grow_from_trial_to_trial(small: Small) -> None:
    scale = Weigh(at=("t005", "t030"))
    ran = small.run(
        "thirty",
        "search.algorithm=random",
        "search.trials=30",
        "train.learning_rate={loguniform: [1e-4, 1e-2]}",
        "train.epochs=1",
        listeners=[scale],
    )
    assert [trial.state for trial in ran.trials] == [State.FINISHED] * 30
    assert len(set(scale.pids)) == 1
    fifth, thirtieth = scale.weights
    print(f"RSS after 5: {fifth / 2**20:.1f} MiB, after 30: {thirtieth / 2**20:.1f} MiB")
    assert thirtieth <= 1.1 * fifth


def drawn(name: str) -> dict[str, Any]:
    """What the searcher gives Tune for a trial of a fixed configuration."""
    return {TRIAL: name, VALUES: {}, RESUMED_AT: 0, DIVISION: 1}


def hasty_slot(small: Small, name: str) -> Any:
    """Make a slot as Tune does."""
    materials = small.materials(name, "train.epochs=1")
    actor: Any = ray.remote(num_cpus=0)(tune.with_parameters(HastySlot, materials=materials))
    return actor.remote(config=drawn("t001"))


def test_a_slot_that_is_never_given_a_trial_starts_no_workers(small: Small) -> None:
    before = pids_of("TrainController")  # of the test before, if they are still ending
    slot = hasty_slot(small, "surplus")
    ray.get(slot.__ray_ready__.remote())
    began = time.monotonic()
    ray.get(slot.stop.remote())
    assert time.monotonic() - began < 10.0  # workers that are on their way are waited for: 20 s
    assert {*pids_of("TrainController")} <= {*before}
    ray.kill(slot)


def test_a_slot_without_a_trial_gives_its_room_back_until_it_has_one(small: Small) -> None:
    before = held(seconds=RETURN_SECONDS)  # nothing, if the tests before are over
    slot = hasty_slot(small, "hasty")
    assert ray.get(slot.train.remote())["epoch"] == 1
    assert held() == before
    assert ray.get(slot.reset.remote(drawn("t002")))
    assert ray.get(slot.train.remote())["epoch"] == 1
    assert held(seconds=0.0)["CPU"] == 1.0 + before.get("CPU", 0.0)
    ray.get(slot.stop.remote())
    ray.kill(slot)
    assert held() == before
