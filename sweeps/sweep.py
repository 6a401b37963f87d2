"""The story of a sweep: look, start, share, search, choose, bundle, register."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from sweeps.checks import room_noted
from sweeps.console import Stages, Terminal
from sweeps.disk import already_held
from sweeps.errors import NothingFinished, SweepError
from sweeps.outcome.choice import choose
from sweeps.outcome.delivery import Left, Record, deliver, left_from, make_tracker, recording
from sweeps.outcome.finish import Finished, finish
from sweeps.outcome.leaderboard import Leaderboard
from sweeps.outcome.report import Outcome
from sweeps.preflight import Ready, preflight
from sweeps.search.aside import Aside
from sweeps.search.cluster import cluster_address, ray_session
from sweeps.search.events import Listener, Trial
from sweeps.search.ledger import NAME as LEDGER
from sweeps.search.ledger import Ledger
from sweeps.search.opened import Opened, opened
from sweeps.search.progress import Progress
from sweeps.search.reach import Mark, check_reach, marked
from sweeps.search.remaining import Remaining, remaining_of
from sweeps.search.resume import recall
from sweeps.search.share import result_of
from sweeps.search.slot import Materials, assignment_of
from sweeps.search.tidy import Tidy
from sweeps.search.tuner import search
from sweeps.space.sizes import bytes_of
from sweeps.space.space import SearchSpace
from sweeps.staged import staged
from tokcls.errors import ConfigError, TokclsError


class Interrupted(SweepError):
    """The sweep was stopped from outside; `folder` holds what `--resume` goes on from."""

    def __init__(self, folder: Path) -> None:
        super().__init__(f"interrupted; what was done so far is in {folder}")
        self.folder = folder


class Unconcluded(SweepError):
    """All trials are over, but the best of them was not bundled or not registered: see `board`."""

    def __init__(self, board: Leaderboard, why: Exception) -> None:
        super().__init__(f"the trials are done, but their best is not served yet: {why}")
        self.board = board


def run_sweep(
    space: SearchSpace,
    stages: Stages,
    terminal: Terminal,
    *,
    resume: bool = False,
    address: str | None = None,
) -> Outcome:
    """Run every trial of `space`, then bundle and register the best.

    Raises ConfigError before anything is started, Interrupted when stopped, NothingFinished when no
    trial came to a score, Unconcluded when the best one cannot be bundled or registered, and other
    TokclsErrors that say what is missing.
    """
    address = cluster_address(address)
    with stages("looking up backbones and corpus"):
        ready = preflight(space, local=address is None, resume=resume)
    stages.notes((*ready.space.notes, *ready.remarks))
    with opened(ready.space, ready.corpus.fingerprint, resume=resume, say=stages.say) as run:
        folder = run.place.folder
        log = folder / "ray.log"
        terminal.divert(log)
        stages.say(f"the log of Ray goes to {log}")
        try:
            left = left_from(run.history, ready.space)
            if left is not None:
                return _deliver_only(ready, run, left, stages)
            return _on_ray(ready, run, stages, address)
        except (KeyboardInterrupt, ConfigError) as stop:
            if not (folder / LEDGER).is_file():
                shutil.rmtree(folder, ignore_errors=True)  # it holds Ray's log alone
                raise  # nothing was begun that could be resumed
            if isinstance(stop, ConfigError):
                raise
            raise Interrupted(folder) from None


def _on_ray(ready: Ready, run: Opened, stages: Stages, address: str | None) -> Outcome:
    what = "starting Ray" if address is None else f"joining Ray at {address}"
    with stages(what, "7 to 15 s"):
        session = ray_session(address, run.place.folder / "ray.log")
    try:
        check_reach(run.place.storage)
        with marked(run.place.storage) if session.joined else nullcontext() as mark:
            return _run(ready, run, mark, stages)
    finally:
        session.close()


@dataclass(frozen=True)
class _Running:
    """What the stages of a sweep share once it has a slot plan, data in the store and a record."""

    record: Record
    materials: Materials
    words: Any
    copies: Sequence[Listener]

    @property
    def ready(self) -> Ready:
        return self.record.ready

    @property
    def space(self) -> SearchSpace:
        return self.ready.space

    @property
    def folder(self) -> Path:
        return self.materials.folder

    @property
    def stages(self) -> Stages:
        return self.record.stages


def _run(ready: Ready, run: Opened, mark: Mark | None, stages: Stages) -> Outcome:
    """Tell the story from the cluster's room on; `mark` is None on a cluster of this machine."""
    place, history = run.place, run.history
    space, started = ready.space, history.trials if history else []
    past = recall(space, started)
    held = already_held(place.storage)
    begun = staged(ready, stages, mark=mark, held=held, trials=past.to_run(space.trials))
    ready, plan = begun.ready, begun.plan
    with stages("opening MLflow"):
        tracker = make_tracker(ready, place.folder, history)
    data, estimate = begun.data(stages), begun.probes.wait(stages)
    ledger = Ledger(place.folder)
    file = {"space": space.to_yaml(), "space_hash": space.space_hash}
    if history is None:
        where = {"corpus": ready.corpus.fingerprint, "storage": place.where}
        ledger.open_sweep(name=space.name, sweep_id=tracker.sweep_id, **where, **file)
    else:
        ledger.open_session(**file)
        stages.notes(past.notes())
    if estimate is not None:
        tracker.describe(estimate.params())
        for line in estimate.lines():
            stages.say(line)
    remaining = remaining_of(estimate, trials=space.trials, slots=plan.slots)
    record_in = (ready, ledger, tracker, past, stages)
    with recording(*record_in, followed=run.followed, remaining=remaining) as record:
        materials = Materials(space, place.folder, plan, ready.backbones, data, place.storage, mark)
        running = _Running(record, materials, begun.shared.words, run.copies)
        trials = _search(running, past.kept, remaining, taken=len(started))
        return _conclude(running, trials)


