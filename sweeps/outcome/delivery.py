"""What needs MLflow but not Ray: the sweep's record, and from a bundle to a registered version.

An outage ends nothing here: what could not be written or registered is left to `--resume`, which
begins where the ledger ends.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sweeps.console import Stages
from sweeps.described import params_of, tags_of
from sweeps.errors import RegistryError
from sweeps.outcome.finish import Finished
from sweeps.outcome.leaderboard import Leaderboard
from sweeps.outcome.registry import Registered, register
from sweeps.outcome.report import Outcome
from sweeps.preflight import Ready
from sweeps.search.background import InBackground
from sweeps.search.events import Trial
from sweeps.search.ledger import History, Ledger
from sweeps.search.overview import Overview
from sweeps.search.remaining import Remaining
from sweeps.search.resume import Recalled, recall
from sweeps.search.shown import End, SweepRun
from sweeps.search.tracking import Tracker, tracking_uri
from sweeps.space.space import SearchSpace
from tokcls.errors import without_keys
from tokcls.labels.types import TypeMap

MOVES_WITHIN_S = 20.0  # a store that did nothing for so long is left to --resume
INTERRUPTED_WITHIN_S = 3.0
MOST_NAMED = 10


@dataclass(frozen=True)
class Record:
    """Where a sweep writes what happens: its ledger, and MLflow from a thread of its own."""

    ready: Ready
    folder: Path
    ledger: Ledger
    tracker: Tracker
    tracking: InBackground
    overview: Overview
    stages: Stages


def make_tracker(ready: Ready, folder: Path, history: History | None) -> Tracker:
    """Make what writes to MLflow; raise RegistryError if a sweep that begins cannot use it."""
    space = ready.space
    sweep = SweepRun(
        space.name,
        uuid.uuid4().hex if history is None else history.sweep_id or str(folder),
        params=params_of(ready),
        tags=tags_of(ready, folder),
        run_id=history.run_id if history else "",
        resumed=history is not None,
    )
    tracker = Tracker(tracking_uri(space.sweep.tracking.uri), space.sweep.experiment, sweep)
    if history is None:
        tracker.connect()
    return tracker


@contextmanager
def recording(
    ready: Ready,
    ledger: Ledger,
    tracker: Tracker,
    past: Recalled,
    stages: Stages,
    *,
    followed: Callable[[], bool],
    remaining: Remaining | None = None,
) -> Iterator[Record]:
    """Have MLflow written from now on; no run may look as if it still went on after an error.

    The runs of a driver that was `followed` do go on: its follower writes them. `remaining` is
    what reckons the time left where trials are to be run.
    """
    tracking = InBackground(tracker, past.kept)
    metric = ready.space.sweep.search.metric
    total = ready.space.trials
    overview = Overview(tracking.survey, total=total, metric=metric, remaining=remaining)
    overview.recall(past.kept, past.left_out)
    try:
        yield Record(ready, ledger.path.parent, ledger, tracker, tracking, overview, stages)
    except BaseException:  # Ctrl-C as well
        if followed():
            tracking.stop()
        else:
            tracking.finish(End(time.time()), within=INTERRUPTED_WITHIN_S)
        raise


@dataclass(frozen=True)
class Left:
    """What an earlier session came to: a winner's bundle that is only to be told to MLflow."""

    history: History
    past: Recalled
    winner: Trial
    bundle: Finished


def left_from(history: History | None, space: SearchSpace) -> Left | None:
    """Give what an earlier session left to be registered or written; None: there is more to do.

    `space` is the file as it is now; if it has changed, trials may have to be run.
    """
    if history is None or history.space != space.to_yaml() or "bundled" not in history.after:
        return None
    bundled = history.after["bundled"]
    past = recall(space, history.trials)
    winner = next((each for each in past.kept if each.trial_id == bundled["winner"]), None)
    folder = Path(bundled["bundle"])
    if winner is None or not folder.is_dir():
        return None
    return Left(history, past, winner, Finished(folder, bundled["metrics"]))


def deliver(
    record: Record,
    board: Leaderboard,
    winner: Trial,
    bundle: Finished,
    before: Mapping[str, Mapping[str, Any]],
) -> Outcome:
    """Register the bundle and end the sweep's run, as far as that was not done `before`.

    Raises RegistryError if the bundle is to be registered and MLflow does not answer or refuses.
    """
    ledger, ready = record.ledger, record.ready
    registered = _registered(before) or _register(record, winner, bundle)
    done = before.get("done")
    at = done["time"] if done else _done(ledger, winner, bundle)
    end = End(at, winner, bundle.metrics)
    missing = record.tracking.finish(end, within=MOVES_WITHIN_S, patient=True)
    if missing:
        record.stages.notes([_lacking(record.tracker.uri, missing)])
    else:
        ledger.write("tracked")
    # What stood in for what was asked for belongs beside the scores.
    notes = ready.space.notes if ready.offline else ()
    return Outcome(record.folder, board, winner, bundle, registered, record.tracker.uri, notes)


def _done(ledger: Ledger, winner: Trial, bundle: Finished) -> float:
    return ledger.write("done", winner=winner.trial_id, bundle=str(bundle.folder))


def _registered(before: Mapping[str, Mapping[str, Any]]) -> Registered | None:
    said = before.get("registered")
    if said is None:
        return None
    return Registered(said["name"], said["version"], said["champion"], said["why"])


def _register(record: Record, winner: Trial, bundle: Finished) -> Registered | None:
    space, corpus = record.ready.space, record.ready.corpus
    name = space.sweep.output.register_as
    if name is None:
        return None
    with record.stages("registering in MLflow"):
        if record.tracking.settle(within=MOVES_WITHIN_S, patient=True):
            raise RegistryError(f"MLflow at {without_keys(record.tracker.uri)} does not answer")
        registered = register(
            bundle.folder,
            name=name,
            uri=record.tracker.uri,
            run_id=record.tracker.run_of(winner.trial_id),
            f1=bundle.metrics["val_f1"],
            gold=corpus.validation,
            scored=TypeMap(space.trial(winner.values).labels.scored_types),
            tags={
                "trial": winner.trial_id,
                "data_hash": corpus.fingerprint,
                "offline": str(record.ready.offline).lower(),
            },
        )
    record.ledger.write("registered", **asdict(registered))
    return registered


def _lacking(uri: str, missing: list[str]) -> str:
    named = ", ".join(missing[:MOST_NAMED])
    more = f" and {len(missing) - MOST_NAMED} more" if len(missing) > MOST_NAMED else ""
    return (
        f"MLflow at {without_keys(uri)} does not answer, and lacks {named}{more}; the ledger has "
        "it all: the same command with --resume writes it there"
    )
