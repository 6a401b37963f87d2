"""Serve a model over HTTP until Ctrl-C: python -m sweeps.serve [MODEL] [--host H] [--port P]

Exit codes: 0 stopped as asked, 1 nothing to serve, 2 the input is wrong (nothing was started).
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import socket
import sys
import threading
import time
from pathlib import Path
from typing import Annotated, NoReturn, TextIO

import typer

from tokcls.errors import TokclsError

LOG = Path("runs") / "serve.log"
EXAMPLE = '{"inputs": "Ada Lovelace was born in London."}'
GONE_WITHIN_S = 3.0
PR_SET_CHILD_SUBREAPER = 36  # <linux/prctl.h>

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def main(
    model: Annotated[
        str | None,
        typer.Argument(
            help="a bundle's folder, models:/NAME@ALIAS or models:/NAME/VERSION; "
            "default: the only registered model with the alias champion"
        ),
    ] = None,
    host: Annotated[
        str, typer.Option(help="address to listen on; 0.0.0.0 is open to all")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="port to listen on")] = 8000,
) -> None:
    """Answer predictions over HTTP with one model."""
    out, err = _keep_terminal(LOG)
    stopping = _stop_on_signal(err)
    try:
        _serve(model, host, port, out, err)
    except BaseException as error:
        # What fails because we are being stopped is no failure: the stopping thread ends us soon.
        if stopping.wait(0.2):
            time.sleep(2 * GONE_WITHIN_S)
        if not isinstance(error, TokclsError):
            raise
        print(f"error: {error}", file=err)
        raise typer.Exit(_exit_code(error)) from None


def _exit_code(error: TokclsError) -> int:
    from tokcls.inference.sources import NothingToServe

    return 1 if isinstance(error, NothingToServe) else 2


def _serve(model: str | None, host: str, port: int, out: TextIO, err: TextIO) -> NoReturn:
    def say(text: str) -> None:
        print(text, file=err)

    say(f"looking for {model or 'the champion of the model registry'}")
    from tokcls.inference.sources import locate

    located = locate(model)
    say(f"serving {located.name} {located.version}".rstrip() + f" ({located.folder})")
    say(f"the log of Ray and of the server goes to {LOG}")
    from tokcls.inference.app import serve_model

    server = serve_model(located, host=host, port=port, say=say)
    print(f"{server.url}/predict", file=out)
    header = "-H 'Content-Type: application/json'"
    print(f"curl -s {server.url}/predict {header} -d '{EXAMPLE}'", file=out)
    say("ready; Ctrl-C stops it")
    while True:
        time.sleep(3600)


# The terminal -------------------------------------------------------------------------------------


def _keep_terminal(log: Path) -> tuple[TextIO, TextIO]:
    """Send all that this process and Ray print to the log; give what still reaches the terminal.

    Ray writes from native code and from other processes too, so the file descriptors are turned.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    out, err = (os.fdopen(os.dup(number), "w", buffering=1) for number in (1, 2))
    sys.stdout.flush()
    sys.stderr.flush()
    with log.open("ab") as stream:
        os.dup2(stream.fileno(), 1)
        os.dup2(stream.fileno(), 2)
    return out, err


# The end ------------------------------------------------------------------------------------------


def _stop_on_signal(err: TextIO) -> threading.Event:
    """Let Ctrl-C or SIGTERM end this process and every process below it, with exit code 0.

    Python's own handlers wait until native code returns, and Ray's start can hold it for seconds.
    So a thread listens where the interpreter writes a signal's number as it comes. The event is
    set as soon as one came.
    """
    # Processes that lose their parent while Ray goes down become ours, and can be found.
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: None)
    stopping = threading.Event()
    near, far = socket.socketpair()
    far.setblocking(False)
    signal.set_wakeup_fd(far.fileno())

    def listen() -> None:
        while near.recv(1)[0] not in (signal.SIGINT, signal.SIGTERM):
            pass
        stopping.set()
        # The far end must live as long as the thread that reads from the near one.
        far.close()
        with contextlib.suppress(OSError):  # the reader of our output may be gone
            print("stopping", file=err)
        end_children(within=GONE_WITHIN_S)
        os._exit(0)

    threading.Thread(target=listen, name="stop", daemon=True).start()
    return stopping


def end_children(*, within: float) -> None:
    """Kill every process below this one, and those that become ours while we do."""
    until = time.monotonic() + within
    while (below := _below(os.getpid())) and time.monotonic() < until:
        for child in below:
            try:
                os.kill(child, signal.SIGKILL)
                os.waitpid(child, os.WNOHANG)
            except (ProcessLookupError, ChildProcessError):
                continue
        time.sleep(0.02)


def _below(top: int) -> list[int]:
    """List the living descendants of a process, from Linux's /proc."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            # The name, in parentheses, may hold anything; the fields behind it are plain.
            fields = entry.read_text(errors="replace").rpartition(")")[2].split()
        except OSError:
            continue
        children.setdefault(int(fields[1]), []).append(int(entry.parent.name))
    found: list[int] = []
    ahead = [top]
    while ahead:
        ahead = [child for parent in ahead for child in children.get(parent, [])]
        found += ahead
    return found


if __name__ == "__main__":
    app()
