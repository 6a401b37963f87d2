"""What every test gets: no network, and one real Ray cluster for those that ask.

The Hub is switched off before anything can import it, and a socket of the test process connects to
loopback only. Processes that a test starts inherit the first rule, not the second.
"""

from __future__ import annotations

import ipaddress
import logging
import os
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

os.environ["HF_HUB_OFFLINE"] = "1"
# What a shell starts in the background, and all below it, would not hear the Ctrl-C of a test.
signal.signal(signal.SIGINT, signal.default_int_handler)

ROOT = Path(__file__).resolve().parent.parent

RAY_ENVIRONMENT = {
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.2",
    "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    # Workers unpickle functions of test modules (`tests.sweeps...`) and of tests/tiny.py by name.
    "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}",
}


class NetworkBanned(OSError):
    """A test tried to leave the machine."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A test that needs the machine for itself is a slow one."""
    for item in items:
        if item.get_closest_marker("alone"):
            item.add_marker("slow")


def is_loopback(host: str) -> bool:
    """Tell whether a host is this machine by name or by a loopback address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _loopback_only(method: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap `connect`, `connect_ex` or `sendto`, whose last argument is the address."""

    def checked(self: socket.socket, *arguments: Any) -> Any:
        address = arguments[-1]
        if self.family in (socket.AF_INET, socket.AF_INET6) and not is_loopback(address[0]):
            raise NetworkBanned(f"tests reach loopback only, not {address}: serve it on 127.0.0.1")
        return method(self, *arguments)

    return checked


@pytest.fixture(scope="session", autouse=True)
def no_network() -> Iterator[None]:
    """Refuse every connection of this process that leaves the machine."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("connect", "connect_ex", "sendto"):
            patch.setattr(socket.socket, name, _loopback_only(getattr(socket.socket, name)))
        yield


@pytest.fixture(scope="session")
def ray_cluster(no_network: None) -> Iterator[None]:
    """Start the one local Ray of the session: four CPU slots, dashboard on loopback.

    The dashboard stays on because Ray's cleaner of stopped trials asks it which resources to free.
    It begins as a sweep's own does, so that the cleaner knows it whatever else runs here.
    """
    import ray

    from sweeps.search.cluster import local_start

    with pytest.MonkeyPatch.context() as patch:
        for name, value in RAY_ENVIRONMENT.items():
            patch.setenv(name, value)
        local_start().begin(
            num_cpus=4,
            dashboard_host="127.0.0.1",
            log_to_driver=False,
            logging_level=logging.WARNING,
        )
        yield
        ray.shutdown()
