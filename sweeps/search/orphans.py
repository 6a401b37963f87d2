"""Placement groups whose maker is dead: nobody will use them, and Ray holds them for the driver.

Ray frees what an actor has reserved when its driver ends, not when the actor dies. Ray Train's own
cleaner learns of a worker group's room once the workers run: a controller, or a slot with its
controller, that is killed before that would keep room from all later trials.
"""

from __future__ import annotations

import logging

import ray
from ray._private.state import state  # the public table does not say who has made a group
from ray.core.generated.gcs_pb2 import PlacementGroupTableData  # type: ignore[attr-defined]
from ray.util.placement_group import PlacementGroup, remove_placement_group

from sweeps.search.watching import Watching

logger = logging.getLogger(__name__)


class Orphans(Watching):
    """Gives back, while trials run, what dead actors of this driver have reserved."""

    def look(self) -> None:
        for group in orphans():
            logger.warning("freeing placement group %s, whose maker is dead", group.id.hex())
            remove_placement_group(group)


def orphans() -> list[PlacementGroup]:
    """List the placement groups that actors of this driver have made and that outlived them."""
    job = ray.get_runtime_context().get_job_id()
    rows = state._connect_and_get_accessor().get_placement_group_table()
    groups = [PlacementGroupTableData.FromString(row) for row in rows]
    nobody = ray.ActorID.nil().binary()  # made by a driver itself
    return [
        PlacementGroup(ray.PlacementGroupID(each.placement_group_id))
        for each in groups
        if each.creator_job_id.hex() == job
        and each.creator_actor_dead
        and each.creator_actor_id != nobody
        and not each.is_detached
        and each.state != PlacementGroupTableData.REMOVED
    ]
