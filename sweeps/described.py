"""What MLflow's run of a sweep says of it: parameters and tags."""

from __future__ import annotations

from pathlib import Path

from sweeps.estimate import Estimate
from sweeps.preflight import Ready
from sweeps.search.tracking import flatten
from sweeps.space.yaml_text import inline


def params_of(ready: Ready, estimate: Estimate | None) -> dict[str, str]:
    """What the parent run shows: the searched ranges, how the search is run, what it may cost."""
    space = ready.space
    searched = {f"searched.{name}": inline(verb) for name, verb in space.parameters.items()}
    search = flatten(space.sweep.search.model_dump(mode="json"), "search.")
    return searched | search | (estimate.params() if estimate else {})


def tags_of(ready: Ready, folder: Path) -> dict[str, str]:
    """What it is found by, and what stood in for what was asked for."""
    return {
        "sweep": ready.space.name,
        "folder": str(folder),
        "space_hash": ready.space.space_hash,
        "data_hash": ready.corpus.fingerprint,
        "offline": str(ready.offline).lower(),
        "notes": "\n".join((*ready.space.notes, *ready.remarks)),
    }
