"""Backbones reach nodes that have no copy of them: through Ray's object store, kept on disk there.

The driver fetched them; no other node needs the Hub, nor a folder that it shares with the driver.
A node keeps what it was sent under its content's hash, so that each backbone comes once, whatever
the number of workers, trials and sweeps.
"""

from __future__ import annotations

import fcntl
import hashlib
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import ray

from tokcls.errors import BackboneError
from tokcls.model.backbones import FETCHED, Backbone

FOLDER = "ner-sweeps"  # in the cache of Hugging Face
Files = Mapping[str, np.ndarray[Any, np.dtype[np.uint8]]]  # a folder's files by name


@dataclass(frozen=True)
class Shipped(Backbone):
    """A backbone whose folder is on one node, and whose files all nodes can have."""

    node: str = ""
    digest: str = ""
    files: ray.ObjectRef[Files] | None = None


def ship(backbones: Mapping[str, Backbone]) -> dict[str, Backbone]:
    """Put each backbone's folder into the store once; aliases of one folder share it."""
    node = ray.get_runtime_context().get_node_id()
    stored: dict[Path, tuple[str, ray.ObjectRef[Files]]] = {}
    shipped: dict[str, Backbone] = {}
    for name, backbone in backbones.items():
        if backbone.folder not in stored:
            files = read_files(backbone.folder)
            stored[backbone.folder] = digest_of(files), ray.put(files)
        digest, reference = stored[backbone.folder]
        shipped[name] = Shipped(
            backbone.name, backbone.folder, backbone.layers, node, digest, reference
        )
    return shipped


def here(backbone: Backbone) -> Backbone:
    """Give a backbone with a folder of this node, which is filled if it is not there yet.

    Raises BackboneError if this node's cache cannot be written.
    """
    if not isinstance(backbone, Shipped) or backbone.files is None:
        return backbone
    if ray.get_runtime_context().get_node_id() == backbone.node:
        return backbone
    folder = cache() / backbone.digest
    try:
        if not folder.is_dir():
            _unpack(backbone.files, folder)
    except OSError as error:
        raise BackboneError(
            f"backbone {backbone.name!r} cannot be kept on this node in {folder}: {error}; "
            "set HF_HOME there to a folder with room"
        ) from error
    return Backbone(backbone.name, folder, backbone.layers)


def cache() -> Path:
    """Say where this node keeps what it was sent."""
    from huggingface_hub.constants import HF_HOME

    return Path(HF_HOME).expanduser() / FOLDER


def read_files(folder: Path) -> Files:
    """Read what a backbone is loaded from: the files that would be fetched from the Hub."""
    paths = sorted({path for pattern in FETCHED for path in folder.glob(pattern)})
    return {path.name: np.fromfile(path, dtype=np.uint8) for path in paths}


def digest_of(files: Files) -> str:
    """Hash names and contents."""
    whole = hashlib.sha256()
    for name, content in files.items():
        whole.update(f"{name}\0{content.size}\0".encode())
        whole.update(content.data)
    return whole.hexdigest()


def _unpack(files: ray.ObjectRef[Files], folder: Path) -> None:
    """Fill `folder` whole or not at all, by one process of the node."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_name(f".{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if folder.is_dir():
            return
        building = folder.with_name(f".{folder.name}.part")
        shutil.rmtree(building, ignore_errors=True)
        building.mkdir()
        for name, content in ray.get(files).items():
            content.tofile(building / name)
        building.replace(folder)
