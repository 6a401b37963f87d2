"""The Ray cluster that a command uses: a local one it starts and stops, or a running one it joins.

Ray's own log lines go to a file. The dashboard stays on (loopback): without it, early-stopped
trials of the documented pattern never give back their placement groups. All processes of a session
know its address by RAY_ADDRESS, since Ray's own cleaner asks for it there.
"""

from __future__ import annotations

import json
import logging
import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sweeps.errors import ResourceError
from tokcls.interrupts import heard_interrupts

ENVIRONMENT = {
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.2",  # paid at the end of every worker group
    "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0",  # a process a group, for news that nobody hears
    "TRAIN_ENABLE_SHARE_CUDA_VISIBLE_DEVICES": "0",  # a worker sees its own GPU and no other
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "1",  # and one that asked for none sees none
    "TOKENIZERS_PARALLELISM": "false",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
}
ANSWERS_WITHIN_S = 5.0
WORKERS_ONLY = {"HF_HUB_OFFLINE": "1"}  # the driver has fetched all there is to fetch
CACHES = ["__pycache__", "*.pyc"]
LOCAL = "leave --address and RAY_ADDRESS out to start Ray on this machine"
AS_A_JOB = "run the command on a node of the cluster, or submit it there (ray job submit)"
NO_DRIVERS = {  # addresses of a cluster that no driver can join, and what they are
    "ray://": "Ray Client would run the sweep's record on the cluster",
    "http://": "a dashboard takes jobs, not drivers",
    "https://": "a dashboard takes jobs, not drivers",
}


@dataclass(frozen=True)
class _Refused:
    """How Ray says that a cluster cannot be joined, and what to do; `reason`: else Ray's words."""

    said: str
    remedy: str
    reason: str = ""


REFUSALS = (
    _Refused("Version mismatch", "install the cluster's versions here, or these there"),
    _Refused(
        "uthentication token",
        "export RAY_AUTH_MODE=token, and its token as RAY_AUTH_TOKEN or in ~/.ray/auth_token",
        "it asks for a token, and has not got the right one",
    ),
    _Refused("No node info found", AS_A_JOB, "this machine is not one of its nodes"),
)


@dataclass(frozen=True)
class Session:
    """A connection to Ray, and whether the cluster was there before."""

    joined: bool

    def close(self) -> None:
        """Leave the cluster; a local one ends."""
        import ray

        ray.shutdown()


@dataclass(frozen=True)
class Start:
    """What `ray.init` is given, and the environment it needs while it runs and no longer."""

    arguments: Mapping[str, Any]
    environment: Mapping[str, str] = field(default_factory=dict)

    def begin(self, **more: Any) -> None:
        """Call `ray.init` with these arguments and `more`."""
        import ray

        with _environment(self.environment), heard_interrupts():
            ray.init(**self.arguments, **more)


def cluster_address(given: str | None) -> str | None:
    """Say which cluster to join: `given`, else RAY_ADDRESS; None: a local one is started.

    Raises ResourceError if a driver cannot join there, or nothing listens, which Ray itself needs
    minutes to find out.
    """
    address = given or os.environ.get("RAY_ADDRESS") or "local"
    if address == "local":
        return None
    for start, reason in NO_DRIVERS.items():
        if address.startswith(start):
            raise _unusable(address, reason, f"{AS_A_JOB}; or {LOCAL}")
    host, _, port = address.rpartition(":")
    if host and port.isdigit():
        try:
            socket.create_connection((host.strip("[]"), int(port)), ANSWERS_WITHIN_S).close()
        except OSError as error:
            raise _unusable(address, str(error), f"check the address, or {LOCAL}") from error
    return address


def ray_session(address: str | None, log: Path) -> Session:
    """Start a local cluster, or join the one at `address` and let the project's code travel there.

    Raises ResourceError if the cluster at the address cannot be reached, has other versions, or
    asks for a token.
    """
    from ray.exceptions import RayError

    _log_to_file(log)
    try:
        start = _joining(address) if address else local_start()
        start.begin(
            dashboard_host="127.0.0.1",
            log_to_driver=False,
            configure_logging=False,
            logging_level=logging.INFO,
        )
    except (ConnectionError, ValueError, RuntimeError, RayError) as error:
        raise _refusal(address, error) from error
    return Session(joined=address is not None)


def local_start() -> Start:
    """Choose the port of a local cluster beforehand: its processes are told when they start."""
    import ray
    from ray._common import network_utils

    os.environ.update(ENVIRONMENT)
    port = network_utils.find_free_port()
    host = ray.util.get_node_ip_address()  # type: ignore[no-untyped-call]
    home = network_utils.build_address(host, port)  # type: ignore[attr-defined]
    variables = WORKERS_ONLY | {"RAY_ADDRESS": home}
    arguments = {
        "address": "local",
        "include_dashboard": True,
        "runtime_env": {"env_vars": variables},
    }
    return Start(arguments, {"RAY_GCS_SERVER_PORT": str(port)})


def _joining(address: str) -> Start:
    """Add to what a job was submitted with; Ray itself refuses two of anything."""
    from ray._private.runtime_env.constants import RAY_JOB_CONFIG_JSON_ENV_VAR
    from ray._private.services import canonicalize_bootstrap_address_or_die

    import sweeps
    import tokcls

    job = json.loads(os.environ.get(RAY_JOB_CONFIG_JSON_ENV_VAR, "{}")).get("runtime_env") or {}
    home = {"RAY_ADDRESS": canonicalize_bootstrap_address_or_die(address)}
    variables = ENVIRONMENT | WORKERS_ONLY | job.get("env_vars", {}) | home
    ours = [package.__path__[0] for package in (sweeps, tokcls)]
    modules = [*job.get("py_modules", ()), *ours]
    runtime = {"env_vars": variables, "py_modules": modules, "excludes": CACHES}
    return Start(
        {"address": address, "runtime_env": runtime}, {"RAY_OVERRIDE_JOB_RUNTIME_ENV": "1"}
    )


@contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _refusal(address: str | None, error: BaseException) -> ResourceError:
    said = str(error).splitlines()[0]
    if address is None:
        return ResourceError(f"cannot start a local Ray cluster: {said}")
    cause: BaseException | None = error  # what Ray raises last says only that it failed
    while cause is not None:
        for refused in REFUSALS:
            if refused.said in str(cause):
                reason = refused.reason or " ".join(str(cause).split())  # versions stand on lines
                return _unusable(address, reason, refused.remedy)
        cause = cause.__cause__
    return _unusable(address, said, f"check the address, or {LOCAL}")


def _unusable(address: str, reason: str, remedy: str) -> ResourceError:
    return ResourceError(f"cannot use the Ray cluster at {address}: {reason}; {remedy}")


def _log_to_file(log: Path) -> None:
    log.parent.mkdir(parents=True, exist_ok=True)
    handler = logging.FileHandler(log, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logger = logging.getLogger("ray")
    logger.handlers = [handler]
    logger.propagate = False
