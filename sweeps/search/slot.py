"""A slot: a Tune actor that keeps one Ray Train worker group warm and hands it trial after trial.

Tune (`reuse_actors=True`) -> Slot -> mailbox -> workers. One `step()` is one epoch of the current
trial. A trial that fails is a result with a `failed` reason; the group that it ran in is replaced
by Ray Train before the next. A slot that is given nothing to do sends its workers home, so that one
whose node is lost can have the room.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import ray
from ray import tune

from sweeps.search.entry import enter
from sweeps.search.events import Trial
from sweeps.search.mailbox import Assignment, Event, Failure, Verdict, start_mailbox
from sweeps.search.reach import Mark
from sweeps.search.resources import SlotPlan
from sweeps.search.storage import Storage
from sweeps.search.trial_folder import folder_of
from sweeps.space.space import SearchSpace
from tokcls.config import TrialConfig
from tokcls.data.prepared import Prepared
from tokcls.model.backbones import Backbone

TRIAL, VALUES = "trial", "values"  # what the searcher gives Tune
RESUMED_AT, DIVISION = "resumed_at", "division"  # and what it knows of an interrupted trial
METRICS, NOTE = "metrics", "note"  # where a result keeps what the workers measured and noted
RESTARTS = 3  # of one worker group by Ray Train, before the slot builds another
ATTEMPTS = 1  # of a trial in such another group without a new epoch, before it has failed
SMALLEST_BATCH = 16
POLL_SECONDS = 1.0
HOME_SECONDS = 5.0


@dataclass(frozen=True)
class Materials:
    """What all trials of a sweep share; `data` has a `Prepared` in the store by backbone folder.

    `folder` is the driver's own; trials keep their files in `storage`.
    """

    space: SearchSpace
    folder: Path
    plan: SlotPlan
    backbones: dict[str, Backbone]
    data: dict[Path, ray.ObjectRef[Prepared]]
    storage: Storage
    mark: Mark | None = None
    """what nodes find in the storage if it is the driver's; None: the driver's is the only node"""

    def assignment(self, config: dict[str, Any]) -> Assignment:
        """Turn what the searcher drew into what the workers need."""
        trial = in_parts(self.space.trial(config[VALUES]), config[DIVISION])
        backbone = self.backbones[trial.model.backbone]
        return Assignment(
            trial_id=config[TRIAL],
            config=trial,
            backbone=backbone,
            data=self.data[backbone.folder],
            folder=folder_of(self.storage, config[TRIAL]).storage,
            reported=config[RESUMED_AT],
        )


def in_parts(trial: TrialConfig, division: int) -> TrialConfig:
    """Cut batches into parts; as many more make one step, so that the model learns as before."""
    train = trial.train
    smaller = {
        "tokens_per_batch": max(SMALLEST_BATCH, train.tokens_per_batch // division),
        "accumulate": train.accumulate * division,
    }
    return trial.model_copy(update={"train": train.model_copy(update=smaller)})


def assignment_of(materials: Materials, trial: Trial) -> Assignment:
    """What a trial that is over was given."""
    values = dict(trial.values)
    return materials.assignment({TRIAL: trial.trial_id, VALUES: values, RESUMED_AT: 0, DIVISION: 1})


class Slot(tune.Trainable):
    """The class that Tune schedules; see the module's docstring."""

    # Well beyond what the driver may need between two calls: trials that go on start again.
    idle_seconds = 30.0

    def setup(  # type: ignore[override]  # tune.with_parameters adds the second argument
        self, config: dict[str, Any], materials: Materials
    ) -> None:
        self._materials = materials
        self._trial = config
        self._epoch: int | None = None
        self._reported: int = config[RESUMED_AT]
        self._attempts = 0
        self._retries = materials.space.sweep.search.retries
        self._group: threading.Thread | None = None  # Tune makes slots that it then has no use for
        self._idle, self._home = threading.Timer(self.idle_seconds, self._send_home), False

    def _start_group(self) -> None:
        self._mailbox = start_mailbox()
        self._error: BaseException | None = None
        self._group = threading.Thread(target=self._run_group, args=(self._mailbox,), daemon=True)
        self._group.start()

    def _run_group(self, mailbox: Any) -> None:
        from ray.train import FailureConfig, RunConfig
        from ray.train.torch import TorchTrainer

        from sweeps.search.interface import OverRaysNetwork

        plan = self._materials.plan
        trainer = TorchTrainer(
            enter,
            train_loop_config={
                "mailbox": mailbox,
                "cpus": plan.cpus,
                "mark": self._materials.mark,
            },
            scaling_config=plan.scaling(),
            torch_config=OverRaysNetwork(backend=plan.backend),
            run_config=RunConfig(
                name=f"slot-{self.trial_id}-{time.time_ns()}",
                storage_path=str(self._materials.folder / "ray" / "slots"),
                failure_config=FailureConfig(max_failures=RESTARTS),
            ),
        )
        try:
            trainer.fit()
        except Exception as error:  # carried to step(), which makes it the trial's result
            self._error = error

    def _alive(self) -> bool:
        return self._group is not None and self._group.is_alive()

    def _send_home(self) -> None:
        self._home = True
        ray.get(self._mailbox.close.remote())

    def _busy(self) -> None:
        """End the idle time; workers that were sent home are given a moment to go."""
        self._idle.cancel()
        if self._home and self._group is not None:
            self._group.join(timeout=HOME_SECONDS)

    def _assign(self) -> None:
        """Hand the trial to the workers, to new ones if there are none or their group has ended."""
        if not self._alive():
            if self._group is not None:
                ray.kill(self._mailbox)
            self._start_group()
        self._home = False
        assignment = self._materials.assignment(self._trial)
        ray.get(self._mailbox.assign.remote(replace(assignment, reported=self._reported)))

    def step(self) -> dict[str, Any]:
        self._busy()
        if self._epoch is None and self._reported >= self._epochs():
            return {"epoch": self._reported, "done": True}  # all was told before a restart
        if self._epoch is None or self._home:
            self._attempts = 0
            self._assign()
        else:
            ray.get(self._mailbox.decide.remote(self._epoch, Verdict.CONTINUE))
        result = self._result(self._next_event())
        self._idle = threading.Timer(self.idle_seconds, self._send_home)
        self._idle.daemon = True
        self._idle.start()
        return result

    def _next_event(self) -> Any:
        """Wait for the workers; what ends group after group is a failure of the trial."""
        reference = self._mailbox.next_event.remote()
        while True:
            ready, _ = ray.wait([reference], timeout=POLL_SECONDS)
            if ready:
                return ray.get(reference)
            if not self._alive():
                self._attempts += 1
                if self._attempts > ATTEMPTS:
                    return self._ended()
                self._assign()
                reference = self._mailbox.next_event.remote()

    def _ended(self) -> Failure:
        lines = str(self._error).strip().splitlines() if self._error else []
        reason = f"worker group ended: {(lines or ['no reason given'])[-1]}"
        # Ray kills a worker when the node's memory runs out, and says so.
        return Failure(reason, out_of_memory="OutOfMemory" in str(self._error))

    def _result(self, event: Event) -> dict[str, Any]:
        if isinstance(event, Failure):
            self._epoch = None
            return self._retry(event) or {"failed": event.reason, "done": True}
        space = self._materials.space
        metric = space.sweep.search.metric
        self._epoch = self._reported = event.number
        self._attempts = 0  # a trial that gets on may lose as many nodes as there are
        final = event.number == self._epochs()
        if final:
            self._end_trial()
        return {
            "epoch": event.number,
            metric: event.metrics[metric],
            METRICS: event.metrics,
            NOTE: event.note,
            "done": final,
        }

    def _retry(self, failure: Failure) -> dict[str, Any] | None:
        """Let the next step give the trial to the workers again; None: it has had its chances."""
        if not self._retries:
            return None
        self._retries -= 1
        if failure.out_of_memory:
            self._trial = self._trial | {DIVISION: 2 * self._trial[DIVISION]}
        return {"retried": failure.reason, DIVISION: self._trial[DIVISION], "done": False}

    def _epochs(self) -> int:
        return self._materials.space.trial(self._trial[VALUES]).train.epochs

    def _end_trial(self) -> None:
        if self._epoch is not None:
            ray.get(self._mailbox.decide.remote(self._epoch, Verdict.STOP))
        self._epoch = None

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self._busy()
        self._end_trial()
        self._trial, self._reported = new_config, new_config[RESUMED_AT]
        self._retries = self._materials.space.sweep.search.retries
        return True

    def save_checkpoint(self, checkpoint_dir: str) -> dict[str, Any]:
        return {}  # a trial's state is in its own folder

    def load_checkpoint(self, checkpoint: Any) -> None:
        """Nothing to load: workers find their last state in the trial's folder."""

    def cleanup(self) -> None:
        self._idle.cancel()
        if self._group is None:
            return
        ray.get(self._mailbox.close.remote())
        self._group.join(timeout=20)
        ray.kill(self._mailbox)
