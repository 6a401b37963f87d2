"""The story of a sweep: look, start, share, search, choose, bundle, register."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from sweeps.checks import room_noted
from sweeps.console import Stages, Terminal
from sweeps.errors import NothingFinished, SweepError
from sweeps.outcome.finish import Finished, finish
from sweeps.outcome.leaderboard import Leaderboard
from sweeps.outcome.registry import Registered, register
from sweeps.outcome.report import Outcome
from sweeps.preflight import Ready, preflight
from sweeps.search.background import InBackground
from sweeps.search.cluster import Session, cluster_address, ray_session
from sweeps.search.events import Listener, Trial
from sweeps.search.ledger import NAME as LEDGER
from sweeps.search.ledger import Ledger
from sweeps.search.opened import Opened, opened
from sweeps.search.progress import Progress
from sweeps.search.reach import check_reach
from sweeps.search.resources import plan_slots
from sweeps.search.resume import recall
from sweeps.search.scheduler import most_epochs
from sweeps.search.share import result_of, share
from sweeps.search.slot import Materials, assignment_of
from sweeps.search.tidy import Tidy
from sweeps.search.tracking import Tracker, flatten, tracking_uri
from sweeps.search.trial_folder import has_weights
from sweeps.search.tuner import search
from sweeps.space.sizes import bytes_of
from sweeps.space.space import SearchSpace
from sweeps.space.yaml_text import inline
from tokcls.errors import TokclsError
from tokcls.labels.types import TypeMap


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
        ready = preflight(space, local=address is None)
    stages.notes((*ready.space.notes, *ready.remarks))
    with opened(ready.space, ready.corpus.fingerprint, resume=resume, say=stages.say) as run:
        folder = run.place.folder
        log = folder / "ray.log"
        terminal.divert(log)
        stages.say(f"the log of Ray goes to {log}")
        try:
            return _on_ray(ready, run, stages, address)
        except KeyboardInterrupt:
            if not (folder / LEDGER).is_file():
                shutil.rmtree(folder, ignore_errors=True)  # it holds Ray's log alone
                raise  # nothing was begun that could be resumed
            raise Interrupted(folder) from None


def _on_ray(ready: Ready, run: Opened, stages: Stages, address: str | None) -> Outcome:
    what = "starting Ray" if address is None else f"joining Ray at {address}"
    with stages(what, "7 to 15 s"):
        session = ray_session(address, run.place.folder / "ray.log")
    try:
        check_reach(run.place.storage)
        return _run(ready, run, session, stages)
    finally:
        session.close()


@dataclass(frozen=True)
class _Running:
    """What the stages of a sweep share once it has a slot plan, data in the store and a record."""

    ready: Ready
    materials: Materials
    words: Any
    tracker: Tracker
    ledger: Ledger
    copies: Sequence[Listener]
    stages: Stages

    @property
    def space(self) -> SearchSpace:
        return self.ready.space

    @property
    def folder(self) -> Path:
        return self.materials.folder


def _run(ready: Ready, run: Opened, session: Session, stages: Stages) -> Outcome:
    place, history = run.place, run.history
    space, started = ready.space, history.trials if history else []
    past = recall(space, started)
    plan = plan_slots(space.sweep.resources, session.resources)
    shared = share(ready)
    with stages("opening MLflow"):
        tracker = Tracker(tracking_uri(space.sweep.tracking.uri), space.sweep.experiment)
    with stages("tokenising the corpus"):
        data = shared.wait()
    ledger = Ledger(place.folder)
    parent = tracker.open_sweep(
        space.name, _params(ready), _tags(ready, place.folder), history.run_id if history else ""
    )
    try:
        tracker.recall(past.kept)
        file = {"space": space.to_yaml(), "space_hash": space.space_hash}
        if history is None:
            corpus = ready.corpus.fingerprint
            where = {"corpus": corpus, "run_id": parent, "storage": place.where}
            ledger.open_sweep(name=space.name, **where, **file)
        else:
            ledger.open_session(**file)
            stages.notes(past.notes())
        materials = Materials(space, place.folder, plan, ready.backbones, data, place.storage)
        running = _Running(ready, materials, shared.words, tracker, ledger, run.copies, stages)
        return _conclude(running, _search(running, past.kept, taken=len(started)))
    except BaseException:  # Ctrl-C as well: no run may look as if it still went on
        tracker.close_sweep(done=False)
        raise


def _search(running: _Running, past: Sequence[Trial], *, taken: int) -> list[Trial]:
    """Run the trials, those of `past` left out; raise Interrupted if some are not over.

    `taken` trials have numbers already, also such as are not in `past`.
    """
    space, stages, plan = running.space, running.stages, running.materials.plan
    stages.notes(room_noted(space, plan.slots))
    trials_ = "1 trial" if space.trials == 1 else f"{space.trials} trials"
    stages.say(f"{trials_} in {plan.describe()}; {running.folder}")
    progress = Progress(
        stages.console,
        total=space.trials,
        epochs=most_epochs(space),
        slots=plan.slots,
        metric=space.sweep.search.metric,
    )
    progress.recall(past)
    tidy = _tidy(running)
    tidy.recall(past)
    slow = [InBackground(running.tracker), InBackground(tidy)]
    listeners: list[Listener] = [running.ledger, *running.copies, *slow, progress]
    try:
        with progress:
            trials = search(running.materials, listeners, past, taken=taken)
    finally:
        for listener in slow:
            listener.flush()
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
    metric = running.space.sweep.search.metric
    board = Leaderboard(trials, metric=metric)
    storage = running.materials.storage
    try:
        whole = [trial for trial in trials if has_weights(storage, trial.trial_id)]
    except OSError as error:
        raise Unconcluded(board, error) from error
    winner = Leaderboard(whole, metric=metric).winner
    if board.winner is not None and winner is not board.winner:
        # The file was changed, and what was best before is not in the space any more; or no room.
        name = board.winner.trial_id
        gone = "its weights were removed (output.keep_top), or could not be saved"
        running.stages.notes([f"{name} is best, but {gone}"])
    if winner is None:
        reasons = "\n".join(f"{trial.trial_id}: {trial.reason}" for trial in board.trials)
        log = running.folder / "ray.log"
        raise NothingFinished(f"no trial came to a score; see {log}\n{reasons}")
    try:
        bundle = _bundle(running, winner)
        registered = _register(running, winner, bundle)
    except (TokclsError, OSError) as error:  # a disk that is full, a storage that does not answer
        raise Unconcluded(board, error) from error
    running.tracker.log_winner(winner, bundle.metrics)
    running.tracker.close_sweep(done=True, metrics=bundle.metrics)
    running.ledger.write("done", winner=winner.trial_id, bundle=str(bundle.folder))
    # What stood in for what was asked for belongs beside the scores.
    notes = running.space.notes if running.ready.offline else ()
    return Outcome(running.folder, board, winner, bundle, registered, running.tracker.uri, notes)


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
            partial(finish, folder=running.folder / "bundle", receipt=receipt),
            assignment,
            assignment.data,
            running.words,
            cpus=running.materials.plan.cpus,
        )
    configuration = running.space.to_yaml(winner.values)
    (running.folder / "winner.yaml").write_text(configuration, encoding="utf-8")
    return bundle


def _register(running: _Running, winner: Trial, bundle: Finished) -> Registered | None:
    name, corpus = running.space.sweep.output.register_as, running.ready.corpus
    if name is None:
        return None
    labels = assignment_of(running.materials, winner).config.labels
    with running.stages("registering in MLflow"):
        return register(
            bundle.folder,
            name=name,
            uri=running.tracker.uri,
            run_id=winner.run_id or running.tracker.run_id,
            f1=bundle.metrics["val_f1"],
            gold=corpus.validation,
            scored=TypeMap(labels.scored_types),
            tags={
                "trial": winner.trial_id,
                "data_hash": corpus.fingerprint,
                "offline": str(running.ready.offline).lower(),
            },
        )


def _params(ready: Ready) -> dict[str, str]:
    """What the parent run shows: the searched ranges, and how the search is run."""
    space = ready.space
    searched = {f"searched.{name}": inline(verb) for name, verb in space.parameters.items()}
    return searched | flatten(space.sweep.search.model_dump(mode="json"), "search.")


def _tags(ready: Ready, folder: Path) -> dict[str, str]:
    return {
        "sweep": ready.space.name,
        "folder": str(folder),
        "space_hash": ready.space.space_hash,
        "data_hash": ready.corpus.fingerprint,
        "offline": str(ready.offline).lower(),
        "notes": "\n".join((*ready.space.notes, *ready.remarks)),
    }
