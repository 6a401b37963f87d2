"""A trial whose workers sit on two hosts with addresses of their own, one of which is cut off."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from tests.sweeps.hosts import Host, NotAllowed, hosts
from tests.sweeps.run_made import Events, ended, environment, ledger, make_world, newest, start

pytestmark = pytest.mark.alone

ROOT = Path(__file__).resolve().parents[2]
RAY = str(Path(sys.executable).with_name("ray"))
PORT = 6379
EPOCHS = 10
OVERRIDES = (
    "labels.scheme=IOB2",
    "train.tokens_per_batch=48",
    f"train.epochs={EPOCHS}",
    "search.trials=1",
    "resources.workers_per_trial=2",
    "resources.cpus_per_worker=1",
    "output.register_as=null",
)
# Ray finds out within seconds that a host is gone, instead of within half a minute.
NOTICED = {
    "RAY_health_check_initial_delay_ms": "0",
    "RAY_health_check_period_ms": "500",
    "RAY_health_check_timeout_ms": "1000",
    "RAY_health_check_failure_threshold": "5",
}
GONE = "missing too many heartbeats"  # what Ray's own log says of such a host
# As a service manager does it: a host that Ray gave up comes back as a new node.
ALWAYS = 'while :; do "$@" || sleep 0.5; done'


@dataclass(frozen=True)
class Pair:
    """Two hosts that are a Ray cluster of one CPU each; `head` also runs the sweep."""

    head: Host
    other: Host
    log: Path

    @property
    def address(self) -> str:
        return f"{self.head.address}:{PORT}"

    def gave_up(self) -> bool:
        """Whether Ray has found a host to be gone."""
        return contains(self.log, GONE)

    def workers(self) -> list[list[int]]:
        """The trial's worker processes on each host."""
        return [named("RayTrainWorker", host) for host in (self.head, self.other)]


@contextmanager
def pair(folder: Path) -> Iterator[Pair]:
    # Ray's sockets have room for a short path only.
    temporary = Path(tempfile.mkdtemp(prefix="ner", dir="/tmp"))
    with ExitStack() as later:
        later.callback(shutil.rmtree, temporary, ignore_errors=True)
        running: list[subprocess.Popen[bytes]] = []
        later.callback(lambda: [process.wait(timeout=20) for process in running])
        head, other = later.enter_context(hosts(2))
        first = ("--head", f"--port={PORT}", f"--temp-dir={temporary}")
        quiet = ("--include-dashboard=false", "--disable-usage-stats")
        running.append(ray_on(head, folder, *first, *quiet))
        running.append(ray_on(other, folder, f"--address={head.address}:{PORT}"))
        for host in (head, other):
            up = partial(contains, log_of(host, folder), "Ray runtime started")
            wait_for(up, seconds=60, why="Ray did not start")
        yield Pair(head, other, temporary / "session_latest" / "logs" / "gcs_server.out")


def ray_on(host: Host, folder: Path, *options: str) -> subprocess.Popen[bytes]:
    """Keep a Ray node up until its host goes."""
    node = ("--block", "--num-cpus=1", "--object-store-memory=100000000")
    ray = (RAY, "start", f"--node-ip-address={host.address}", *node, *options)
    with log_of(host, folder).open("w") as log:
        return subprocess.Popen(
            host.command("bash", "-c", ALWAYS, "ray", *ray),
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env=settings(),
        )


def log_of(host: Host, folder: Path) -> Path:
    return folder / f"{host.name}.log"


def settings() -> dict[str, str]:
    path = os.pathsep.join((str(ROOT), str(ROOT / "tests")))
    return environment(PYTHONPATH=path, RAY_AUTH_MODE="disabled", **NOTICED)


def contains(path: Path, text: str) -> bool:
    return path.exists() and text in path.read_text(encoding="utf-8", errors="replace")


def named(part: str, host: Host) -> list[int]:
    """The processes on a host whose title has `part` in it."""
    found = []
    for pid in host.processes():
        try:
            title = Path(f"/proc/{pid}/cmdline").read_bytes()
        except OSError:
            continue
        if part.encode() in title:
            found.append(pid)
    return found


def wait_for(what: Callable[[], bool], *, seconds: float, why: str) -> None:
    until = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < until, why
        time.sleep(0.05)


def test_a_trial_on_two_hosts_outlives_that_one_is_cut_off(tmp_path: Path) -> None:
    folder = make_world(tmp_path)
    try:
        with pair(tmp_path) as cluster:
            assert_it_outlives_two_cuts(folder, cluster)
    except NotAllowed as error:
        pytest.skip(f"no network namespaces here: {error}")


def assert_it_outlives_two_cuts(folder: Path, cluster: Pair) -> None:
    def events() -> Events:
        found = folder.glob("runs/small/*/ledger.jsonl")
        return ledger(newest(folder)) if any(found) else Events()

    def reached(number: int) -> bool:
        assert process.poll() is None, process.communicate()
        return number in events().epochs.get("t001", [])

    given = ("s.yaml", *OVERRIDES, f"--address={cluster.address}")
    with ended(start(folder, *given, env=settings(), within=cluster.head.command())) as process:
        wait_for(lambda: reached(1), seconds=120, why="training never began")
        workers = cluster.workers()
        assert [len(of_host) for of_host in workers] == [1, 1]
        with cluster.other.unplugged():
            time.sleep(1.0)
        wait_for(lambda: reached(3), seconds=20, why="training did not go on after a second")
        assert cluster.workers() == workers
        with cluster.other.unplugged():
            wait_for(cluster.gave_up, seconds=20, why="Ray never noticed that a host is gone")
            assert not reached(EPOCHS)
        wait_for(lambda: reached(EPOCHS), seconds=90, why="the trial was not finished")
        again = cluster.workers()
    assert [len(of_host) for of_host in again] == [1, 1]
    assert not {*again[0], *again[1]} & {*workers[0], *workers[1]}
    assert events().epochs == {"t001": [*range(1, EPOCHS + 1)]}
