"""What MLflow's run of a sweep says of it: parameters and tags."""

from __future__ import annotations

from pathlib import Path

from sweeps.preflight import Ready
from sweeps.search.shown import flatten
from sweeps.space.yaml_text import inline


def params_of(ready: Ready) -> dict[str, str]:
    """What the parent run shows: the searched ranges, and how the search is run."""
    space = ready.space
    searched = {f"searched.{name}": inline(verb) for name, verb in space.parameters.items()}
    return searched | flatten(space.sweep.search.model_dump(mode="json"), "search.")


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
