"""Which trial is served: the best of those whose weights were saved."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sweeps.errors import NothingFinished, SweepError
from sweeps.outcome.leaderboard import Leaderboard
from sweeps.search.events import Trial
from sweeps.search.storage import Storage
from sweeps.search.trial_folder import folder_of, has_weights


@dataclass(frozen=True)
class Choice:
    """The trial to be served, and what a user must know of it."""

    winner: Trial
    notes: Sequence[str]


def choose(board: Leaderboard, storage: Storage, log: Path) -> Choice:
    """Choose from trials that are over, whose files are in `storage`; `log` is Ray's.

    Raises NothingFinished if none came to a score, SweepError if none has weights, OSError if the
    storage does not answer.
    """
    best = board.winner
    if best is None:
        reasons = "\n".join(f"{trial.trial_id}: {trial.reason}" for trial in board.trials)
        raise NothingFinished(f"no trial came to a score; see {log}\n{reasons}")
    whole = [trial for trial in board.trials if has_weights(storage, trial.trial_id)]
    winner = Leaderboard(whole, metric=board.metric).winner
    if winner is None:
        raise SweepError(
            f"no trial's weights are in {storage}: they could not be saved, or were removed; make "
            f"room there, then ask for more trials than {len(board.trials)} (search.trials) and "
            "--resume, or run without --resume: without more trials --resume finds the same"
        )
    # The file was changed, and what was best before is not in the space any more; or no room.
    gone = f"{best.trial_id} is best, but its weights were removed (output.keep_top), or could not "
    notes = [] if winner is best else [f"{gone}be saved"]
    return Choice(winner, [*notes, *_other_epoch(winner, storage, board.metric)])


def _other_epoch(winner: Trial, storage: Storage, metric: str) -> list[str]:
    """Say so if the weights are not those of the epoch that the trial is ranked by."""
    saved, best = folder_of(storage, winner.trial_id).best(), winner.best(metric)
    if saved is None or best is None or saved.number == best.number:
        return []
    return [
        f"{winner.trial_id} is ranked by epoch {best.number} ({metric} "
        f"{best.metrics[metric]:.3f}), whose weights could not be saved; served is its epoch "
        f"{saved.number} ({saved.metrics[metric]:.3f})"
    ]
