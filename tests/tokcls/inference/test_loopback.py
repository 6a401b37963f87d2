"""Which addresses only this machine reaches."""

from __future__ import annotations

import pytest

from tokcls.inference.loopback import is_loopback


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "localhost", "::1"])
def test_every_address_of_this_machine_alone_is_loopback(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["0.0.0.0", "10.0.0.1", "::", "example.org"])
def test_what_others_may_reach_is_not_loopback(host: str) -> None:
    assert not is_loopback(host)
