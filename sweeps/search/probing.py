"""Has two batches of every backbone trained before the first trial, and says what stands against.

In a sweep that is a Ray task with a slot's share, which begins as soon as its corpus is tokenised;
for `--check` a child process. Neither torch nor Ray is imported here before it is needed.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sweeps.console import Stages
from sweeps.errors import ResourceError
from sweeps.estimate import Estimate, Measured, estimate
from sweeps.search.resources import Room, SlotPlan
from sweeps.space.sizes import shown_bytes
from sweeps.space.space import SearchSpace
from tokcls.config import DataConfig, TrialConfig
from tokcls.data.corpus import Corpus
from tokcls.errors import ConfigError, Problem
from tokcls.model.backbones import Backbone

if TYPE_CHECKING:
    import ray

    from sweeps.preflight import Ready
    from sweeps.search.reach import Mark
    from tokcls.data.prepared import Prepared

STAGE = "training two batches of each backbone"
BACKBONE, TOKENS = "model.backbone", "train.tokens_per_batch"
CHILD = {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
NO_GPU = {"CUDA_VISIBLE_DEVICES": ""}
SAY_AFTER_S = 10.0
SAID = 300  # characters of what Ray says, which has its reasons on later lines
LOST_TIMES = 3  # that a probe is begun again, since its node was lost
KILLED_TIMES = 1  # and since its process was killed; the next time it will be for its memory


@dataclass(frozen=True)
class Share:
    """What one worker has: CPUs, and one part in `workers` of the batches."""

    cpus: float
    workers: int


@dataclass(frozen=True)
class Refused:
    """Why two batches of a backbone could not be trained; `key` is the one to change."""

    reason: str
    key: str = BACKBONE


Answer = Measured | Refused


@dataclass(frozen=True)
class Setting:
    """Where slots run: their shape, the cluster's room, and what its nodes find in the storage."""

    plan: SlotPlan
    room: Room
    mark: Mark | None


@dataclass(frozen=True)
class Order:
    """What a process of its own is to measure: for each backbone one configuration."""

    corpus: Corpus
    data: DataConfig
    trials: Mapping[str, tuple[TrialConfig, Backbone]]
    share: Share


def dearest(space: SearchSpace, backbone: str) -> TrialConfig:
    """The configuration of a backbone that takes most memory: the largest batches."""
    corners = {name: verb.corners() for name, verb in space.parameters.items()}
    values = {name: max(ends) if name == TOKENS else ends[0] for name, ends in corners.items()}
    return space.trial(values | ({BACKBONE: backbone} if BACKBONE in corners else {}))


def estimate_here(ready: Ready, plan: SlotPlan) -> Estimate:
    """Measure in a child process; raise ConfigError if a backbone cannot be trained."""
    order = Order(ready.corpus, ready.space.data, _trials(ready), _share(plan))
    done = subprocess.run(
        [sys.executable, "-m", "sweeps.search.probe"],
        input=pickle.dumps(order),
        capture_output=True,
        env=os.environ | CHILD | ({} if plan.gpus else NO_GPU),
        check=False,
    )
    given = dict(_read(done.stdout))
    lost = next((name for name in order.trials if name not in given), None)
    if done.returncode and lost is not None:
        words = done.stderr.decode(errors="replace").strip().splitlines()[-1:]
        given[lost] = _crashed(*words) if done.returncode > 0 else _crashed()
    measured = judged(ready.space, plan, given, local=True)
    return estimate(ready.space, plan, measured, trials=ready.space.trials)


def _read(stream: bytes) -> list[tuple[str, Answer]]:
    """Load one answer after the other, as far as the child came."""
    buffer, found = BytesIO(stream), []
    while buffer.tell() < len(stream):
        try:
            found.append(pickle.load(buffer))
        except (EOFError, pickle.UnpicklingError):
            break
    return found


