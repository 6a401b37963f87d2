"""Hosts with addresses of their own on one machine: network namespaces on a switch.

Each host is a namespace with one cable (`eth0`) to a bridge in a third. A cable can be pulled and
put back; nothing outside the namespaces changes, and the names are of this process alone.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

NETWORK = "10.213.77"
GONE_WITHIN_S = 5.0


class NotAllowed(Exception):
    """Namespaces cannot be made here; says why."""


@dataclass(frozen=True)
class Host:
    """A namespace; `port` is where its cable goes into the switch."""

    name: str
    address: str
    switch: str
    port: str

    def command(self, *command: str) -> list[str]:
        """Give the command line that runs `command` on this host."""
        return ["ip", "netns", "exec", self.name, *command]

    @contextmanager
    def unplugged(self) -> Iterator[None]:
        """Have the cable out of the switch for the time of the block."""
        ip("-n", self.switch, "link", "set", self.port, "down")
        try:
            yield
        finally:
            ip("-n", self.switch, "link", "set", self.port, "up")

    def processes(self) -> list[int]:
        """List the processes that run on this host."""
        said = subprocess.run(["ip", "netns", "pids", self.name], capture_output=True, text=True)
        return [int(pid) for pid in said.stdout.split()]

    def end(self) -> None:
        """Kill all that runs here, and take the host away."""
        until = time.monotonic() + GONE_WITHIN_S
        while (found := self.processes()) and time.monotonic() < until:
            for pid in found:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.05)
        _take_away(self.name)


def ip(*arguments: str) -> None:
    """Call the `ip` command; raise CalledProcessError if it fails."""
    subprocess.run(["ip", *arguments], capture_output=True, text=True, check=True)


@contextmanager
def hosts(count: int) -> Iterator[list[Host]]:
    """Make `count` hosts that reach each other; they are gone after the block, whatever happens.

    Raises NotAllowed where this user or machine cannot.
    """
    if shutil.which("ip") is None:
        raise NotAllowed("there is no `ip` command here")
    mark = f"ner{os.getpid()}"
    switch = f"{mark}-switch"
    made = [
        Host(f"{mark}-host{number}", f"{NETWORK}.{number}", switch, f"port{number}")
        for number in range(1, count + 1)
    ]
    try:
        try:
            _connect(switch, made)
        except subprocess.CalledProcessError as error:
            raise NotAllowed(f"{' '.join(error.cmd)}: {error.stderr.strip()}") from error
        yield made
    finally:
        for host in made:
            host.end()
        _take_away(switch)


def _take_away(name: str) -> None:
    subprocess.run(["ip", "netns", "delete", name], capture_output=True)


def _namespace(name: str) -> None:
    ip("netns", "add", name)
    ip("-n", name, "link", "set", "lo", "up")


def _connect(switch: str, made: Iterable[Host]) -> None:
    """Lay the cables; each host routes the world over its own, as one that has one network does."""
    _namespace(switch)
    ip("-n", switch, "link", "add", "bridge", "type", "bridge")
    ip("-n", switch, "link", "set", "bridge", "up")
    for host in made:
        _namespace(host.name)
        far = ("peer", "name", "eth0", "netns", host.name)
        ip("-n", switch, "link", "add", host.port, "type", "veth", *far)
        ip("-n", switch, "link", "set", host.port, "master", "bridge", "up")
        ip("-n", host.name, "address", "add", f"{host.address}/24", "dev", "eth0")
        ip("-n", host.name, "link", "set", "eth0", "up")
        ip("-n", host.name, "route", "add", "default", "via", f"{NETWORK}.254")