def _deliver_only(ready: Ready, run: Opened, left: Left, stages: Stages) -> Outcome:
    """Register, and write to MLflow, what an earlier session of a sweep could not."""
    history, ledger = left.history, Ledger(run.place.folder)
    board = Leaderboard(left.past.kept, metric=ready.space.sweep.search.metric)
    tracker = make_tracker(ready, run.place.folder, history)
    with recording(ready, ledger, tracker, left.past, stages, followed=run.followed) as record:
        try:
            return deliver(record, board, left.winner, left.bundle, history.after)
        except TokclsError as error:
            raise Unconcluded(board, error) from error


def _search(
    running: _Running, past: Sequence[Trial], remaining: Remaining, *, taken: int
) -> list[Trial]:
    """Run the trials, those of `past` left out; raise Interrupted if some are not over.

    `taken` trials have numbers already, also such as are not in `past`.
    """
    space, stages, plan = running.space, running.stages, running.materials.plan
    stages.notes(room_noted(space, plan.slots))
    trials_ = "1 trial" if space.trials == 1 else f"{space.trials} trials"
    stages.say(f"{trials_} in {plan.describe()}; {running.folder}")
    total, metric = space.trials, space.sweep.search.metric
    progress = Progress(
        stages.console, total=total, slots=plan.slots, metric=metric, remaining=remaining
    )
    tidy = _tidy(running)
    progress.recall(past)
    tidy.recall(past)
    record, aside = running.record, Aside(tidy)
    # Progress first: it keeps the pace, by which the overview tells the time that is left.
    shown: list[Listener] = [progress, record.tracking, record.overview]
    try:
        with progress:
            listeners = [record.ledger, *running.copies, *shown, aside]
            trials = search(running.materials, listeners, past, taken=taken, say=progress.note)
    finally:
        aside.flush()
    if len(trials) < space.trials or not all(trial.over for trial in trials):
        raise Interrupted(running.folder)
    return trials


def _tidy(running: _Running) -> Tidy:
    output = running.space.sweep.output
    return Tidy(
        running.materials.storage,
        metric=running.space.sweep.search.metric,
        keep_top=output.keep_top,
        budget=None if output.disk_budget is None else bytes_of(output.disk_budget),
    )


def _conclude(running: _Running, trials: Sequence[Trial]) -> Outcome:
    """Choose the best trial, bundle it, register it."""
    board = Leaderboard(trials, metric=running.space.sweep.search.metric)
    try:
        choice = choose(board, running.materials.storage, running.folder / "ray.log")
        running.stages.notes(choice.notes)
        bundle = _bundle(running, choice.winner)
        return deliver(running.record, board, choice.winner, bundle, {})
    except NothingFinished:
        raise
    except (TokclsError, OSError) as error:  # a disk that is full, a storage that does not answer
        raise Unconcluded(board, error) from error


def _bundle(running: _Running, winner: Trial) -> Finished:
    ready, assignment = running.ready, assignment_of(running.materials, winner)
    receipt = {
        "sweep": ready.space.name,
        "source": ready.corpus.name,
        "remarks": ready.remarks,
        "offline": ready.offline,
    }
    with running.stages(f"bundling {winner.trial_id}: scoring test once, exporting, checking"):
        bundle: Finished = result_of(
            partial(
                finish,
                folder=running.folder / "bundle",
                receipt=receipt,
                int8=running.space.sweep.output.int8,
            ),
            assignment,
            assignment.data,
            running.words,
            cpus=running.materials.plan.cpus,
            log=running.folder / "ray.log",
        )
    configuration = running.space.to_yaml(winner.values)
    (running.folder / "winner.yaml").write_text(configuration, encoding="utf-8")
    running.record.ledger.write(
        "bundled", winner=winner.trial_id, bundle=str(bundle.folder), metrics=bundle.metrics
    )
    return bundle
