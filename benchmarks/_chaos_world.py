"""What a sweep needs around it to be disturbed: a cluster, a tracking server, a small world."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks._made import free_port
from tests.sweeps.run_made import MARK, environment, make_world, processes_of

ROOT = Path(__file__).resolve().parents[1]
PATH = os.pathsep.join((str(ROOT), str(ROOT / "tests")))
SPACE = """\
name: chaos
data: {source: corpus}
labels: {scheme: {choice: [IOB2, BIOES]}}
model: {backbone: ./bert}
train:
  learning_rate: {choice: [0.01, 0.007, 0.005]}
  epochs: 8
  tokens_per_batch: 16
search: {algorithm: grid, scheduler: none, retries: 3}
resources: {cpus_per_worker: 1, concurrent_trials: 2}
output: {register_as: null}
"""
# A lost node is noticed within seconds, instead of within half a minute.
RAY = {
    "RAY_AUTH_MODE": "disabled",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_health_check_initial_delay_ms": "0",
    "RAY_health_check_period_ms": "500",
    "RAY_health_check_timeout_ms": "2000",
    "RAY_health_check_failure_threshold": "4",
}
# Its workers for jobs that nobody gives it start four more processes.
MLFLOW = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
STARTS_WITHIN_S = 60.0


def settings(mark: Path, **added: str) -> dict[str, str]:
    """The environment of a process, and of all that it starts: they are found again by `mark`."""
    return environment(PYTHONPATH=PATH, **{MARK: str(mark)}, **RAY, **added)


@dataclass
class Cluster:
    """Three Ray nodes, behind a process that takes commands."""

    mark: Path
    process: subprocess.Popen[str] = field(init=False)
    address: str = ""

    def start(self) -> None:
        with (self.mark.parent / "cluster.log").open("a") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "benchmarks._chaos_cluster"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                start_new_session=True,
                env=settings(self.mark),
            )

    def wait(self) -> None:
        """Wait until it can be joined."""
        self.address = self._answer()

    def ask(self, *command: str) -> Any:
        """Give a command; return what is answered."""
        assert self.process.stdin is not None
        self.process.stdin.write(" ".join(command) + "\n")
        self.process.stdin.flush()
        return self._answer()

    def _answer(self) -> Any:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"the cluster ended; see {self.mark.parent / 'cluster.log'}")
        return json.loads(line)

    def stop(self) -> None:
        with suppress(subprocess.TimeoutExpired):
            self.process.communicate(timeout=STARTS_WITHIN_S)
        for pid in processes_of(self.mark):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()


@dataclass
class Server:
    """A real `mlflow server`, always on the same database and port."""

    folder: Path
    port: int
    process: subprocess.Popen[bytes] = field(init=False)

    @property
    def uri(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        store = f"sqlite:///{self.folder / 'mlflow.db'}"
        place = ("--host", "127.0.0.1", "--port", str(self.port), "--workers", "1")
        with (self.folder / "mlflow.log").open("a") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", store, *place],
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env=settings(self.folder / "server", **MLFLOW),
            )

    def wait(self) -> None:
        """Wait until it answers."""
        until = time.monotonic() + STARTS_WITHIN_S
        while True:
            try:
                urllib.request.urlopen(f"{self.uri}/health", timeout=1.0).close()
                return
            except OSError:
                if time.monotonic() > until:
                    raise
                time.sleep(0.1)

    def kill(self) -> None:
        kill(self.process)


@dataclass(frozen=True)
class World:
    """A folder with `s.yaml`, a corpus and a backbone; a cluster and a server that sweeps use."""

    folder: Path
    cluster: Cluster
    server: Server


@contextmanager
def world(folder: Path) -> Iterator[World]:
    """Make a world in `folder`; whatever runs in it ends with the block."""
    cluster, server = Cluster(folder / "cluster"), Server(folder, free_port())
    with ExitStack() as later:
        server.start()
        later.callback(server.kill)
        cluster.start()
        later.callback(cluster.stop)
        make_world(folder)
        (folder / "s.yaml").write_text(SPACE, encoding="utf-8")
        cluster.wait()
        server.wait()
        yield World(folder, cluster, server)


def kill(process: subprocess.Popen[Any]) -> None:
    """Kill a process and those of its group, and wait for it."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
