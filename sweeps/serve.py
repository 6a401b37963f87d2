"""Serve a model over HTTP until Ctrl-C: python -m sweeps.serve [MODEL] [--host H] [--port P]

Exit codes: 0 stopped as asked, 1 nothing to serve, 2 the input is wrong (nothing was started).
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from sweeps.console import Terminal
from sweeps.stop import GONE_WITHIN_S, stop_on_signal
from tokcls.errors import TokclsError

if TYPE_CHECKING:
    from tokcls.inference.sources import Located

LOG = Path("runs") / "serve.log"
EXAMPLE = '{"inputs": "Ada Lovelace was born in London."}'

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
    metrics_port: Annotated[
        int | None,
        typer.Option(min=1, max=65535, help="port of the metrics for Prometheus; default: any"),
    ] = None,
    shadow: Annotated[
        str | None,
        typer.Option(
            metavar="ALIAS",
            help="also load the version of this alias, such as challenger, and say in GET /model "
            "how often it finds what the champion found; default: none, since it takes the memory "
            "of a second model and up to half a CPU",
        ),
    ] = None,
) -> None:
    """Answer predictions over HTTP with one model."""
    serve_until_stopped(
        model, Terminal(), host=host, port=port, metrics_port=metrics_port, shadow=shadow
    )


def serve_until_stopped(
    model: str | None,
    terminal: Terminal,
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    metrics_port: int | None = None,
    shadow: str | None = None,
) -> NoReturn:
    """Serve until Ctrl-C, which ends this process with exit code 0.

    Raises typer.Exit when there is nothing to serve (1) or the input is wrong (2).
    """
    terminal.divert(LOG)
    stopping = stop_on_signal(terminal.err)
    try:
        _serve(model, terminal, shadow, host=host, port=port, metrics_port=metrics_port)
    except BaseException as error:
        # What fails because we are being stopped is no failure: the stopping thread ends us soon.
        if stopping.wait(0.2):
            time.sleep(2 * GONE_WITHIN_S)
        if not isinstance(error, TokclsError):
            raise
        print(f"error: {error}", file=terminal.err)
        raise typer.Exit(_exit_code(error)) from None


def _exit_code(error: TokclsError) -> int:
    from tokcls.inference.sources import NothingToServe

    return 1 if isinstance(error, NothingToServe) else 2


def _serve(model: str | None, terminal: Terminal, shadow: str | None, **listening: Any) -> NoReturn:
    def say(text: str) -> None:
        print(text, file=terminal.err)

    say(f"looking for {model or 'the champion of the model registry'}")
    from tokcls.inference.sources import challenger, locate

    located = locate(model)
    alias = _followed(model, located)
    compared = challenger(alias, shadow)
    say(f"serving {located.name} {located.version}".rstrip() + f" ({located.folder})")
    say(f"the log of Ray and of the server goes to {LOG}")
    from tokcls.inference.app import serve_model

    if alias is not None:
        say(f"following {alias}")
    if compared is not None:
        say(f"comparing {compared}")
    server = serve_model(located, alias=alias, shadow=compared, say=say, **listening)
    print(f"{server.url}/predict", file=terminal.out)
    header = "-H 'Content-Type: application/json'"
    print(f"curl -s {server.url}/predict {header} -d '{EXAMPLE}'", file=terminal.out)
    say("ready; Ctrl-C stops it")
    while True:
        time.sleep(3600)


def _followed(model: str | None, located: Located) -> str | None:
    """The alias to follow, by its whole name; None for a version or a folder."""
    from tokcls.inference.sources import CHAMPION, is_alias

    if model is None:
        return f"{located.name}@{CHAMPION}"
    return model if is_alias(model) else None


if __name__ == "__main__":
    app()
