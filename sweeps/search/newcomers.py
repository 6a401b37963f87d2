"""Nodes that join while trials run are asked for the storage's mark, as soon as they are there."""

from __future__ import annotations

from typing import Any

import ray
from ray.exceptions import RayError

from sweeps.errors import ResourceError
from sweeps.search.reach import Mark, living, on_node
from sweeps.search.share import get
from sweeps.search.watching import Watching


class Newcomers(Watching):
    """Has every node that joins while trials run look for the mark.

    Raises ResourceError out of Tune if one does not find it: trial after trial would be lost there.
    """

    def __init__(self, mark: Mark) -> None:
        super().__init__()
        self._mark = mark
        self._asked: set[str] = set()
        self._open: list[Any] = []

    def look(self) -> None:
        """Ask the nodes that were not asked yet, and hear what others have to say by now."""
        new = {node["NodeID"] for node in living()} - self._asked
        self._asked |= new
        self._open += [on_node(node, Mark.check, self._mark) for node in new]
        if not self._open:
            return
        answered, self._open = ray.wait(self._open, num_returns=len(self._open), timeout=0)
        for answer in answered:
            try:
                get(answer)
            except RayError:
                continue  # it is gone already, and Ray gives a node that comes back another name
            except ResourceError as error:
                raise ResourceError(
                    f"a node has joined that cannot be used, so the sweep has stopped: {error}; "
                    "or end that node, and go on with --resume"
                ) from error
