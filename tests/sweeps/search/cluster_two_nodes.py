"""A cluster of two nodes on this machine, whose Python finds all libraries but not the project.

The head has no CPU, so that all work is on the other node. Each has its own Hugging Face cache, and
who joins must know the token.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp

import ray

from benchmarks._made import free_port
from tests.sweeps.run_made import MARK, Done, command, environment, processes_of, start

ROOT = Path(__file__).resolve().parents[3]
TOKEN = "3f7a" * 8
STARTS_WITHIN_S = 60.0
AGENT = "--dashboard-agent-listen-port"  # the usual one may be another Ray's
PROCESSES = "tests.sweeps.search.cluster_processes"


@dataclass(frozen=True)
class TwoNodes:
    """The cluster's addresses, and the folder below which its nodes keep what is theirs."""

    folder: Path
    address: str
    dashboard: str

    def cache(self, node: str) -> Path:
        """The Hugging Face cache of the `head` or the `other` node."""
        return self.folder / node

    def environment(self, **added: str) -> dict[str, str]:
        """What somebody who may use the cluster has in the environment, without the project."""
        kept = without_project(environment(RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=TOKEN))
        return kept | added

    def run(self, name: str, *, env: dict[str, str]) -> dict[str, object]:
        """Run one of `cluster_processes` with the cluster's address."""
        arguments = (name, self.address, str(self.folder))
        return run_process(self.folder, *arguments, env=env)

    def submit(self, *entry: str, **variables: str) -> subprocess.Popen[str]:
        """Start `ray job submit`, which follows the job to its end."""
        runtime = json.dumps({"env_vars": variables})
        given = ("job", "submit", "--address", self.dashboard, "--runtime-env-json", runtime)
        command = (*given, "--", *entry)
        return start(self.folder, *command, module="ray.scripts.scripts", env=self.environment())


def without_project(variables: dict[str, str]) -> dict[str, str]:
    """Leave out what makes this checkout importable."""
    return {name: value for name, value in variables.items() if name != "PYTHONPATH"}


def run_process(folder: Path, *arguments: str, env: dict[str, str]) -> dict[str, object]:
    """Run one of `cluster_processes` and give what it printed last."""
    done: Done = command(
        folder, *arguments, module=PROCESSES, env=env | {"PYTHONPATH": str(ROOT)}, limit=200
    )
    assert done.code == 0, done.err
    found: dict[str, object] = json.loads(done.out.strip().splitlines()[-1])
    return found


def bare_python(folder: Path) -> Path:
    """Make a Python that has this one's libraries, without what is installed as a link."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    (packages,) = folder.glob("lib/python3*/site-packages")
    # Path files of a folder that a path file names are not read: no editable install is found.
    (packages / "libraries.pth").write_text(f"{Path(ray.__file__).parents[1]}\n", encoding="utf-8")
    python = folder / "bin" / "python"
    tried = subprocess.run(
        [python, "-c", "import sweeps"],
        cwd=folder,
        env=without_project(environment()),
        capture_output=True,
    )
    assert b"No module named 'sweeps'" in tried.stderr
    return python


@contextmanager
def two_nodes(folder: Path) -> Iterator[TwoNodes]:
    """Start the cluster; end it with all its processes."""
    python = bare_python(folder / "bare")
    # Names of sockets must be short; and nobody else is to find the cluster by Ray's own file.
    place = Path(mkdtemp(prefix="ray-"))
    gcs, dashboard = free_port(), free_port()
    cluster = TwoNodes(folder, f"127.0.0.1:{gcs}", f"http://127.0.0.1:{dashboard}")
    head = ("--head", f"--port={gcs}", f"--dashboard-port={dashboard}", f"--temp-dir={place}")
    try:
        _start_node(python, cluster, "head", *head, "--num-cpus=0")
        _start_node(python, cluster, "other", f"--address={cluster.address}", "--num-cpus=1")
        _until_jobs_are_taken(cluster)
        yield cluster
    finally:
        for pid in processes_of(folder):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        shutil.rmtree(place, ignore_errors=True)  # those who write there may still be ending


def _until_jobs_are_taken(cluster: TwoNodes) -> None:
    """Wait for the agents of the nodes, which start jobs and come up after the nodes."""
    until = time.monotonic() + STARTS_WITHIN_S
    while True:
        job = cluster.submit("true")
        said = "".join(job.communicate(timeout=STARTS_WITHIN_S))
        if job.returncode == 0:
            return
        assert time.monotonic() < until, said
        time.sleep(1.0)


def _start_node(python: Path, cluster: TwoNodes, name: str, *given: str) -> None:
    variables = {"HF_HOME": str(cluster.cache(name)), MARK: str(cluster.folder)}
    log = cluster.folder / f"{name}.log"
    with log.open("w") as out:  # not a pipe, which would be open for as long as the node lives
        done = subprocess.run(
            [python, "-m", "ray.scripts.scripts", "start", *given, f"{AGENT}={free_port()}"],
            cwd=cluster.folder,
            stdout=out,
            stderr=subprocess.STDOUT,
            env=cluster.environment(**variables, RAY_USAGE_STATS_ENABLED="0"),
            timeout=STARTS_WITHIN_S,
        )
    assert done.returncode == 0, log.read_text()
