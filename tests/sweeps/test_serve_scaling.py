"""`python -m sweeps.serve --replicas 1:2` adds a replica while many are asking."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from benchmarks._made import free_port, replicas
from tests.tokcls.inference.made import make_bundle, start

ASKING, PATIENCE_S = 40, 90.0
TEXT = "Anna flew from Lisbon to Oslo . " * 20


@contextmanager
def load(url: str) -> Iterator[list[str]]:
    """Ask from so many threads at once; gives what failed."""
    failed: list[str] = []
    over = threading.Event()
    body = json.dumps({"inputs": [TEXT] * 4}).encode()

    def ask() -> None:
        while not over.is_set():
            request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
            try:
                urllib.request.urlopen(request, timeout=60).close()
            except OSError as error:
                failed.append(str(error))

    threads = [threading.Thread(target=ask) for _ in range(ASKING)]
    for thread in threads:
        thread.start()
    try:
        yield failed
    finally:
        over.set()
        for thread in threads:
            thread.join()


@pytest.mark.alone
def test_a_replica_is_added_while_many_ask_and_nobody_fails(tmp_path: Path) -> None:
    bundle, port = make_bundle(tmp_path / "made", steps=1), free_port()
    process = start([str(bundle), "--port", str(port), "--replicas", "1:2"], tmp_path)
    try:
        assert process.stdout is not None
        assert any(line.startswith("ready") for line in process.stdout)
        assert len(replicas(process.pid)) == 1
        with load(f"http://127.0.0.1:{port}/predict") as failed:
            until = time.monotonic() + PATIENCE_S
            while len(replicas(process.pid)) < 2 and time.monotonic() < until:
                time.sleep(0.5)
            time.sleep(5.0)  # the second answers too
            assert len(replicas(process.pid)) == 2
        assert failed == []
    finally:
        os.killpg(process.pid, signal.SIGINT)
        process.communicate(timeout=30)
