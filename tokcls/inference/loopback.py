"""Ray and its replicas, kept on loopback: some of their ports would be on all interfaces."""

from __future__ import annotations

import ipaddress
import os
from typing import Any

from ray._private import ray_constants
from ray.serve._private import replica

ADDRESS = "127.0.0.1"


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches a host, by name or by any such address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def keep_ray() -> None:
    """Let Ray, which is to be started, listen on loopback; the port of its metrics, too.

    It is how Ray itself starts where it has no clusters; its processes read the environment.
    """
    os.environ[ray_constants.ENABLE_RAY_CLUSTERS_ENV_VAR] = "0"
    ray_constants.ENABLE_RAY_CLUSTER = False


def keep_replica() -> None:
    """Let this process, a replica that is being made, listen on loopback for other replicas.

    Nobody on another machine may call it: what it is sent it unpickles.
    """
    listen: Any = replica.add_port_to_grpc_server  # type: ignore[attr-defined]

    def listen_here(server: Any, address: str) -> Any:
        return listen(server, address.replace("[::]", ADDRESS))

    replica.add_port_to_grpc_server = listen_here  # type: ignore[attr-defined]
