"""The only writer to MLflow while a sweep runs: one parent run, one child run a trial.

Each write brings one run up to date with what the sweep knows, and may be repeated: where an answer
was lost, what the store has is looked up first, and every point has the time at which it happened.
So no run and no point is there twice, however often a store or the driver fails.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from sweeps.errors import RefusedError, RegistryError, first_line
from sweeps.search.events import Trial
from sweeps.search.shown import (
    FIGURES_SEEN_BY,
    SEEN_BY,
    STATUS,
    End,
    Figures,
    Point,
    SweepRun,
    cut,
    flatten,
    milliseconds,
    points,
    points_of,
    points_of_sweep,
    tags_of,
)
from tokcls.errors import without_keys
from tokcls.patience import patience

DEFAULT_URI = "sqlite:///mlflow.db"
PARENT_TAG = "mlflow.parentRunId"
SWEEP_TAG = "sweep_id"  # by which a sweep's run is found whose id was never heard
TRIAL_TAG = "trial"
EXPERIMENT_TAGS = {"mlflow.experimentKind": "custom_model_development"}  # the UI's view of runs
FIGURES = "figures"  # beside trials' names, what a write may be about
SHARED_TAGS = ("offline",)  # that a trial's run has from its sweep's
MOST_POINTS = 800  # MLflow takes 1,000 values a call, parameters and tags among them
PAGE = 1000
REFUSALS = ("INVALID_PARAMETER_VALUE", "RESOURCE_DOES_NOT_EXIST", "RESOURCE_ALREADY_EXISTS")
LOOK_AGAIN_S = 1.0
PATIENCE = {"MLFLOW_HTTP_REQUEST_TIMEOUT": "10", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}


def tracking_uri(configured: str | None) -> str:
    """Where MLflow records: the environment wins, then the file, then a sqlite file here."""
    return os.environ.get("MLFLOW_TRACKING_URI") or configured or DEFAULT_URI


@dataclass
class _Run:
    """What a run has in MLflow, as far as was seen or written; `steps` None: not looked at yet.

    `figures` are the metrics that belong to no epoch.
    """

    run_id: str
    status: str = "RUNNING"
    params: bool = False
    tags: dict[str, str] = field(default_factory=dict)
    steps: set[int] | None = field(default_factory=set)
    figures: dict[str, float] = field(default_factory=dict)

    @classmethod
    def seen(cls, run: Any) -> _Run:
        tags = dict(run.data.tags)
        info, data = run.info, run.data
        return cls(info.run_id, info.status, bool(data.params), tags, None, dict(data.metrics))


class Tracker:
    """Writes a sweep to MLflow, with explicit run ids and no fluent state.

    `open`, `write` and `close` raise whatever a store raises that does not answer, and can be
    called again then; RefusedError says that again is no use. One thread at a time.
    """

    def __init__(self, uri: str, experiment: str, sweep: SweepRun) -> None:
        self.uri = uri
        self._experiment, self._sweep = experiment, sweep
        self._client: Any = None
        self._experiment_id = ""
        self._own: _Run | None = None
        self._runs: dict[str, _Run] = {}
        self._in_doubt: set[str] = {"", FIGURES} if sweep.resumed else set()
        self._surveyed = 0

    @property
    def sweep_id(self) -> str:
        """The tag by which the sweep's own run is found again."""
        return self._sweep.sweep_id

    def connect(self) -> None:
        """Open the store and find or make the experiment; raise RegistryError if that fails."""
        try:
            with patience(PATIENCE):
                self._connect()
        except Exception as error:  # a store raises what its driver raises
            said = first_line(error)
            raise RegistryError(
                f"MLflow at {without_keys(self.uri)} cannot be used: {said}"
            ) from error

    def _connect(self) -> None:
        for name in ("alembic", "mlflow.store.db.utils"):
            logging.getLogger(name).setLevel(logging.WARNING)
        from mlflow.tracking import MlflowClient

        client: Any = MlflowClient(tracking_uri=self.uri)
        found = client.get_experiment_by_name(self._experiment)
        self._experiment_id = (
            found.experiment_id
            if found
            else client.create_experiment(self._experiment, tags=EXPERIMENT_TAGS)
        )
        self._client = client

    def run_of(self, trial_id: str) -> str:
        """Give the id of a trial's run; of the sweep's own where MLflow took none for the trial."""
        own = self._own.run_id if self._own else ""
        return self._runs[trial_id].run_id if trial_id in self._runs else own

    def open(self) -> None:
        """Find or make the sweep's own run; of a resumed sweep also find the trials' runs."""
        with self._writing(""):
            if self._client is None:
                self._connect()
            sweep = self._sweep
            tags = {**sweep.tags, SWEEP_TAG: sweep.sweep_id}
            run = self._seek_own() or self._create(sweep.name, tags, time.time())
            self._own = run
            self._bring(run, flatten(sweep.params), [], tags)
            if run.status != "RUNNING":
                self._client.update_run(run.run_id, status="RUNNING")
                run.status = "RUNNING"
            if sweep.resumed:
                self._runs = self._children(run.run_id)

    def write(self, trial: Trial) -> None:
        """Bring a trial's run up to date: parameters, epochs, tags, and its end if it is over."""
        with self._writing(trial.trial_id):
            run = self._run(trial)
            status, tags = STATUS[trial.state], cut(tags_of(trial))
            if trial.over and run.status == status and tags.items() <= run.tags.items():
                return  # its end is written last
            if run.steps is None:
                run.steps = self._steps(run, SEEN_BY)
            if not trial.over and run.status != status:
                self._client.update_run(run.run_id, status=status)
            lacking = list(points_of(trial, run.steps))
            self._bring(run, flatten(trial.config), lacking, tags)
            run.steps |= {epoch.number for epoch in trial.epochs}
            if trial.over:
                self._end(run, status, trial.ended_at)
            run.status = status

    def describe(self, params: Mapping[str, str]) -> None:
        """Add parameters to the sweep's own run, before it is opened."""
        self._sweep = replace(self._sweep, params={**self._sweep.params, **params})

    def survey(self, steps: Sequence[Figures], tags: Mapping[str, str]) -> None:
        """Add those figures of the whole sweep to its own run that it lacks; `steps` are all."""
        with self._writing(FIGURES):
            assert self._own is not None
            there: set[int] = set()
            if FIGURES in self._in_doubt:
                there, self._surveyed = self._steps(self._own, FIGURES_SEEN_BY), 0
            new = steps[self._surveyed :]
            self._bring(self._own, {}, list(points_of_sweep(new, there)), tags)
            self._surveyed += len(new)

    def close(self, end: End) -> None:
        """End the sweep's run, with the winner's figures, and the runs of trials that are open."""
        with self._writing("end"):
            assert self._own is not None
            if end.winner is not None and end.winner.trial_id in self._runs:
                self._crown(self._runs[end.winner.trial_id], end.winner, end)
            for run in self._runs.values():
                if run.status == "RUNNING":
                    self._end(run, "KILLED", end.at)
            self._bring(self._own, {}, points(end.metrics, end.at, 0), {})
            self._end(self._own, "KILLED" if end.winner is None else "FINISHED", end.at)

    def _crown(self, run: _Run, winner: Trial, end: End) -> None:
        """Give the winner's run its test scores, and its end again, which registering moved."""
        test = {name: value for name, value in end.metrics.items() if name.startswith("test_")}
        self._bring(run, {}, points(test, end.at, 0), {"winner": "true"})
        self._end(run, STATUS[winner.state], winner.ended_at)

    @contextmanager
    def _writing(self, name: str) -> Iterator[None]:
        """Call the store; whatever fails may have been done, and is looked up the next time."""
        try:
            with patience(PATIENCE):
                yield
        except Exception as error:  # a store raises what its driver raises
            self._in_doubt.add(name)
            self._runs.pop(name, None)
            if name and getattr(error, "error_code", "") in REFUSALS:
                raise RefusedError(first_line(error)) from error
            raise
        self._in_doubt.discard(name)

    def _steps(self, run: _Run, metric: str) -> set[int]:
        """Ask which steps of a metric a run has."""
        return {point.step for point in self._client.get_metric_history(run.run_id, metric)}

    def _seek_own(self) -> _Run | None:
        if "" not in self._in_doubt:
            return self._own
        if self._sweep.run_id:
            return _Run.seen(self._client.get_run(self._sweep.run_id))
        return self._seek(f"tags.{SWEEP_TAG} = '{self._sweep.sweep_id}'")

    def _run(self, trial: Trial) -> _Run:
        """Give a trial's run: the one that is known, else one that is found, else a new one."""
        assert self._own is not None
        name = trial.trial_id
        run = self._runs.get(name)
        if run is None and name in self._in_doubt:
            parent = f"tags.`{PARENT_TAG}` = '{self._own.run_id}'"
            run = self._seek(f"{parent} and tags.{TRIAL_TAG} = '{name}'")
        if run is None:
            shared = {key: self._sweep.tags[key] for key in SHARED_TAGS if key in self._sweep.tags}
            tags = {PARENT_TAG: self._own.run_id, TRIAL_TAG: name, **shared, **tags_of(trial)}
            run = self._create(name, tags, trial.started_at)
        self._runs[name] = run
        return run

    def _create(self, name: str, tags: Mapping[str, str], at: float) -> _Run:
        kept = cut(tags)
        run = self._client.create_run(
            self._experiment_id, start_time=milliseconds(at), tags=kept, run_name=name
        )
        return _Run(run.info.run_id, tags=kept)

    def _seek(self, where: str) -> _Run | None:
        """Find a run that may have been made without our hearing of it, maybe at this moment."""
        for wait in (0.0, LOOK_AGAIN_S):
            time.sleep(wait)
            found = self._client.search_runs([self._experiment_id], where, max_results=1)
            if found:
                return _Run.seen(found[0])
        return None

    def _children(self, parent: str) -> dict[str, _Run]:
        """Find the trials' runs of earlier sessions; such as have no tag are named after theirs."""
        where = f"tags.`{PARENT_TAG}` = '{parent}'"
        runs: dict[str, _Run] = {}
        token: str | None = None
        while token != "":
            page = self._client.search_runs(
                [self._experiment_id], where, max_results=PAGE, page_token=token
            )
            for run in page:
                runs[run.data.tags.get(TRIAL_TAG, run.info.run_name)] = _Run.seen(run)
            token = page.token or ""
        return runs

    def _bring(
        self, run: _Run, params: Mapping[str, str], points: Sequence[Point], tags: Mapping[str, str]
    ) -> None:
        """Write what the run lacks, in as few calls as MLflow's limits permit."""
        from mlflow.entities import Metric, Param, RunTag

        wanted = cut(tags)
        lacking = {key: value for key, value in wanted.items() if run.tags.get(key) != value}
        told = {} if run.params else cut(params)
        parameters = [Param(key, value) for key, value in told.items()]
        labels = [RunTag(key, value) for key, value in lacking.items()]
        points = [each for each in points if each.step or run.figures.get(each.name) != each.value]
        figures = {each.name: each.value for each in points if not each.step}
        while parameters or points or labels:
            now, points = points[:MOST_POINTS], points[MOST_POINTS:]
            metrics = [Metric(each.name, each.value, each.at, each.step) for each in now]
            self._client.log_batch(run.run_id, metrics, parameters, labels)
            parameters, labels = [], []
        run.params = run.params or bool(params)
        run.tags |= lacking
        run.figures |= figures

    def _end(self, run: _Run, status: str, at: float | None) -> None:
        self._client.set_terminated(run.run_id, status, None if at is None else milliseconds(at))
        run.status = status
