"""The server without retries differs from ours in that, and in nothing else."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import _unretried
from tokcls.inference import ingress

PORTS = {"RAY_SERVE_HAPROXY_STATS_PORT": "1", "RAY_SERVE_HAPROXY_METRICS_PORT": "2"}
CONFIG = "defaults\n    mode http\nfrontend a\n    bind *:1\nfrontend b\n    bind *:2\n"
NEEDED = {"RAY_SERVE_HAPROXY_RETRY_ON", "RAY_SERVE_HAPROXY_TUNE_BUFSIZE"}


def test_the_environment_lacks_what_retries_need_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = ingress.environment(tmp_path, 2)
    for name in ("WHOLE", "environment", "_here"):  # to be put back
        monkeypatch.setattr(ingress, name, getattr(ingress, name))
    _unretried.without_retries()
    without = ingress.environment(tmp_path, 2)
    assert {*ours} - {*without} == NEEDED
    assert {*without} <= {*ours}
    assert "_unretried.py" in (tmp_path / "haproxy").read_text()


@pytest.mark.slow
def test_its_haproxy_waits_for_no_body(tmp_path: Path) -> None:
    config = tmp_path / "haproxy.cfg"
    config.write_text(CONFIG)
    said = {}
    for program in (ingress.__file__, _unretried.__file__):
        command = [sys.executable, "-I", program, "-c", "-f", str(config)]
        environment = os.environ | PORTS | {ingress.PROGRAM: "this"}
        subprocess.run(command, env=environment, capture_output=True, timeout=60)
        said[program] = (tmp_path / "haproxy.cfg.mended").read_text()
    ours, without = said.values()
    assert ours.replace(ingress.WHOLE, "") == without != ours
