"""One sweep, and what is killed while it runs.

Kills are spread over the sweep by its progress, the epochs in its ledger; each waits for progress
after the one before. What is lost for a while (a node, the tracking server) comes back by itself.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks._chaos_world import World, kill, settings

LATEST = 24  # of 48 epochs of all trials together: by then the last kill comes
LONGEST_DELAY_S = 0.4
AWAY_S = 3.0
AGAIN_S = 0.5  # after there was nothing to kill
LIMIT_S = 360.0


@dataclass(frozen=True)
class Blow:
    """What is killed when so many epochs are in the ledger, and so much later."""

    what: str
    epochs: int
    delay: float


def blows(seed: int, kinds: Sequence[str]) -> list[Blow]:
    """Draw an order and the moments for one kill of each kind."""
    rng = random.Random(seed)
    order = rng.sample(list(kinds), len(kinds))
    moments = sorted(rng.sample(range(1, LATEST + 1), len(kinds)))
    return [
        Blow(what, epochs, rng.uniform(0, LONGEST_DELAY_S))
        for what, epochs in zip(order, moments, strict=True)
    ]


@dataclass
class Sweep:
    """A sweep of `world` under the command line, told to the ledger in `folder`."""

    world: World
    name: str
    rng: random.Random
    driver: subprocess.Popen[bytes] = field(init=False)
    log: list[dict[str, Any]] = field(default_factory=list)
    _coming_back: list[tuple[float, Callable[[], object]]] = field(default_factory=list)

    @property
    def folder(self) -> Path | None:
        """The sweep's own folder, once there is one."""
        found = sorted((self.world.folder / "runs" / self.name).glob("*"))
        return found[-1] if found else None

    @property
    def stderr(self) -> Path:
        return self.world.folder / f"{self.name}.log"

    def start(self, *options: str) -> None:
        """Start the driver: the command as a user gives it."""
        command = [sys.executable, "-m", "sweeps.run", "s.yaml", f"name={self.name}"]
        given = (f"tracking.experiment={self.name}", f"--address={self.world.cluster.address}")
        with self.stderr.open("a") as log:
            self.driver = subprocess.Popen(
                [*command, *given, *options],
                cwd=self.world.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env=settings(self.world.folder, MLFLOW_TRACKING_URI=self.world.server.uri),
            )

    def epochs(self) -> int:
        """Count the epochs in the ledger."""
        ledger = self.folder / "ledger.jsonl" if self.folder else None
        if ledger is None or not ledger.is_file():
            return 0
        return ledger.read_bytes().count(b'{"event": "epoch"')

    def run(self, ahead: Sequence[Blow]) -> int:
        """Run the sweep to its end with these blows, in order; returns the last exit code."""
        began, waiting = time.monotonic(), list(ahead)
        due, least = None, 0
        self.start()
        try:
            while self.driver.poll() is None or self._coming_back:
                if time.monotonic() > began + LIMIT_S:
                    raise TimeoutError(f"not done after {LIMIT_S:g} s")
                self._bring_back()
                if waiting and due is None and self.epochs() >= max(waiting[0].epochs, least):
                    due = time.monotonic() + waiting[0].delay
                if due is not None and time.monotonic() >= due:
                    due = time.monotonic() + AGAIN_S
                    if self._strike(waiting[0].what):
                        waiting.pop(0)
                        due, least = None, self.epochs() + 1
                time.sleep(0.1)
            return self.driver.returncode
        finally:
            kill(self.driver)
            self._bring_back(now=True)

    def _strike(self, what: str) -> bool:
        """Kill it; False: there is no such process at the moment."""
        pid = KINDS[what](self)
        if pid:
            self.log.append({"what": what, "epochs": self.epochs(), "pid": pid})
        return bool(pid)

    def _bring_back(self, *, now: bool = False) -> None:
        for entry in list(self._coming_back):
            at, back = entry
            if now or time.monotonic() >= at:
                self._coming_back.remove(entry)
                back()

    def later(self, back: Callable[[], object]) -> None:
        """Bring something back after a while."""
        self._coming_back.append((time.monotonic() + AWAY_S, back))

    def actors(self, part: str) -> list[int]:
        """List the processes of living actors whose class has `part` in its name, in any order."""
        processes = self.world.cluster.ask("processes")
        found = [pid for name, pids in processes.items() if part in name for pid in sorted(pids)]
        return self.rng.sample(found, len(found))

    def kill_actor(self, part: str) -> int:
        """Kill one of them."""
        pid = next(iter(self.actors(part)), 0)
        if pid:
            os.kill(pid, signal.SIGKILL)
        return pid

    def lose_node(self) -> int:
        """Take the node of a worker away, and add another after a while."""
        worker = self.world.cluster.ask("lose", *map(str, self.actors("RayTrainWorker")))
        if worker:
            self.later(lambda: self.world.cluster.ask("gain"))
        return int(worker)

    def lose_server(self) -> int:
        """Kill the tracking server, and start it again on the same store after a while."""
        server = self.world.server
        server.kill()
        self.later(server.start)
        return server.process.pid

    def lose_driver(self) -> int:
        """Kill the driver and resume the sweep, with or without the tracking server."""
        kill(self.driver)
        self.start("--resume")
        return self.driver.pid


KINDS: dict[str, Callable[[Sweep], int]] = {
    "worker": lambda sweep: sweep.kill_actor("RayTrainWorker"),
    "slot": lambda sweep: sweep.kill_actor("Trainable"),
    "controller": lambda sweep: sweep.kill_actor("TrainController"),
    "node": Sweep.lose_node,
    "server": Sweep.lose_server,
    "driver": Sweep.lose_driver,
}


def tail(path: Path, lines: int = 15) -> list[str]:
    """Give the last lines of a log."""
    if not path.is_file():
        return []
    return path.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:]
