"""Failures are results: what raises, runs out of memory or is killed goes on, then is recorded."""

from __future__ import annotations

import os
import resource
import signal
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import ray
from ray.util.state import list_actors

from sweeps.search.events import Retry, State, Trial
from sweeps.search.mailbox import Epoch
from tests.sweeps.search.slots_small import Ran, Small, write_corpus
from tests.tiny import tiny_model

pytestmark = pytest.mark.alone

HEADROOM = 150 * 2**20
# Learning rates, by which trials are told apart.
TOO_HIGH, SLOT_KILLED, CONTROLLER_KILLED = 1e30, 0.01, 0.005


@dataclass
class Once:
    """Does something when a trial starts (0) or has finished an epoch, the first time only.

    `at` names the trial, or its learning rate.
    """

    at: tuple[str | float, int]
    do: Callable[[], None]
    done: list[str | float] = field(default_factory=list)

    def started(self, trial: Trial) -> None:
        self._maybe(trial, 0)

    def epoch(self, trial: Trial, epoch: Epoch) -> None:
        self._maybe(trial, epoch.number)

    def retried(self, trial: Trial, retry: Retry) -> None:
        """Nothing to do."""

    def ended(self, trial: Trial) -> None:
        """Nothing to do."""

    def _maybe(self, trial: Trial, number: int) -> None:
        name, at = self.at
        if name in (trial.trial_id, rate_of(trial)) and at == number and not self.done:
            self.done.append(name)
            self.do()


def rate_of(trial: Trial) -> float:
    return float(trial.config["train"]["learning_rate"])


def pids_of(name: str) -> list[int]:
    """The processes of the living actors whose class has `name` in its name."""
    address = ray.get_runtime_context().gcs_address
    alive = list_actors(address=address, filters=[("state", "=", "ALIVE")])
    return sorted(each.pid for each in alive if name in each.class_name and each.pid)


def kill(name: str) -> Callable[[], None]:
    def do() -> None:
        (pid,) = pids_of(name)
        os.kill(pid, signal.SIGKILL)

    return do


def leave_little_memory() -> None:
    """Let the slot's worker take no more than `HEADROOM` on top of what it has."""
    (pid,) = pids_of("RayTrainWorker")
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[0])
    most = pages * resource.getpagesize() + HEADROOM
    resource.prlimit(pid, resource.RLIMIT_AS, (most, most))


@pytest.fixture(scope="module")
def small(ray_cluster: None, tmp_path_factory: pytest.TempPathFactory) -> Small:
    top = tmp_path_factory.mktemp("retries")
    return Small(top, write_corpus(top / "corpus"), tiny_model("bert", top / "bert"))


def test_out_of_memory_is_tried_again_with_half_the_batch(small: Small) -> None:
    # All windows of the corpus in one batch, many times over: attention alone takes gigabytes.
    (small.corpus / "train.txt").write_text(
        (small.corpus / "train.txt").read_text() * 75, encoding="utf-8"
    )
    try:
        ran = small.run(
            "memory",
            "train.tokens_per_batch={choice: [16384, 10000000]}",
            "train.epochs=1",
            "search.retries=1",
            listeners=[Once(("t002", 0), leave_little_memory)],
        )
    finally:
        text = (small.corpus / "train.txt").read_text()
        (small.corpus / "train.txt").write_text(text[: len(text) // 75], encoding="utf-8")
    easy, hard = ran.trials
    assert (easy.state, easy.retries) == (State.FINISHED, [])
    assert (hard.state, hard.reason) == (State.FINISHED, "")
    assert [retry.division for retry in hard.retries] == [2]
    assert "memory" in hard.retries[0].reason
    assert ran.told.of("t002") == [("started", 0), ("retried", 2), ("epoch", 1), ("ended", 0)]
    assert ran.held == {}


@pytest.fixture(scope="module")
def bruised(small: Small) -> Ran:
    """A trial that always raises, one whose slot is killed, and one whose controller is."""
    killers = [
        Once((SLOT_KILLED, 2), kill("Trainable")),
        Once((CONTROLLER_KILLED, 2), kill("TrainController")),
    ]
    rates = f"train.learning_rate={{choice: [{TOO_HIGH}, {SLOT_KILLED}, {CONTROLLER_KILLED}]}}"
    ran = small.run("bruised", rates, "search.retries=1", "train.epochs=4", listeners=killers)
    assert [killer.done for killer in killers] == [[SLOT_KILLED], [CONTROLLER_KILLED]]
    return ran


def test_a_trial_that_raises_again_is_recorded_as_failed(bruised: Ran) -> None:
    failed = of_rate(bruised, TOO_HIGH)
    assert failed.state is State.FAILED
    assert "not a finite number" in failed.reason
    assert [retry.division for retry in failed.retries] == [1]


@pytest.mark.parametrize("rate", [SLOT_KILLED, CONTROLLER_KILLED], ids=["slot", "controller"])
def test_a_slot_or_a_controller_that_is_killed_costs_no_trial(bruised: Ran, rate: float) -> None:
    trial = of_rate(bruised, rate)
    assert (trial.state, trial.reason) == (State.FINISHED, "")
    assert [epoch.number for epoch in trial.epochs] == [1, 2, 3, 4]
    assert [kind for kind, _ in bruised.told.of(trial.trial_id)].count("ended") == 1


def test_a_sweep_in_which_much_fails_holds_nothing_when_it_is_over(bruised: Ran) -> None:
    assert len(bruised.trials) == 3
    assert bruised.held == {}


def of_rate(ran: Ran, rate: float) -> Trial:
    (trial,) = (each for each in ran.trials if rate_of(each) == rate)
    return trial