class Probes:
    """Two batches of every backbone of `ready` on Ray, each begun as soon as its corpus is there.

    `trials` are still to be run; where there are none, nothing is measured.
    """

    def __init__(
        self,
        ready: Ready,
        setting: Setting,
        prepared: Mapping[Path, ray.ObjectRef[Prepared]],
        *,
        trials: int,
    ) -> None:
        import ray

        plan, mark = setting.plan, setting.mark

        def task(config: TrialConfig, backbone: Backbone, data: Prepared) -> Answer:
            if mark is not None:
                mark.check()
            from sweeps.search.probe import attempt

            return attempt(config, backbone, data, _share(plan))

        self._ready, self._setting, self._trials, self._said = ready, setting, trials, ""
        remote = ray.remote(num_cpus=plan.cpus, num_gpus=plan.gpus, max_retries=0)(task)
        self._ask = {
            name: partial(remote.remote, config, backbone, prepared[backbone.folder])
            for name, (config, backbone) in (_trials(ready) if trials else {}).items()
        }
        self._asked = {name: ask() for name, ask in self._ask.items()}

    def wait(self, stages: Stages) -> Estimate | None:
        """Reckon what the sweep costs; says what is waited for. None: no trial is to be run.

        Raises ConfigError if a backbone fails, ResourceError if a node does not see the storage or
        Ray cannot have it measured.
        """
        if not self._asked:
            return None
        space, plan = self._ready.space, self._setting.plan
        with stages(STAGE):
            given = {name: answered(partial(self._get, stages, name)) for name in self._asked}
        measured = judged(space, plan, given, local=self._ready.plan is not None)
        return estimate(space, plan, measured, trials=self._trials)

    def _get(self, stages: Stages, name: str, again: bool) -> Answer:
        """Wait for an answer, to a new question if it is asked `again`."""
        import ray

        from sweeps.search.share import get

        if again:
            self._asked[name] = self._ask[name]()
        while not ray.wait([self._asked[name]], timeout=SAY_AFTER_S)[0]:
            self._say_waiting(stages)
        answer: Answer = get(self._asked[name])
        return answer

    def _say_waiting(self, stages: Stages) -> None:
        """Say so if no node that is there is large enough; the same is said once."""
        from sweeps.search.room import alive_nodes, lacking

        room = replace(self._setting.room, nodes=alive_nodes())
        text = lacking(self._setting.plan, room)
        if text and text != self._said:
            self._said = text
            stages.say(text)


def answered(get: Callable[[bool], Answer]) -> Answer:
    """Get an answer, `again` if its node was lost, or its process for once.

    Raises ResourceError if Ray gives none.
    """
    from ray import exceptions as of_ray

    lost = (of_ray.NodeDiedError, of_ray.ObjectLostError, of_ray.LocalRayletDiedError)
    lost_times = killed_times = 0
    while True:
        try:
            return get(lost_times + killed_times > 0)
        except of_ray.OutOfMemoryError:
            return _crashed()
        except of_ray.WorkerCrashedError:
            killed_times += 1
            if killed_times > KILLED_TIMES:
                return _crashed()
        except of_ray.RayError as error:
            lost_times += 1
            if not isinstance(error, lost) or lost_times > LOST_TIMES:
                cause = error.cause if isinstance(error, of_ray.RayTaskError) else error
                raise ResourceError(f"{STAGE}: {' '.join(str(cause).split())[:SAID]}") from error


def _crashed(words: str = "") -> Refused:
    if words:
        return Refused(f"cannot be trained: {words}")
    return Refused("its process was killed, most likely since memory ran out", TOKENS)


def _trials(ready: Ready) -> dict[str, tuple[TrialConfig, Backbone]]:
    return {name: (dearest(ready.space, name), each) for name, each in ready.backbones.items()}


def _share(plan: SlotPlan) -> Share:
    return Share(plan.cpus, plan.workers)


def judged(
    space: SearchSpace, plan: SlotPlan, answers: Mapping[str, Answer], *, local: bool
) -> dict[str, Measured]:
    """Give what was measured.

    Raises ConfigError with all that was refused, at the keys' lines, and if what fits alone does
    not fit beside the other trials on the same GPU, or on this machine (`local`).
    """
    problems = []
    for name, answer in answers.items():
        if isinstance(answer, Refused):
            problems.append(_problem(space, name, answer))
        elif (found := crowded(plan, answer, local=local)) is not None:
            problems.append(_problem(space, name, found))
    if problems:
        raise ConfigError(problems)
    return {name: each for name, each in answers.items() if isinstance(each, Measured)}


def crowded(plan: SlotPlan, measured: Measured, *, local: bool) -> Refused | None:
    """Say so if trials that run at once take more memory than there is; bare minimums count."""
    if plan.gpus:
        at_once, key = (round(1 / plan.gpus) if plan.gpus < 1 else 1), "resources.gpus_per_worker"
    else:
        at_once, key = (plan.slots * plan.workers if local else 1), "resources.concurrent_trials"
    needed = at_once * measured.memory
    if needed <= measured.capacity:
        return None
    return Refused(
        f"{at_once} workers at once need {shown_bytes(needed)} of memory to train it, and there "
        f"are {shown_bytes(measured.capacity)}; run fewer at once or lower {TOKENS}",
        key,
    )


def _problem(space: SearchSpace, name: str, refused: Refused) -> Problem:
    path: Any = tuple(refused.key.split("."))
    message = f"backbone {name!r}: {refused.reason}"
    if refused.key == TOKENS:
        size = dearest(space, name).train.tokens_per_batch
        message += f"; its largest batch has {size:,} sub-words: lower {TOKENS}"
        message += " (train.accumulate makes up for it), or data.max_length"
    return space.places.problem(path, message)
