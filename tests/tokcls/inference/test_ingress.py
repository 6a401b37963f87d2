"""HAProxy's configuration as Ray writes it, mended before HAProxy reads it."""

from __future__ import annotations

import os
import stat
import subprocess
from pathlib import Path

import pytest

from tokcls.inference.ingress import (
    ANSWERS,
    METRICS,
    PROGRAM,
    STATS,
    available,
    environment,
    mended,
)

CONFIG = """\
global
    maxconn 4096
defaults
    mode http
    errorfile 502 /tmp/haproxy-serve/500.http
    errorfile 503 /tmp/haproxy-serve/500.http
frontend prometheus
    bind :9101
frontend http_frontend
    bind *:8000
listen stats
  bind *:8404
"""


def test_ports_for_the_operator_stay_on_this_machine_and_that_for_users_is_as_asked() -> None:
    config = mended(CONFIG, {"9101": METRICS, "8404": STATS}, {})
    binds = [line.strip() for line in config.splitlines() if "bind" in line]
    assert binds == ["bind 127.0.0.1:9101", "bind *:8000", "bind 127.0.0.1:8404"]


def test_answers_of_haproxy_itself_are_ours() -> None:
    answers = {503: Path("/own/503.http"), 400: Path("/own/400.http")}
    config = mended(CONFIG, {"9101": METRICS}, answers)
    lines = [line.split() for line in config.splitlines() if "errorfile" in line]
    assert lines == [["errorfile", str(status), str(path)] for status, path in answers.items()]
    assert config.index("defaults") < config.index("errorfile") < config.index("frontend")


def test_a_configuration_that_binds_a_port_elsewhere_is_not_used() -> None:
    with pytest.raises(ValueError, match=r"binds no port 9999 .*STATS_PORT"):
        mended(CONFIG, {"9999": STATS}, {})


def test_nobody_else_can_run_or_change_what_stands_for_haproxy(tmp_path: Path) -> None:
    program = Path(environment(tmp_path, 2)[PROGRAM])
    assert stat.S_IMODE(program.stat().st_mode) == 0o700
    assert program.parent == tmp_path


@pytest.mark.skipif(not available(), reason="Ray has brought no HAProxy for this platform")
def test_haproxy_itself_takes_the_configuration(tmp_path: Path) -> None:
    settings = environment(tmp_path, 2)
    config = CONFIG.replace("9101", settings[METRICS]).replace("8404", settings[STATS])
    (tmp_path / "haproxy.cfg").write_text(config.replace("    bind *:8000", "    bind *:18999"))
    command = [settings[PROGRAM], "-c", "-f", str(tmp_path / "haproxy.cfg")]
    environ = os.environ | settings
    done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    for answer in ANSWERS.values():
        assert b'{"error": ' in (tmp_path / f"{answer.status[:3]}.http").read_bytes()
