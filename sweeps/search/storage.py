"""Where a sweep's files are kept: a folder that all its nodes see, or a bucket.

Files have names with `/`, below a root: a path, or a URI as pyarrow reads it (`s3://bucket/below`,
`gs://bucket/below`; region, endpoint and the like behind a `?`, keys from the environment). What is
written is there whole or not at all: in a folder it is written beside its place, flushed and
renamed; for a bucket it is written to this machine first, and an object is there when all of it is.
"""

from __future__ import annotations

import json
import os
import secrets
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from pyarrow import fs

PART = ".part"  # the end of a file's name while it is written
# Options that a URI has if it names none; pyarrow's own limit is 15 minutes, and cannot be stopped.
OPTIONS = {"gs": {"retry_limit_seconds": "8"}}


@dataclass(frozen=True)
class Stored:
    """A file's size in bytes, and when it was written: seconds on the store's own clock."""

    size: int
    written: float


@dataclass(frozen=True)
class Storage:
    """A bucket, or a part of one. Every method raises OSError if the store does not do it."""

    root: str

    def __str__(self) -> str:
        """The root without the keys and options that a URI may hold."""
        address = urlsplit(self.root)
        return f"{address.scheme}://{address.netloc.rpartition('@')[2]}{address.path}"

    def below(self, *names: str) -> Storage:
        """A part of it."""
        address = urlsplit(self.root)
        path = "/".join((address.path.rstrip("/"), *filter(None, names)))
        return Storage(urlunsplit(address._replace(path=path)))

    def read(self, name: str) -> bytes | None:
        """Read a small file; None if it is not there."""
        filesystem, path = self._at(name)
        try:
            with filesystem.open_input_stream(path) as stream:
                return bytes(stream.read())
        except FileNotFoundError:
            return None

    def write(self, name: str, fill: Callable[[Path], object]) -> None:
        """Let `fill` write a local file, and put it where `name` says."""
        filesystem, path = self._at(name)
        with tempfile.TemporaryDirectory(prefix="to-storage-") as scratch:
            local = Path(scratch) / "file"
            fill(local)
            _copy(local, path, fs.LocalFileSystem(), filesystem)

    @contextmanager
    def local(self, name: str) -> Iterator[Path | None]:
        """Lend a file as one of this machine; None if it is not there."""
        if name not in self:
            yield None
            return
        filesystem, path = self._at(name)
        with tempfile.TemporaryDirectory(prefix="from-storage-") as scratch:
            copy = Path(scratch) / Path(name).name
            _copy(path, copy, filesystem, fs.LocalFileSystem())
            yield copy

    def __contains__(self, name: str) -> bool:
        return self.stored(name) is not None

    def stored(self, name: str) -> Stored | None:
        """Look at one file; None if it is not there."""
        filesystem, path = self._at(name)
        info = filesystem.get_file_info(path)
        return _stored(info) if info.type == fs.FileType.File else None

    def files(self) -> dict[str, Stored]:
        """All files by name, those half written as well; one that goes meanwhile is left out."""
        return {
            name: _stored(info)
            for name, info in self._listed(recursive=True).items()
            if info.type == fs.FileType.File
        }

    def folders(self) -> list[str]:
        """Names of the folders right below the root, in order."""
        found = self._listed(recursive=False).items()
        return sorted(name for name, info in found if info.type == fs.FileType.Directory)

    def _listed(self, *, recursive: bool) -> dict[str, Any]:
        filesystem, top = self._at("")
        selector = fs.FileSelector(top.rstrip("/"), allow_not_found=True, recursive=recursive)
        found = filesystem.get_file_info(selector)
        return {info.path.removeprefix(top).lstrip("/"): info for info in found}

    def delete(self, name: str) -> None:
        """Remove a file, if it is there."""
        filesystem, path = self._at(name)
        with suppress(FileNotFoundError):
            filesystem.delete_file(path)

    def _at(self, name: str) -> tuple[Any, str]:
        address = urlsplit(self.root)
        filesystem, bucket = _filesystem(urlunsplit(address._replace(path="")))
        return filesystem, "/".join((bucket + address.path.rstrip("/"), name))


class Folder(Storage):
    """A folder: the same on every machine that uses it."""

    def __str__(self) -> str:
        return self.root

    def below(self, *names: str) -> Storage:
        return Folder(str(Path(self.root, *names)))

    def write(self, name: str, fill: Callable[[Path], object]) -> None:
        path = Path(self.root, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        # A name of its own: a worker that was given up may still write beside its successor.
        beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}{PART}")
        try:
            fill(beside)
            with beside.open("rb+") as file:
                os.fsync(file.fileno())
            beside.replace(path)
        except BaseException:
            beside.unlink(missing_ok=True)  # a disk that is full has no room for halves
            raise

    @contextmanager
    def local(self, name: str) -> Iterator[Path | None]:
        path = Path(self.root, name)
        yield path if path.is_file() else None

    def _at(self, name: str) -> tuple[Any, str]:
        return fs.LocalFileSystem(), str(Path(self.root, name))


def storage_at(root: str | Path) -> Storage:
    """Use a path or a URI; nothing is looked at or made yet."""
    if "://" in str(root):
        return Storage(str(root).rstrip("/"))
    return Folder(str(Path(root).expanduser().resolve()))


def write_json(storage: Storage, name: str, value: Any) -> None:
    """Write `value` as JSON, whole or not at all."""
    text = json.dumps(value) + "\n"
    storage.write(name, lambda path: path.write_text(text, encoding="utf-8"))


@lru_cache(maxsize=16)
def _filesystem(uri: str) -> tuple[Any, str]:
    """Give the store of a URI that names no more than a bucket, and the bucket's name.

    Kept, since asking a store for a bucket's region takes a while. Raises OSError.
    """
    address = urlsplit(uri)
    options = OPTIONS.get(address.scheme, {}) | dict(parse_qsl(address.query))
    try:
        filesystem, bucket = fs.FileSystem.from_uri(
            urlunsplit(address._replace(query=urlencode(options)))
        )
    except ValueError as error:  # pyarrow's for what is no URI, or has unknown options
        raise OSError(str(error)) from error
    if not bucket:
        raise OSError("the URI names no bucket")
    return filesystem, bucket


def _copy(source: str | Path, to: str | Path, source_store: Any, to_store: Any) -> None:
    """Stream a file from one store to another."""
    fs.copy_files(
        str(source), str(to), source_filesystem=source_store, destination_filesystem=to_store
    )


def _stored(info: Any) -> Stored:
    return Stored(info.size, info.mtime_ns / 1e9)
