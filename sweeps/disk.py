"""How much disk a sweep needs, and how much there is: known before the first trial.

Nothing here imports torch: parameters are counted from the headers of the backbones' weights.
"""

from __future__ import annotations

import json
import math
import shutil
import struct
from collections.abc import Iterable
from pathlib import Path

from sweeps.search.storage import Folder, Storage, storage_at
from sweeps.space.sizes import bytes_of, shown_bytes
from sweeps.space.space import SearchSpace
from tokcls.errors import ConfigError
from tokcls.model.backbones import Backbone

WEIGHTS = 4  # bytes a parameter: 32 bit
STATE = 3 * WEIGHTS  # weights, and AdamW's two moments
BUNDLE = 4 * WEIGHTS  # weights for torch, for ONNX Runtime in 32 and in 8 bit, and room to export

COUNTED = ("trials/", "bundle/")  # folders of a run with weights and states


def disk_needed(parameters: int, slots: int, keep_top: int) -> int:
    """Bytes that a sweep takes at most, for a backbone of so many parameters.

    A running trial has its best weights and its state, and writes the new state beside the old one
    before it replaces it; weights stay of `keep_top` trials, and of one more that has just ended.
    The bundle is made while they are there.
    """
    running = slots * (WEIGHTS + 2 * STATE)
    return parameters * (running + (keep_top + 1) * WEIGHTS + BUNDLE)


def free_disk(folder: Path) -> int:
    """Bytes that are free where `folder` is, or will be made."""
    return shutil.disk_usage(existing(folder)).free


def existing(folder: Path) -> Path:
    """Give a folder, or the nearest one above it that is there."""
    return next(path for path in (folder, *folder.parents) if path.exists())


def parameters_of(backbone: Backbone) -> int:
    """Count the parameters in a backbone's files: as many as the network has at most."""
    return sum(_in_file(path) for path in backbone.folder.glob("*.safetensors"))


def _in_file(path: Path) -> int:
    """Read the header of a safetensors file: its length in 8 bytes, then JSON.

    A file that cannot be read is for the loader to complain of; here its size counts.
    """
    try:
        with path.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            header = json.loads(file.read(min(length, path.stat().st_size)))
        tensors = [tensor for name, tensor in header.items() if name != "__metadata__"]
        return sum(math.prod(tensor["shape"]) for tensor in tensors)
    except (struct.error, ValueError, KeyError, TypeError, AttributeError):
        return path.stat().st_size // WEIGHTS


def already_held(storage: Storage) -> int:
    """Bytes that a run has on a disk already of what `disk_needed` counts; a bucket is no disk."""
    if not isinstance(storage, Folder):
        return 0
    files = storage.files().items()
    return sum(file.size for name, file in files if name.startswith(COUNTED))


def check_disk(
    space: SearchSpace, backbones: Iterable[Backbone], slots: int, *, held: int = 0
) -> None:
    """Raise ConfigError at the key to blame if the disk, or the budget, cannot hold the sweep.

    `held` bytes of what it needs are there since an earlier session.
    """
    output = space.sweep.output
    parameters = max(map(parameters_of, backbones), default=0)
    needed = disk_needed(parameters, slots, output.keep_top)
    budget = None if output.disk_budget is None else bytes_of(output.disk_budget)
    if budget is not None:
        # Of the trials that are kept, a budget may leave no more than the best one.
        least = disk_needed(parameters, slots, 1) - parameters * BUNDLE
        if least > budget:
            message = (
                f"trials at once ({slots}) need {shown_bytes(least)}, got {output.disk_budget}"
            )
            _blame(space, "disk_budget", f"{message}; allow more, or run fewer at once")
        needed = min(needed, budget + parameters * BUNDLE)
    needed -= held
    storage = storage_at(output.storage or output.folder)
    if isinstance(storage, Folder) and (free := free_disk(Path(storage.root))) < needed:
        message = (
            f"trials at once ({slots}) and kept ({output.keep_top}) need {shown_bytes(needed)}"
        )
        message += " more, " if held else ", "
        message += f"but {shown_bytes(free)} are free there; free some, lower output.keep_top, or "
        _blame(
            space,
            "storage" if output.storage else "folder",
            message + "put the folder on another disk",
        )


def _blame(space: SearchSpace, key: str, message: str) -> None:
    raise ConfigError([space.places.problem(("output", key), message)])
