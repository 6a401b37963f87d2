"""Folders of this process for what it downloads: gone when they are not needed, or when it ends."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from pathlib import Path

_FOLDERS: set[Path] = set()


def make_folder() -> Path:
    """Make an empty folder for one download."""
    atexit.unregister(remove_all)
    atexit.register(remove_all)
    folder = Path(tempfile.mkdtemp(prefix="ner-fetched-")).resolve()
    _FOLDERS.add(folder)
    return folder


def remove(path: Path) -> None:
    """Remove the download that a path belongs to; what this process has not fetched stays."""
    for folder in [*_FOLDERS]:
        if path.is_relative_to(folder):
            shutil.rmtree(folder, ignore_errors=True)
            _FOLDERS.discard(folder)


def remove_all() -> None:
    """Remove every download; for a process whose exit functions do not run, too."""
    for folder in [*_FOLDERS]:
        remove(folder)
