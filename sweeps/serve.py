"""Serve a model over HTTP until Ctrl-C: python -m sweeps.serve [MODEL] [--host H] [--port P]

Exit codes: 0 stopped as asked, 1 nothing to serve, 2 the input is wrong (nothing was started).
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, NoReturn

import typer

from sweeps.console import Terminal
from sweeps.stop import GONE_WITHIN_S, stop_on_signal
from tokcls.errors import TokclsError
from tokcls.inference import fetched, ingress
from tokcls.inference.gate import TOKEN, token_wanted
from tokcls.inference.settings import EngineName, Listening, Settings, usable_cpus

if TYPE_CHECKING:
    from tokcls.inference.sources import Located

LOG = Path("runs") / "serve.log"
Proxy = Literal["haproxy", "default"]
EXAMPLE = '{"inputs": "Ada Lovelace was born in London."}'

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


Model = Annotated[
    str | None,
    typer.Argument(
        help="a bundle's folder, models:/NAME@ALIAS or models:/NAME/VERSION; "
        "default: the only registered model with the alias champion"
    ),
]
Host = Annotated[str, typer.Option(help="address to listen on; 0.0.0.0 is open to all")]
Port = Annotated[int, typer.Option(min=1, max=65535, help="port to listen on")]
Engine = Annotated[
    EngineName,
    typer.Option(
        help="fp32: ONNX Runtime, finds exactly what the trained network finds; int8: faster, if "
        "it was admitted when the bundle was made; torch: bf16 on a GPU; auto: torch where Ray "
        "has a GPU, else fp32"
    ),
]
Replicas = Annotated[
    str,
    typer.Option(
        metavar="N|MIN:MAX", help="copies of the model; MIN:MAX starts more of them under load"
    ),
]
Threads = Annotated[
    int | None,
    typer.Option(min=1, help="CPUs of a replica; default: all of them, shared among replicas"),
]
Ingress = Annotated[
    Proxy | None,
    typer.Option(help="what takes requests; default: HAProxy where Ray has brought it"),
]
MetricsPort = Annotated[
    int | None,
    typer.Option(min=1, max=65535, help="port of the metrics for Prometheus; default: any"),
]
Shadow = Annotated[
    str | None,
    typer.Option(
        metavar="ALIAS",
        help="also load the version of this alias, such as challenger, and say in GET /model how "
        "often it finds what the champion found; default: none, since it takes the memory of a "
        "second model and up to half a CPU",
    ),
]
Write = Annotated[
    Path | None,
    typer.Option(
        "--write-config", metavar="FILE", help="write a file for `serve deploy`, and start nothing"
    ),
]


@app.command()
def main(
    model: Model = None,
    host: Host = "127.0.0.1",
    port: Port = 8000,
    engine: Engine = "auto",
    replicas: Replicas = "1",
    threads: Threads = None,
    proxy: Ingress = None,
    metrics_port: MetricsPort = None,
    shadow: Shadow = None,
    write_config: Write = None,
) -> None:
    """Answer predictions over HTTP with one model."""
    if proxy == "haproxy" and not ingress.available():
        raise typer.BadParameter("Ray brings HAProxy on Linux only; use --proxy default")
    scale = _scale(replicas, most=None if write_config else usable_cpus())
    settings = Settings(threads, engine, None, shadow, 0, *scale)
    if write_config is not None:
        # The CPUs of this machine say nothing of those of a cluster's nodes.
        settings = replace(settings, gpus=int(engine == "torch"))
        _write_config(write_config, model, settings, Listening(host, port))
        return
    settings = replace(settings, threads=_threads(threads, settings.most))
    listening = Listening(host, port, metrics_port)
    serve_until_stopped(model, Terminal(), settings, listening, proxy=proxy)


def serve_until_stopped(
    model: str | None,
    terminal: Terminal,
    settings: Settings,
    listening: Listening,
    *,
    proxy: Proxy | None = None,
) -> NoReturn:
    """Serve until Ctrl-C, which ends this process with exit code 0.

    Raises typer.Exit when there is nothing to serve (1) or the input is wrong (2).
    """
    terminal.divert(LOG)
    own = Path(tempfile.mkdtemp(prefix="ner-"))

    def forget() -> None:
        shutil.rmtree(own, ignore_errors=True)
        fetched.remove_all()

    stopping = stop_on_signal(terminal.err, then=forget)
    try:
        token_wanted()  # a blank one is found before anything starts
        if proxy != "default" and (proxy or ingress.available()):
            os.environ.update(ingress.environment(own, usable_cpus()))
        _serve(model, settings, listening, terminal)
    except BaseException as error:
        # What fails because we are being stopped is no failure: the stopping thread ends us soon.
        if stopping.wait(0.2):
            time.sleep(2 * GONE_WITHIN_S)
        forget()
        if not isinstance(error, TokclsError):
            raise
        print(f"error: {error}", file=terminal.err)
        raise typer.Exit(_exit_code(error)) from None


def _scale(replicas: str, *, most: int | None) -> tuple[int, int]:
    """Read `N` or `MIN:MAX`; no more than `most`, the CPUs here, since each needs one."""
    low, _, high = replicas.partition(":")
    high = high or low
    numbers = low.isdigit() and high.isdigit() and 1 <= int(low) <= int(high)
    if not numbers or (most is not None and int(high) > most):
        bound = "" if most is None else f", at most the {most} CPUs here"
        raise typer.BadParameter(f"--replicas is N or MIN:MAX, from 1{bound}, got {replicas!r}")
    return int(low), int(high)


def _threads(threads: int | None, replicas: int) -> int:
    """Share the CPUs among replicas; what is asked for must fit, or Ray would never start them."""
    here = usable_cpus()
    threads = threads or here // replicas
    if threads * replicas > here:
        raise typer.BadParameter(
            f"--threads {threads} for each of --replicas {replicas} takes {threads * replicas} "
            f"CPUs, and there are {here} here; give less of one, or leave out --threads"
        )
    return threads


def _write_config(file: Path, model: str | None, settings: Settings, listening: Listening) -> None:
    from tokcls.inference.bundle import write_whole
    from tokcls.inference.config_file import config_text

    if model is None:
        raise typer.BadParameter("name the model: replicas look it up on their own nodes")
    if not model.startswith("models:"):
        model = str(Path(model).resolve())  # a server is started elsewhere
    try:
        write_whole(file, config_text(model, settings, listening, file.name))
    except OSError as error:
        raise typer.BadParameter(f"{file} cannot be written: {error.strerror}") from None
    print(f"{file}: serve deploy {file}")


def _exit_code(error: TokclsError) -> int:
    from tokcls.inference.sources import NothingToServe

    return 1 if isinstance(error, NothingToServe) else 2


def _serve(
    model: str | None, settings: Settings, listening: Listening, terminal: Terminal
) -> NoReturn:
    def say(text: str) -> None:
        print(text, file=terminal.err)

    say(f"looking for {model or 'the champion of the model registry'}")
    from tokcls.inference.sources import challenger, locate

    located, asked_at = locate(model), time.time()
    alias = _followed(model, located)
    compared = challenger(alias, settings.shadow)
    say(f"serving {located.name} {located.version}".rstrip() + f" ({located.folder})")
    say(f"the log of Ray and of the server goes to {LOG}")
    from tokcls.inference.server import serve_model

    if alias is not None:
        say(f"following {alias}")
    if compared is not None:
        say(f"comparing {compared}")
    if token_wanted():
        say(f"a token is wanted ({TOKEN})")
    settings = replace(settings, alias=alias, shadow=compared, asked_at=asked_at)
    server = serve_model(located, settings, listening, say=say)
    print(f"{server.url}/predict", file=terminal.out)
    headers = "-H 'Content-Type: application/json'"
    if token_wanted():
        headers += f' -H "Authorization: Bearer ${TOKEN}"'
    print(f"curl -s {server.url}/predict {headers} -d '{EXAMPLE}'", file=terminal.out)
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
