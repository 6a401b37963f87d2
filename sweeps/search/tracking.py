"""The only writer to MLflow while a sweep runs: one parent run, one child run a trial.

A listener in the driver. A tracking store that fails never stops training: the ledger holds
everything, and the first failure is said once.
"""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from sweeps.errors import RegistryError
from sweeps.search.events import Retry, State, Trial
from sweeps.search.mailbox import Epoch

DEFAULT_URI = "sqlite:///mlflow.db"
STATUS = {
    State.FINISHED: "FINISHED",
    State.STOPPED: "FINISHED",
    State.FAILED: "FAILED",
}
PARENT_TAG = "mlflow.parentRunId"
EXPERIMENT_TAGS = {"mlflow.experimentKind": "custom_model_development"}  # the UI's view of runs
SHARED_TAGS = ("offline",)  # that a trial's run has from its sweep's
HEADLINE = ("val_f1", "val_precision", "val_recall", "val_accuracy", "val_loss")
WHOLE = ("types", "score_types")  # maps whose keys come from the corpus: one parameter each
LONGEST_VALUE = 6000

logger = logging.getLogger(__name__)


def tracking_uri(configured: str | None) -> str:
    """Where MLflow records: the environment wins, then the file, then a sqlite file here."""
    return os.environ.get("MLFLOW_TRACKING_URI") or configured or DEFAULT_URI


class Tracker:
    """Writes a sweep to MLflow, with explicit run ids and no fluent state."""

    def __init__(self, uri: str, experiment: str) -> None:
        """Open the store and find or make the experiment; raise RegistryError if that fails."""
        for name in ("alembic", "mlflow.store.db.utils"):
            logging.getLogger(name).setLevel(logging.WARNING)
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
        from mlflow.tracking import MlflowClient

        self.uri = uri
        self._failed = False
        try:
            self._client = MlflowClient(tracking_uri=uri)
            found = self._client.get_experiment_by_name(experiment)
            self.experiment_id: str = (
                found.experiment_id
                if found
                else self._client.create_experiment(experiment, tags=EXPERIMENT_TAGS)
            )
        except Exception as error:  # a store raises what its driver raises
            raise RegistryError(f"MLflow at {uri} cannot be used: {_first_line(error)}") from error
        self.run_id = ""
        self._children: dict[str, str] = {}
        self._open_trials: set[str] = set()
        self._shared: dict[str, str] = {}

    def open_sweep(
        self, name: str, params: Mapping[str, Any], tags: Mapping[str, str], run_id: str = ""
    ) -> str:
        """Start the parent run, or open it again; returns its id."""
        self.run_id = self._open(name, run_id, tags)
        self._shared = {key: tags[key] for key in SHARED_TAGS if key in tags}
        if run_id:
            self._children = self._find_children()
        else:
            self._log(self.run_id, params={key: _text(value) for key, value in params.items()})
        return self.run_id

    def recall(self, past: Iterable[Trial]) -> None:
        """Give the trials of an earlier session their runs."""
        for trial in past:
            trial.run_id = self._children.get(trial.trial_id, "")

    def _find_children(self) -> dict[str, str]:
        """Find the runs of an earlier session, so that no trial appears twice."""
        runs = self._guard(
            self._client.search_runs,
            [self.experiment_id],
            filter_string=f"tags.`{PARENT_TAG}` = '{self.run_id}'",
            max_results=5000,
        )
        return {run.info.run_name: run.info.run_id for run in runs or ()}

    def close_sweep(self, *, done: bool, metrics: Mapping[str, float] | None = None) -> None:
        """End the parent run with the chosen trial's figures, and every trial's that is open."""
        self._log(self.run_id, metrics=metrics, step=0)
        for run_id in self._open_trials:
            self._guard(self._client.set_terminated, run_id, "KILLED")
        self._open_trials.clear()
        self._guard(self._client.set_terminated, self.run_id, "FINISHED" if done else "KILLED")

    def started(self, trial: Trial) -> None:
        tags = {PARENT_TAG: self.run_id, "config_hash": trial.config_hash, "status": trial.state}
        known = self._children.get(trial.trial_id, "")
        trial.run_id = self._open(trial.trial_id, known, tags | self._shared)
        self._open_trials.add(trial.run_id)
        if not known:
            self._log(trial.run_id, params=flatten(trial.config))

    def epoch(self, trial: Trial, epoch: Epoch) -> None:
        self._log(trial.run_id, metrics=epoch.metrics, step=epoch.number)

    def retried(self, trial: Trial, retry: Retry) -> None:
        self.tag(
            trial.run_id,
            {"retries": str(len(trial.retries)), "retried": retry.reason}
            | ({"batches_cut_into": str(retry.division)} if retry.division > 1 else {}),
        )

    def ended(self, trial: Trial) -> None:
        best = trial.best("val_f1")
        if best is not None:
            kept = {f"best_{name}": best.metrics[name] for name in HEADLINE}
            self._log(trial.run_id, metrics=kept | {"best_epoch": float(best.number)})
        self.tag(trial.run_id, {"status": trial.state.value, "reason": trial.reason})
        self._guard(self._client.set_terminated, trial.run_id, STATUS[trial.state])
        self._open_trials.discard(trial.run_id)

    def log_winner(self, trial: Trial, metrics: Mapping[str, float]) -> None:
        """Add what only the chosen trial has: its test scores."""
        test = {name: value for name, value in metrics.items() if name.startswith("test_")}
        self._log(trial.run_id, metrics=test)
        self.tag(trial.run_id, {"winner": "true"})

    def log_overview(self, figures: Mapping[str, float], step: int) -> None:
        """Add figures of the whole sweep to its own run."""
        self._log(self.run_id, metrics=figures, step=step)

    def tag(self, run_id: str, tags: Mapping[str, str]) -> None:
        """Set tags that are not empty."""
        from mlflow.entities import RunTag

        values = [RunTag(key, str(value)[:LONGEST_VALUE]) for key, value in tags.items() if value]
        self._guard(self._client.log_batch, run_id, (), (), values)

    def _open(self, name: str, run_id: str, tags: Mapping[str, str]) -> str:
        if run_id:
            self._guard(self._client.update_run, run_id, status="RUNNING")
            return run_id
        run = self._guard(
            self._client.create_run, self.experiment_id, tags=dict(tags), run_name=name
        )
        return run.info.run_id if run else ""

    def _log(
        self,
        run_id: str,
        *,
        params: Mapping[str, str] | None = None,
        metrics: Mapping[str, float] | None = None,
        step: int = 0,
    ) -> None:
        from mlflow.entities import Metric, Param

        now = int(time.time() * 1000)
        self._guard(
            self._client.log_batch,
            run_id,
            [Metric(key, value, now, step) for key, value in (metrics or {}).items()],
            [Param(key, value[:LONGEST_VALUE]) for key, value in (params or {}).items()],
        )

    def _guard(self, call: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Call the store; a failure is said once and then only the ledger knows the rest."""
        from mlflow.exceptions import MlflowException

        if args and args[0] == "":  # its run could not be created
            return None
        try:
            return call(*args, **kwargs)
        except (MlflowException, OSError) as error:
            if not self._failed:
                logger.warning(
                    "MLflow at %s cannot be written (%s); the sweep goes on, the ledger has it all",
                    self.uri,
                    _first_line(error),
                )
            self._failed = True
            return None


def flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Turn nested configuration into dotted names and texts, as MLflow wants parameters."""
    flat: dict[str, str] = {}
    for key, value in values.items():
        if isinstance(value, Mapping) and key not in WHOLE:
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = _text(value)
    return flat


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
