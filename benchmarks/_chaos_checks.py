"""What a disturbed sweep must have done and left, read from outside: ledger, MLflow, Ray, /proc."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path
from typing import Any

from benchmarks._chaos_cluster import STANDING
from benchmarks._chaos_run import Sweep
from benchmarks._chaos_world import World
from sweeps.search.events import State
from sweeps.search.ledger import History, read_ledger
from sweeps.space.combinations import distinct
from sweeps.space.space import load_space
from tests.sweeps.run_made import processes_of

RETURNS_WITHIN_S = 30.0
GOOD = (State.FINISHED, State.STOPPED)
IDLE = ("IDLE", "DashboardAgent", "RuntimeEnvAgent", *STANDING)  # processes that any Ray has


def wrong(sweep: Sweep, code: int) -> dict[str, Any]:
    """Name what is not as an undisturbed sweep leaves it; nothing: all is well."""
    history = read_ledger(sweep.folder) if sweep.folder else None
    found = {
        "exit code": code,
        "ledger": ledger_wrong(history, expected(sweep.world)) if history else ["there is none"],
        "mlflow": _mlflow(sweep, history) if history else [],
        "left": left(sweep.world),
    }
    return {name: what for name, what in found.items() if what}


def expected(world: World) -> dict[str, int]:
    """The configurations of the space by config_hash, with the epochs that each must come to."""
    space = load_space(world.folder / "s.yaml")
    trials = [space.trial(values) for values in distinct(space.parameters, space.trial)]
    return {trial.config_hash: trial.train.epochs for trial in trials}


def ledger_wrong(history: History, configurations: dict[str, int]) -> list[str]:
    """Name what a ledger tells that is not one good trial of each configuration."""
    found = [] if history.done else ["the sweep is not done"]
    seen = Counter(trial.config_hash for trial in history.trials)
    found += [f"{each} never ran" for each in configurations if each not in seen]
    found += [f"{each} is not of the space" for each in seen if each not in configurations]
    found += [f"{each} ran {times} times" for each, times in seen.items() if times > 1]
    for trial in history.trials:
        numbers = [epoch.number for epoch in trial.epochs]
        if trial.state not in GOOD:
            found.append(f"{trial.trial_id} is {trial.state}: {trial.reason}")
        elif numbers != [*range(1, configurations.get(trial.config_hash, 0) + 1)]:
            found.append(f"{trial.trial_id} has epochs {numbers}")
    return found


def _mlflow(sweep: Sweep, history: History) -> list[str]:
    sweep.world.server.wait()
    return mlflow_wrong(sweep.world.server.uri, sweep.name, history)


def mlflow_wrong(uri: str, experiment: str, history: History) -> list[str]:
    """Name what is not one run a sweep and one a trial, each ended, with each epoch once."""
    from mlflow.tracking import MlflowClient

    client = MlflowClient(tracking_uri=uri)
    there = client.get_experiment_by_name(experiment)
    if there is None:
        return ["there is no experiment"]
    runs = client.search_runs([there.experiment_id])
    parents = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
    children = [run for run in runs if "mlflow.parentRunId" in run.data.tags]
    found = [] if len(parents) == 1 else [f"{len(parents)} runs of the sweep itself"]
    epochs = {t.trial_id: [epoch.number for epoch in t.epochs] for t in history.trials}
    named = Counter(sorted(run.info.run_name for run in children))
    if named != Counter(list(epochs)):
        found.append(f"runs of trials: {dict(named)}")
    for run in runs:
        if run.info.status != "FINISHED":
            found.append(f"{run.info.run_name} is {run.info.status}")
    for run in children:
        steps = [each.step for each in client.get_metric_history(run.info.run_id, "val_f1")]
        if steps != epochs.get(run.info.run_name):
            found.append(f"{run.info.run_name} has steps {steps}")
    return found


def left(world: World) -> dict[str, Any]:
    """Wait until a sweep's processes are gone and the cluster is free; name what stays."""
    until = time.monotonic() + RETURNS_WITHIN_S
    while True:
        found = world.cluster.ask("held") | processes_left(world.folder, world.cluster.mark)
        if not found or time.monotonic() > until:
            return dict(found)
        time.sleep(0.5)


def processes_left(driver: Path, cluster: Path) -> dict[str, str]:
    """Name the processes marked as a driver's, and those of a cluster that have work to do."""
    titles = {str(pid): _title(pid) for pid in processes_of(cluster)}
    busy = {pid: title for pid, title in titles.items() if _busy(title)}
    return busy | {str(pid): "of the driver" for pid in processes_of(driver)}


def _title(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0].decode().strip()
    except OSError:
        return ""


def _busy(title: str) -> bool:
    """Whether a process is one of Ray's workers, and has something to do."""
    return title.startswith("ray::") and not title.removeprefix("ray::").startswith(IDLE)
