"""What of an earlier session still counts, when its file may have been changed since.

A trial is the same if its configuration is: then its values are read again in today's space, and it
is neither run again nor lost. What today's space does not hold stays in the ledger and on disk, and
is left out of search and leaderboard.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from sweeps.errors import LedgerError
from sweeps.search.events import Trial
from sweeps.search.ledger import History, read_ledger
from sweeps.space.problems import get
from sweeps.space.space import SearchSpace
from sweeps.space.verbs import Verb, canonical
from tokcls.config import TrialConfig
from tokcls.errors import ConfigError


@dataclass(frozen=True)
class Recalled:
    """The trials that today's space holds, and those that it does not."""

    kept: list[Trial]
    left_out: list[Trial]

    def to_run(self, trials: int) -> int:
        """How many trials are not over of a sweep that asks for `trials`; it may ask for fewer."""
        return max(trials, len(self.kept)) - sum(trial.over for trial in self.kept)

    def notes(self) -> list[str]:
        """Say what is done with them."""
        over = sum(trial.over for trial in self.kept)
        said = [f"trials that are over already: {over}; interrupted: {len(self.kept) - over}"]
        if self.left_out:
            names = ", ".join(trial.trial_id for trial in self.left_out)
            said.append(
                f"left out, since the file does not hold their configurations any more: {names}"
            )
        return said


def reopen(folder: Path, *, space: str, corpus: str) -> History:
    """Read a run to go on with it: `space` is the file as text, `corpus` a fingerprint.

    Raises LedgerError if it was started on another corpus, or is finished, in MLflow too, and the
    file is the same.
    """
    history = read_ledger(folder)
    then = history.header["corpus"]
    if then != corpus:
        raise LedgerError(
            f"{folder} cannot be resumed: its corpus was {then} and is now {corpus}; "
            "put the data back, or run without --resume"
        )
    if history.done and history.tracked and history.space == space:
        raise LedgerError(
            f"nothing to resume: {folder} is finished; run without --resume, or ask for more in "
            "the file, such as search.trials"
        )
    return history


def recall(space: SearchSpace, trials: Sequence[Trial]) -> Recalled:
    """Read the trials of a ledger in today's space."""
    kept: list[Trial] = []
    left_out: list[Trial] = []
    for trial in trials:
        found = _in_space(space, trial)
        kept += [found] if found else []
        left_out += [] if found else [trial]
    return Recalled(kept, left_out)


def _in_space(space: SearchSpace, trial: Trial) -> Trial | None:
    """Give a trial with the values that today's space has for its configuration.

    Both sides of the comparison have the defaults of this version for keys that are not given.
    """
    try:
        was = TrialConfig.model_validate(dict(trial.config))
        values = {
            name: canonical(_value(name, verb, trial)) for name, verb in space.parameters.items()
        }
        now = space.trial(values)
    except (ValueError, ConfigError, ValidationError):
        return None
    if now.config_hash != was.config_hash:
        return None
    return replace(trial, values=values, config_hash=now.config_hash)


def _value(name: str, verb: Verb, trial: Trial) -> Any:
    """What was drawn, or what stood in the file when the key was not searched; or ValueError."""
    if name in trial.values:
        return verb.fit(verb.original(trial.values[name]))
    return verb.fit(get(trial.config, tuple(name.split("."))))
