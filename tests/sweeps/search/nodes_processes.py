"""Small sweeps on clusters of several nodes, each in a process of its own; JSON is printed.

python -m tests.sweeps.search.nodes_processes lost|from_zero FOLDER
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ray
from ray._common.utils import reset_ray_address
from ray.cluster_utils import Cluster
from ray.util import get_node_ip_address

from benchmarks._made import free_port
from sweeps.search.cluster import ENVIRONMENT, ray_session
from sweeps.search.events import Retry, Trial
from sweeps.search.mailbox import Epoch
from tests.sweeps.run_made import MARK, processes_of
from tests.sweeps.search.slots_small import Ran, Small, write_corpus
from tests.tiny import tiny_model

HEALTH = {  # a node that is killed is given up after seconds, not half a minute
    "health_check_initial_delay_ms": 0,
    "health_check_period_ms": 1000,
    "health_check_timeout_ms": 3000,
    "health_check_failure_threshold": 3,
}
RATES = "train.learning_rate={choice: [0.01, 0.005]}"


COMMANDS = (  # of a cluster file, which the fake provider does not run
    *("initialization_commands", "setup_commands", "head_setup_commands", "worker_setup_commands"),
    *("head_start_ray_commands", "worker_start_ray_commands", "cluster_synced_files"),
)


@dataclass
class Story:
    """Loses the only worker node when t001 tells of its second epoch; what is said brings more."""

    lose: Callable[[], None]
    add: Callable[[], None]
    said: list[str] = field(default_factory=list)

    def started(self, trial: Trial) -> None:
        """Nothing is lost yet."""

    def epoch(self, trial: Trial, epoch: Epoch) -> None:
        if (trial.trial_id, epoch.number) == ("t001", 2):
            self.lose()

    def retried(self, trial: Trial, retry: Retry) -> None:
        """Shown by the trial."""

    def ended(self, trial: Trial) -> None:
        """Shown by the trial."""

    def say(self, text: str) -> None:
        self.said.append(text)
        if text.startswith("waiting"):
            self.add()


def lost(folder: Path) -> dict[str, Any]:
    """Run two trials on one node, which is killed; then there are two others."""
    cluster = Cluster(
        initialize_head=True,
        head_node_args={
            "num_cpus": 0,
            "include_dashboard": True,
            "dashboard_port": free_port(),  # the usual one may be another Ray's
            "_system_config": HEALTH,
        },
    )
    first = cluster.add_node(num_cpus=1)
    session = ray_session(cluster.address, folder / "ray.log")

    def add() -> None:
        for _ in range(2):
            cluster.add_node(num_cpus=1)

    story = Story(lose=lambda: cluster.remove_node(first, allow_graceful=False), add=add)
    try:
        ran = small(folder).run(
            "lost",
            RATES,
            "train.epochs=4",
            "resources.concurrent_trials=auto",
            listeners=[story],
            say=story.say,
        )
        return shown(ran, story.said)
    finally:
        session.close()
        cluster.shutdown()  # type: ignore[no-untyped-call]


def small(folder: Path) -> Small:
    return Small(folder, write_corpus(folder / "corpus"), tiny_model("bert", folder / "bert"))


def shown(ran: Ran, said: list[str]) -> dict[str, Any]:
    return {
        "slots": ran.materials.plan.slots,
        "trials": {
            trial.trial_id: [
                str(trial.state),
                [epoch.number for epoch in trial.epochs],
                trial.reason,
            ]
            for trial in ran.trials
        },
        "retries": sum(len(trial.retries) for trial in ran.trials),
        "said": said,
        "held": ran.held,
    }


def from_zero(folder: Path) -> dict[str, Any]:
    """Run two trials where there is no worker node until Ray's autoscaler starts some."""
    said: list[str] = []
    with autoscaling(folder) as address:
        session = ray_session(address, folder / "ray.log")
        before = ray.cluster_resources().get("CPU", 0.0)  # type: ignore[no-untyped-call]
        try:
            ran = small(folder).run(
                "zero", RATES, "train.epochs=1", "resources.concurrent_trials=auto", say=said.append
            )
            return shown(ran, said) | {"before": before}
        finally:
            session.close()


@contextmanager
def autoscaling(folder: Path) -> Iterator[str]:
    """Start a head without CPUs and Ray's fake provider of nodes, which are processes here.

    Ray's own AutoscalingCluster would stop every Ray on the machine.
    """
    port, file = free_port(), folder / "cluster.yaml"
    host = get_node_ip_address()  # type: ignore[no-untyped-call]
    address = f"{host}:{port}"
    file.write_text(json.dumps(autoscaling_config(address)), encoding="utf-8")
    ray_command = str(Path(sys.executable).with_name("ray"))
    command = [ray_command, "start", "--head", f"--port={port}", "--block", "--num-cpus=0"]
    command += [f"--autoscaling-config={file}", "--dashboard-host=127.0.0.1"]
    command += [f"--dashboard-port={free_port()}"]
    environment = {"AUTOSCALER_UPDATE_INTERVAL_S": "1", "RAY_FAKE_CLUSTER": "1", MARK: str(folder)}
    with (folder / "head.log").open("wb") as log:
        head = subprocess.Popen(
            command, env={**os.environ, **environment}, stdout=log, stderr=subprocess.STDOUT
        )
    try:
        until = time.monotonic() + 60
        while "Ray runtime started" not in (folder / "head.log").read_text():
            if head.poll() is not None or time.monotonic() > until:
                raise RuntimeError((folder / "head.log").read_text())
            time.sleep(0.2)
        yield address
    finally:
        while pids := processes_of(folder):  # nodes outlive the head by a minute
            for pid in pids:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            head.wait(timeout=30)
        reset_ray_address()


def autoscaling_config(address: str) -> dict[str, Any]:
    """Two nodes of one CPU at most, none at first."""
    provider = {
        "type": "fake_multinode",
        "gcs_address": address,
        "use_node_id_as_ip": True,
        "disable_node_updaters": True,
        "disable_launch_config_check": True,
    }
    head = {"resources": {"CPU": 0}, "node_config": {}, "max_workers": 0}
    one = {"resources": {"CPU": 1}, "node_config": {}, "min_workers": 0, "max_workers": 2}
    nothing: dict[str, Any] = {key: [] for key in COMMANDS} | {"file_mounts": {}, "docker": {}}
    return nothing | {
        "cluster_name": "from-zero",
        "max_workers": 2,
        "upscaling_speed": 10.0,
        "idle_timeout_minutes": 5,
        "provider": provider,
        "auth": {},
        "head_node_type": "ray.head.default",
        "available_node_types": {"ray.head.default": head, "one": one},
    }


def main(name: str, folder: str) -> None:
    os.environ.update(ENVIRONMENT)
    os.environ["RAY_AUTH_MODE"] = "disabled"
    result = {"lost": lost, "from_zero": from_zero}[name](Path(folder))
    print(json.dumps(result))


if __name__ == "__main__":
    main(*sys.argv[1:])
