"""The story of a sweep: look, start, share, search, choose, bundle, register."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from sweeps.console import Stages, Terminal
from sweeps.errors import LedgerError, NothingFinished, SweepError
from sweeps.outcome.finish import finish
from sweeps.outcome.leaderboard import Leaderboard
from sweeps.outcome.registry import register
from sweeps.outcome.report import Outcome
from sweeps.preflight import Ready, preflight
from sweeps.search.background import InBackground
from sweeps.search.cluster import Session, cluster_address, ray_session
from sweeps.search.events import Trial
from sweeps.search.ledger import NAME as LEDGER
from sweeps.search.ledger import History, Ledger, read_ledger
from sweeps.search.progress import Progress
from sweeps.search.resources import plan_slots
from sweeps.search.scheduler import most_epochs
from sweeps.search.share import result_of, share
from sweeps.search.slot import Materials, assignment_of
from sweeps.search.tracking import Tracker, flatten, tracking_uri
from sweeps.search.trial_folder import Tidy
from sweeps.search.tuner import search
from sweeps.space.space import SearchSpace
from tokcls.labels.types import TypeMap


class Interrupted(SweepError):
    """The sweep was stopped from outside; `folder` holds what `--resume` goes on from."""

    def __init__(self, folder: Path) -> None:
        super().__init__(f"interrupted; what was done so far is in {folder}")
        self.folder = folder


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
    trial came to a score, and other TokclsErrors that say what is missing.
    """
    address = cluster_address(address)
    with stages("looking up backbones and corpus"):
        ready = preflight(space, local=address is None)
    stages.notes(ready.space.notes)
    history = _history(ready) if resume else None
    folder = Path(history.folder) if history else _new_folder(ready.space)
    log = folder / "ray.log"
    terminal.divert(log)
    stages.say(f"the log of Ray goes to {log}")
    what = "starting Ray" if address is None else f"joining Ray at {address}"
    try:
        with stages(what, "7 to 15 s"):
            session = ray_session(address, log)
        try:
            return _run(ready, folder, history, session, stages)
        finally:
            session.close()
    except KeyboardInterrupt:
        if not (folder / LEDGER).is_file():
            raise  # nothing was begun that could be resumed
        raise Interrupted(folder) from None


def _run(
    ready: Ready, folder: Path, history: History | None, session: Session, stages: Stages
) -> Outcome:
    space, past = ready.space, history.trials if history else []
    plan = plan_slots(space.sweep.resources, session.resources)
    shared = share(ready)
    with stages("opening MLflow"):
        tracker = Tracker(tracking_uri(space.sweep.tracking.uri), space.sweep.experiment)
    with stages("tokenising the corpus"):
        data = shared.wait()
    ledger = Ledger(folder)
    parent = tracker.open_sweep(
        space.name, _params(ready), _tags(ready, folder), history.run_id if history else ""
    )
    tracker.recall(past)
    if history is None:
        ledger.open_sweep(
            name=space.name,
            space=space.to_yaml(),
            space_hash=space.space_hash,
            corpus=ready.corpus.fingerprint,
            run_id=parent,
        )
    materials = Materials(space, folder, plan, ready.backbones, data)
    stages.say(f"{space.trials} trials in {plan.describe()}; {folder}")
    progress = Progress(
        stages.console,
        total=space.trials,
        epochs=most_epochs(space),
        slots=plan.slots,
        metric=space.sweep.search.metric,
    )
    progress.recall(past)
    tracking = InBackground(tracker)
    with progress:
        trials = search(materials, [ledger, tracking, progress, Tidy(folder)], past)
    tracking.flush()
    if sum(trial.over for trial in trials) < space.trials:
        tracker.close_sweep(done=False, metrics={})
        raise Interrupted(folder)
    return _conclude(ready, materials, trials, tracker, ledger, stages, shared.words)


def _conclude(
    ready: Ready,
    materials: Materials,
    trials: Sequence[Trial],
    tracker: Tracker,
    ledger: Ledger,
    stages: Stages,
    words: Any,
) -> Outcome:
    space, folder = ready.space, materials.folder
    board = Leaderboard(trials, metric=space.sweep.search.metric)
    winner = board.winner
    if winner is None:
        tracker.close_sweep(done=False, metrics={})
        reasons = "\n".join(f"{trial.trial_id}: {trial.reason}" for trial in board.trials)
        raise NothingFinished(f"no trial came to a score; see {folder / 'ray.log'}\n{reasons}")
    with stages(f"bundling {winner.trial_id}: scoring test once, exporting, checking"):
        assignment = assignment_of(materials, winner)
        receipt = {"sweep": space.name, "source": ready.corpus.name, "offline": ready.offline}
        bundle = result_of(
            partial(finish, folder=folder / "bundle", receipt=receipt),
            assignment,
            assignment.data,
            words,
            cpus=materials.plan.cpus,
        )
    (folder / "winner.yaml").write_text(space.to_yaml(winner.values), encoding="utf-8")
    tracker.log_winner(winner, bundle.metrics)
    tracker.close_sweep(done=True, metrics=bundle.metrics)
    registered = None
    if space.sweep.output.register_as:
        with stages("registering in MLflow"):
            registered = register(
                bundle.folder,
                name=space.sweep.output.register_as,
                uri=tracker.uri,
                run_id=winner.run_id or tracker.run_id,
                f1=bundle.metrics["val_f1"],
                gold=ready.corpus.validation,
                scored=TypeMap(assignment.config.labels.scored_types),
                tags={"trial": winner.trial_id, "data_hash": ready.corpus.fingerprint},
            )
    ledger.write("done", winner=winner.trial_id, bundle=str(bundle.folder))
    return Outcome(folder, board, winner, bundle, registered, tracker.uri)


def _new_folder(space: SearchSpace) -> Path:
    """Name a new folder for this run of the sweep; made when something is written into it."""
    stamp = time.strftime("%Y-%m-%dT%H-%M-%S")
    return Path(space.sweep.output.folder).expanduser().resolve() / space.name / stamp


def _history(ready: Ready) -> History:
    """Read the newest run of this sweep; raise LedgerError if there is nothing to go on with."""
    top = Path(ready.space.sweep.output.folder).expanduser().resolve() / ready.space.name
    runs = sorted(path.parent for path in top.glob("*/ledger.jsonl"))
    if not runs:
        raise LedgerError(f"nothing to resume: {top} holds no sweep; run without --resume")
    history = read_ledger(runs[-1])
    if history.done:
        raise LedgerError(f"nothing to resume: {runs[-1]} is finished; run without --resume")
    for what, then, now in (
        ("search space", history.header["space_hash"], ready.space.space_hash),
        ("corpus", history.header["corpus"], ready.corpus.fingerprint),
    ):
        if then != now:
            raise LedgerError(
                f"{runs[-1]} cannot be resumed: its {what} was {then} and is now {now}; "
                "undo the change, or run without --resume"
            )
    return history


def _params(ready: Ready) -> dict[str, str]:
    """What the parent run shows: the searched ranges, and how the search is run."""
    space = ready.space
    searched = {f"searched.{name}": repr(verb) for name, verb in space.parameters.items()}
    return searched | flatten(space.sweep.search.model_dump(mode="json"), "search.")


def _tags(ready: Ready, folder: Path) -> dict[str, str]:
    return {
        "sweep": ready.space.name,
        "folder": str(folder),
        "space_hash": ready.space.space_hash,
        "data_hash": ready.corpus.fingerprint,
        "offline": str(ready.offline).lower(),
        "notes": "\n".join(ready.space.notes),
    }
