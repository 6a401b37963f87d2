"""Which network interface has an address."""

from __future__ import annotations

import socket

from sweeps.search.interface import interface_of


def test_an_interface_is_found_by_its_address() -> None:
    assert interface_of("127.0.0.1") == "lo"
    assert "lo" in {name for _, name in socket.if_nameindex()}


def test_an_address_of_another_host_has_no_interface_here() -> None:
    assert interface_of("203.0.113.7") is None
