"""Where a worker process begins: what trains is loaded there, and not in the slot that sends it."""

from __future__ import annotations

from typing import Any


def enter(loop: dict[str, Any]) -> None:
    """Run `worker.work`, whose imports are seconds, and half a gigabyte, of this process."""
    from sweeps.search.worker import work

    work(loop)
