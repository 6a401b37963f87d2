"""What a person reads when a sweep is done: the leaderboard, the chosen model, what to do next."""

from __future__ import annotations

import os
import shlex
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from sweeps.outcome.finish import Finished
from sweeps.outcome.leaderboard import COLUMNS, Leaderboard
from sweeps.outcome.registry import Registered
from sweeps.search.events import Trial
from sweeps.search.tracking import DEFAULT_URI
from tokcls.errors import without_keys

EXAMPLE = '{"inputs": "Ada Lovelace was born in London."}'


@dataclass(frozen=True)
class Outcome:
    """What a finished sweep leaves; `tracking` is MLflow's address, `notes` are to be read."""

    folder: Path
    board: Leaderboard
    winner: Trial
    bundle: Finished
    registered: Registered | None
    tracking: str
    notes: tuple[str, ...] = ()


def report(outcome: Outcome, console: Console) -> None:
    """Print the outcome; `console` is stdout."""

    def say(text: str) -> None:
        console.print(text, highlight=False, markup=False, soft_wrap=True)

    console.print(outcome.board.table())
    say("")
    for note in outcome.notes:
        console.print(f"NOTE: {note}", style="bold yellow", markup=False, soft_wrap=True)
    say(f"best: {outcome.winner.trial_id}; {_test_line(outcome)}")
    say(f"bundle: {outcome.bundle.folder}")
    say(f"its configuration: {outcome.folder / 'winner.yaml'}")
    if outcome.registered is not None:
        alias = "champion" if outcome.registered.champion else "not champion"
        say(f"registered: {outcome.registered.uri} ({alias}: {outcome.registered.why})")
    say("")
    for what, command in next_steps(outcome):
        say(f"{what}:\n    {command}")


def _test_line(outcome: Outcome) -> str:
    metrics = outcome.bundle.metrics
    if "test_f1" not in metrics:
        return "the corpus has no test split to score it on"
    scores = (
        f"{name} {metrics[key.replace('val_', 'test_')]:.3f}" for name, key in COLUMNS.items()
    )
    return f"on test, scored once: {', '.join(scores)}"


def next_steps(outcome: Outcome) -> list[tuple[str, str]]:
    """Give the commands that a user types next."""
    serve = str(outcome.bundle.folder)
    if outcome.registered is not None and outcome.registered.champion:
        serve = f"models:/{outcome.registered.name}@champion"
    tracking = without_keys(outcome.tracking)
    own = outcome.tracking == (os.environ.get("MLFLOW_TRACKING_URI") or DEFAULT_URI)
    where = "" if own else f"MLFLOW_TRACKING_URI={shlex.quote(tracking)} "
    header = "-H 'Content-Type: application/json'"
    return [
        (
            "compare the trials in MLflow",
            _look(tracking),
        ),
        ("serve the model", f"{where}python -m sweeps.serve {shlex.quote(serve)}"),
        ("ask it", f"curl -s http://127.0.0.1:8000/predict {header} -d '{EXAMPLE}'"),
    ]


def _look(tracking: str) -> str:
    """How to see a tracking store: a server has its own pages, a database needs `mlflow ui`."""
    if tracking.startswith(("http://", "https://")):
        return f"open {tracking}"
    return f"mlflow ui --backend-store-uri {shlex.quote(tracking)}"
