"""Find the entities of texts on the command line: python -m tokcls.predict [--model M] TEXT ...

Or of files: --input FILE_OR_FOLDER --output FILE, on a Ray cluster with --ray. The answers are
those that the HTTP server gives.
Exit codes: 0 done, 1 nothing to predict with, 2 the input is wrong, 130 interrupted.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from tokcls.errors import InputError, TokclsError
from tokcls.inference.settings import DEFAULT

if TYPE_CHECKING:
    from tokcls.inference.many import Answer
    from tokcls.inference.predictor import Entity
    from tokcls.loading import Model

TEXTS_AT_ONCE = 256
INTERRUPTED = 130
EVERY_S = 10.0

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


Texts = Annotated[
    list[str] | None,
    typer.Argument(metavar="TEXT...", help="texts; `-` or none: every line of stdin is one"),
]
Named = Annotated[
    str | None,
    typer.Option(
        help="a bundle's folder, models:/NAME@ALIAS, a sweep's or a trial's folder, a trial's "
        ".ckpt, or a folder or Hub id with a token-classification head; default: the one "
        f"champion, else {DEFAULT}"
    ),
]
EngineOf = Annotated[
    Literal["fp32", "int8", "torch"],
    typer.Option(help="of a bundle: fp32; int8, which is faster, if the bundle has it; torch"),
]
AsJson = Annotated[bool, typer.Option("--json", help="print one JSON list per text, one a line")]
Source = Annotated[
    str | None,
    typer.Option(
        "--input",
        metavar="FILE_OR_FOLDER",
        help="texts in files: .txt (a line each), .jsonl, .conll, .parquet",
    ),
]
Output = Annotated[
    str | None,
    typer.Option(
        metavar="FILE",
        help="with --input: where answers go, .jsonl, .conll or .parquet; the same command again "
        "goes on where it was interrupted",
    ),
]
OnRay = Annotated[
    bool,
    typer.Option(
        "--ray",
        help="with --input: predict on a Ray cluster; files are read and written here, and the "
        "same command, with or without it, goes on where it was interrupted",
    ),
]
Address = Annotated[
    str | None,
    typer.Option(
        help="with --ray: HOST:PORT or `auto`, the cluster to join; default: RAY_ADDRESS, else "
        "one of this machine alone"
    ),
]


@dataclass(frozen=True)
class _Job:
    """Files to predict: from where, to where, and on what."""

    source: str
    output: str
    on_ray: bool
    address: str | None


@app.command()
def main(
    texts: Texts = None,
    model: Named = None,
    engine: EngineOf = "fp32",
    as_json: AsJson = False,
    source: Source = None,
    output: Output = None,
    on_ray: OnRay = False,
    address: Address = None,
) -> None:
    """Print the entities of each text: number of the text, type, score, place, word."""
    if (source is None) != (output is None):
        raise typer.BadParameter("--input and --output go together")
    if source is not None and (texts or as_json):
        raise typer.BadParameter("--input takes the place of TEXT, and --output that of --json")
    if (on_ray and source is None) or (address is not None and not on_ray):
        raise typer.BadParameter("--address goes with --ray, and that with --input and --output")
    try:
        if source is not None and output is not None:
            _predict_files(_Job(source, output, on_ray, address), model, engine)
        else:
            _predict(texts or ["-"], model, engine, as_json=as_json)
    except KeyboardInterrupt:
        _say("interrupted" + ("; the same command goes on from here" if source else ""))
        raise typer.Exit(INTERRUPTED) from None
    except TokclsError as error:
        _say(f"error: {error}")
        raise typer.Exit(_exit_code(error)) from None


def _exit_code(error: TokclsError) -> int:
    from tokcls.inference.sources import NothingToServe

    return 1 if isinstance(error, NothingToServe) else 2


def _predict(texts: list[str], model: str | None, engine: str, *, as_json: bool) -> None:
    if texts == ["-"] and sys.stdin.isatty():
        raise InputError("no text was given; write it behind the command, or pipe lines into it")
    predictor = _load(model, engine).predictor
    numbered = enumerate(_lines() if texts == ["-"] else texts, start=1)
    while chunk := list(islice(numbered, TEXTS_AT_ONCE)):
        found = predictor.predict_texts([text for _, text in chunk])
        for (number, _), entities in zip(chunk, found, strict=True):
            print(*_render(number, entities, as_json=as_json), sep="", end="")


def _load(model: str | None, engine: str) -> Model:
    from tokcls.loading import load_model

    return load_model(model, _say, engine=engine)


def _predict_files(job: _Job, named: str | None, engine: str) -> None:
    """Predict files, with a bar on a terminal and a line now and then elsewhere."""
    from tokcls.inference.many import predict_files

    model = _load(named, engine)
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TimeRemainingColumn(),
    )
    with (
        _where(job, model) as answer,
        Progress(*columns, console=console, disable=not console.is_terminal) as bar,
    ):
        task = bar.add_task("predicting")
        lines = _Lines(console)

        def told(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total)
            lines.told(done, total)

        given = (model.predictor, job.source, job.output)
        count = predict_files(*given, told=told, answer=answer)
    _say(f"{count:,} texts in {job.output}")


def _where(job: _Job, model: Model) -> AbstractContextManager[Answer | None]:
    """Lend what predicts on a cluster; None: it is done here."""
    if not job.on_ray:
        return nullcontext()
    from tokcls.on_ray import on_ray

    return on_ray(model, job.address, _say)


class _Lines:
    """Says how far a command is where there is no terminal, every `EVERY_S` seconds."""

    def __init__(self, console: Console) -> None:
        self._silent, self._next = console.is_terminal, time.monotonic() + EVERY_S

    def told(self, done: int, total: int) -> None:
        if not self._silent and time.monotonic() >= self._next:
            self._next = time.monotonic() + EVERY_S
            _say(f"{done / max(1, total):.0%} of {total:,} bytes")


def _lines() -> Iterator[str]:
    for number, line in enumerate(sys.stdin.buffer, start=1):
        try:
            yield line.decode("utf-8").rstrip("\r\n")
        except UnicodeDecodeError as error:
            raise InputError(f"stdin, line {number}: not UTF-8; convert it first") from error


def _render(number: int, entities: list[Entity], *, as_json: bool) -> Iterator[str]:
    if as_json:
        yield json.dumps([entity.as_dict() for entity in entities], ensure_ascii=False) + "\n"
        return
    for entity in entities:
        place = f"{entity.start}-{entity.end}"
        word = " ".join(entity.word.split())
        yield f"{number:<4} {entity.entity_group:<8} {entity.score:.2f}  {place:<11} {word}\n"


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    app()
