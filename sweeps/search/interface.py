"""Over which network the workers of a trial talk: the one by which Ray knows their hosts.

Left to itself, gloo listens where the host's own name points, which on many systems is loopback
(/etc/hosts); workers on two hosts then never find each other.
"""

from __future__ import annotations

import fcntl
import os
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import ray.util
from ray.train.torch.config import TorchConfig, _TorchBackend

SIOCGIFADDR = 0x8915  # <linux/sockios.h>: the IPv4 address of an interface
NAMED, ADDRESS = "256s", slice(20, 24)  # of a `struct ifreq`


class _OverRaysNetwork(_TorchBackend):
    def on_start(self, worker_group: Any, backend_config: Any) -> None:
        worker_group.execute(_take_rays_interface)
        super().on_start(worker_group, backend_config)


@dataclass
class OverRaysNetwork(TorchConfig):
    """Ray Train's set-up of torch.distributed, over the interface of each worker's Ray node."""

    @property
    def backend_cls(self) -> type[_TorchBackend]:
        return _OverRaysNetwork


def _take_rays_interface() -> None:
    """Run in each worker before its process group is made; who set the variable knows better."""
    address: Callable[[], str] = ray.util.get_node_ip_address
    name = interface_of(address())
    if name is not None:
        os.environ.setdefault("GLOO_SOCKET_IFNAME", name)


def interface_of(address: str) -> str | None:
    """Name the network interface that has an IPv4 address; None if there is no such."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        for _, name in socket.if_nameindex():
            try:
                found = fcntl.ioctl(probe, SIOCGIFADDR, struct.pack(NAMED, name.encode()))
            except OSError:  # it is down, or has no such address
                continue
            if socket.inet_ntoa(found[ADDRESS]) == address:
                return name
    return None
