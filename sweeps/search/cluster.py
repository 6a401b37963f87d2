"""The Ray cluster that a command uses: a local one it starts and stops, or a running one it joins.

Ray's own log lines go to a file. The dashboard stays on (loopback): without it, early-stopped
trials of the documented pattern never give back their placement groups.
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sweeps.errors import ResourceError

ENVIRONMENT = {
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.2",  # paid at the end of every worker group
    "TRAIN_ENABLE_SHARE_CUDA_VISIBLE_DEVICES": "0",  # a worker sees its own GPU and no other
    "TOKENIZERS_PARALLELISM": "false",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
}
ANSWERS_WITHIN_S = 5.0
WORKERS_ONLY = {"HF_HUB_OFFLINE": "1"}  # the driver has fetched all there is to fetch


@dataclass(frozen=True)
class Session:
    """A connection to Ray, and the cluster's total resources."""

    resources: Mapping[str, float]

    def close(self) -> None:
        """Leave the cluster; a local one ends."""
        import ray

        ray.shutdown()


def cluster_address(given: str | None) -> str | None:
    """Say which cluster to join: `given`, else RAY_ADDRESS; None: a local one is started.

    Raises ResourceError if nothing listens there, which Ray itself needs minutes to find out.
    """
    address = given or os.environ.get("RAY_ADDRESS") or None
    host, _, port = (address or "").removeprefix("ray://").rpartition(":")
    if host and port.isdigit():
        try:
            socket.create_connection((host.strip("[]"), int(port)), ANSWERS_WITHIN_S).close()
        except OSError as error:
            raise ResourceError(
                f"cannot use the Ray cluster at {address}: {error}; check the address, or leave "
                "--address and RAY_ADDRESS out to start Ray on this machine"
            ) from error
    return address


def ray_session(address: str | None, log: Path) -> Session:
    """Start a local cluster, or join the one at `address`.

    Raises ResourceError if the cluster at the address cannot be reached.
    """
    import ray

    _log_to_file(log)
    environment = ENVIRONMENT | WORKERS_ONLY
    if not address:
        os.environ.update(ENVIRONMENT)
    try:
        ray.init(
            address=address or "local",
            include_dashboard=None if address else True,
            dashboard_host="127.0.0.1",
            log_to_driver=False,
            configure_logging=False,
            logging_level=logging.INFO,
            runtime_env={"env_vars": environment if address else WORKERS_ONLY},
        )
    except (ConnectionError, ValueError, RuntimeError) as error:
        where = f"the Ray cluster at {address}" if address else "a local Ray cluster"
        raise ResourceError(f"cannot use {where}: {str(error).splitlines()[0]}") from error
    resources = dict(ray.cluster_resources())  # type: ignore[no-untyped-call]
    return Session(resources)


def _log_to_file(log: Path) -> None:
    log.parent.mkdir(parents=True, exist_ok=True)
    handler = logging.FileHandler(log, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logger = logging.getLogger("ray")
    logger.handlers = [handler]
    logger.propagate = False
