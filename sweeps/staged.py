"""What a sweep and its `--check` do alike on a cluster: slots, backbones, corpus, two batches."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import mkdtemp

import ray

from sweeps.console import Stages, Terminal
from sweeps.disk import check_disk, existing
from sweeps.estimate import Estimate
from sweeps.preflight import Ready, at_key, plan_for
from sweeps.search.cluster import ray_session
from sweeps.search.probing import Probes, Setting
from sweeps.search.reach import Mark, check_reach
from sweeps.search.resources import SlotPlan
from sweeps.search.room import cluster_room
from sweeps.search.share import Shared, share
from sweeps.search.shipping import ship
from sweeps.search.storage import Folder, Storage, storage_at
from tokcls.data.prepared import Prepared
from tokcls.errors import TokclsError


@dataclass(frozen=True)
class Staged:
    """The slots that fit, backbones where all nodes find them, and what is under way already."""

    ready: Ready
    plan: SlotPlan
    shared: Shared
    probes: Probes

    def data(self, stages: Stages) -> dict[Path, ray.ObjectRef[Prepared]]:
        """Wait for the corpus; gives it by backbone folder."""
        with stages("tokenising the corpus"):
            data: dict[Path, ray.ObjectRef[Prepared]] = at_key(
                self.ready.space, "model.backbone", self.shared.wait
            )
        return data


def staged(ready: Ready, stages: Stages, *, mark: Mark | None, held: int, trials: int) -> Staged:
    """Fit slots into the cluster, and begin to tokenise and to measure for `trials` trials.

    `held` bytes of what the sweep needs are on its disk already. Raises ConfigError at the key
    that asks for too much.
    """
    room = cluster_room()
    plan = plan_for(ready.space, room)
    check_disk(ready.space, ready.backbones.values(), plan.slots, held=held)
    if ready.plan is None:  # the cluster was joined, and may have other nodes
        with stages("sending the backbones to the cluster"):
            ready = replace(ready, backbones=ship(ready.backbones))
    shared = share(ready)
    probes = Probes(ready, Setting(plan, room, mark), shared.prepared, trials=trials)
    return Staged(ready, plan, shared, probes)


def estimate_there(
    ready: Ready, stages: Stages, terminal: Terminal, address: str
) -> tuple[SlotPlan, Estimate]:
    """Join the cluster at `address`, have it measured there what the sweep costs, and leave it.

    Raises ConfigError and ResourceError as the sweep would. Of any other error Ray's log stays.
    """
    log = Path(mkdtemp(prefix="check-")) / "ray.log"
    terminal.divert(log)
    try:
        found = _measured_there(ready, stages, address, log)
    except (TokclsError, KeyboardInterrupt):
        shutil.rmtree(log.parent)
        raise
    except Exception:
        stages.warn(f"the log of Ray is {log}")
        raise
    shutil.rmtree(log.parent)
    return found


def _measured_there(
    ready: Ready, stages: Stages, address: str, log: Path
) -> tuple[SlotPlan, Estimate]:
    with stages(f"joining Ray at {address}", "7 to 15 s"):
        session = ray_session(address, log)
    try:
        check_reach(_storage(ready))
        begun = staged(ready, stages, mark=None, held=0, trials=ready.space.trials)
        begun.data(stages)
        estimate = begun.probes.wait(stages)
    finally:
        session.close()
    assert estimate is not None, "a sweep that begins has trials to be run"
    return begun.plan, estimate


def _storage(ready: Ready) -> Storage:
    """Where the sweep would write, as far as it is there: a check leaves no folder behind."""
    output = ready.space.sweep.output
    storage = storage_at(output.storage or output.folder)
    return storage_at(existing(Path(storage.root))) if isinstance(storage, Folder) else storage
