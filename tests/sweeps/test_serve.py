"""`python -m sweeps.serve` says at once what it does, refuses early, and ends when told to."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest

from tests.tokcls.inference.made import free_port, make_bundle, start
from tokcls.inference.settings import usable_cpus
from tokcls.processes import below

ALL = str(usable_cpus())


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_bundle(tmp_path_factory.mktemp("made"), steps=1)


def read_until(process: subprocess.Popen[str], beginning: str) -> list[str]:
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line.rstrip())
        if line.startswith(beginning):
            return lines
    raise AssertionError(f"no line began with {beginning!r}: {lines}")


def stop(process: subprocess.Popen[str]) -> float:
    """Do what Ctrl-C does: interrupt the whole group; give the seconds until it ended."""
    begun = time.monotonic()
    os.killpg(process.pid, signal.SIGINT)
    process.communicate(timeout=30)
    return time.monotonic() - begun


def alive(pids: list[int]) -> list[int]:
    return [pid for pid in pids if Path(f"/proc/{pid}").exists()]


@pytest.mark.alone
def test_ctrl_c_ends_a_server_and_every_process_it_started(bundle: Path, tmp_path: Path) -> None:
    port = free_port()
    begun = time.monotonic()
    process = start([str(bundle), "--port", str(port)], tmp_path)
    first = read_until(process, "looking for")
    assert time.monotonic() - begun < 5.0, "a generous bound for a busy machine"
    lines = first + read_until(process, "ready")
    assert f"http://127.0.0.1:{port}/predict" in lines
    assert any(line.startswith(f"curl -s http://127.0.0.1:{port}") for line in lines)
    assert any(line.startswith("starting Ray (7-15 s)") for line in lines)
    assert "the log of Ray and of the server goes to runs/serve.log" in lines
    assert (tmp_path / "runs" / "serve.log").stat().st_size > 0
    children = below(process.pid)
    assert len(children) > 5
    assert stop(process) < 5.0
    assert process.returncode == 0
    assert alive(children) == []


@pytest.mark.alone
@pytest.mark.parametrize(("stage", "later"), [("looking", 0.0), ("starting Ray", 2.0)])
def test_ctrl_c_during_the_start_ends_everything_too(
    bundle: Path, tmp_path: Path, stage: str, later: float
) -> None:
    process = start([str(bundle), "--port", str(free_port())], tmp_path)
    read_until(process, stage)
    time.sleep(later)
    children = below(process.pid)
    assert stop(process) < 5.0
    assert process.returncode == 0
    assert alive(children) == []


@pytest.mark.parametrize("option", ["--port", "--metrics-port"])
def test_a_port_in_use_is_refused_before_anything_starts(
    bundle: Path, tmp_path: Path, option: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = str(listener.getsockname()[1])
        others = ["--port", str(free_port())]
        process = start([str(bundle), *others, option, port], tmp_path)
        output, _ = process.communicate(timeout=60)
    assert process.returncode == 2
    assert f"error: port {port} is in use" in output
    assert f"with {option}" in output
    assert "starting" not in output


def test_a_blank_token_is_refused_before_anything_starts(bundle: Path, tmp_path: Path) -> None:
    process = start([str(bundle)], tmp_path, env=os.environ | {"SERVE_TOKEN": "\n"})
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "error: SERVE_TOKEN is set but blank" in output
    assert "looking" not in output


def test_a_folder_has_no_challenger(bundle: Path, tmp_path: Path) -> None:
    process = start([str(bundle), "--shadow", "challenger"], tmp_path)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "error: 'challenger' cannot be compared" in output
    assert "starting" not in output


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ([], 1, "no MLflow database at mlflow.db"),
        (["nowhere"], 2, "'nowhere' is not a bundle"),
        (["--port", "70000"], 2, "Invalid value for '--port'"),
        (["--replicas", "3:2"], 2, "--replicas is N or MIN:MAX, from 1"),
        (["--replicas", "9999"], 2, "at most the"),
        (["--threads", "9999"], 2, "--threads 9999 for each of --replicas 1 takes 9999 CPUs"),
        (["--replicas", ALL, "--threads", "2"], 2, f"takes {2 * int(ALL)} CPUs, and there are"),
        (["--write-config", "ner.yaml"], 2, "name the model"),
        (["bundle", "--write-config", "nowhere/ner.yaml"], 2, "cannot be written"),
    ],
)
def test_wrong_input_is_said_with_its_exit_code(
    tmp_path: Path, arguments: list[str], code: int, message: str
) -> None:
    process = start(arguments, tmp_path)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == code
    assert message in " ".join(output.replace("│", " ").split())
    assert "Traceback" not in output
