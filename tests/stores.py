"""Stores that tests may fill, cut off and throw away: a bucket on this machine, a tiny disk."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from urllib.parse import quote

import pytest
from pyarrow import fs

BUCKET = "sweeps"
KEYS = {"AWS_ACCESS_KEY_ID": "someone", "AWS_SECRET_ACCESS_KEY": "secret"}


@dataclass(frozen=True)
class Bucket:
    """A bucket of an S3 server that runs here; each test takes a part of its own."""

    port: int
    _parts: Iterator[int] = field(default_factory=lambda: count(1))

    @property
    def options(self) -> str:
        return f"scheme=http&region=us-east-1&endpoint_override={quote(f'127.0.0.1:{self.port}')}"

    def part(self) -> str:
        """The URI of a part that nobody has used; KEYS must stand in the environment."""
        return f"s3://{BUCKET}/part-{next(self._parts)}?{self.options}"


@contextmanager
def s3_server() -> Iterator[Bucket]:
    """Run an S3 server that keeps its objects in memory, with one bucket and its keys set."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    quiet = subprocess.DEVNULL
    with (
        pytest.MonkeyPatch.context() as patch,
        subprocess.Popen(command, stdout=quiet, stderr=quiet) as process,
    ):
        try:
            for name, value in KEYS.items():
                patch.setenv(name, value)
            bucket = Bucket(port)
            _wait_for(port)
            uri = f"s3://{BUCKET}?{bucket.options}&allow_bucket_creation=true"
            fs.FileSystem.from_uri(uri)[0].create_dir(BUCKET)
            yield bucket
        finally:
            process.kill()


def _wait_for(port: int, seconds: float = 60.0) -> None:
    until = time.monotonic() + seconds
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            if time.monotonic() > until:
                raise
            time.sleep(0.05)


@contextmanager
def tiny_disk(folder: Path, size: str) -> Iterator[Path]:
    """Mount a disk of `size` (such as 64k) at `folder`; skip the test where that is not allowed."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True).returncode != 0:
        pytest.skip("a disk of a few kB cannot be mounted here: it needs root")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)
