"""Find the entities of texts on the command line: python -m tokcls.predict [--model M] TEXT ...

The answers are those that the HTTP server gives. Exit codes: 0 done, 1 nothing to predict with,
2 the input is wrong.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING, Annotated

import typer

from tokcls.errors import InputError, TokclsError

if TYPE_CHECKING:
    from tokcls.inference.predictor import Entity

TEXTS_AT_ONCE = 256

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def main(
    texts: Annotated[
        list[str] | None,
        typer.Argument(metavar="TEXT...", help="texts; `-` or none: every line of stdin is one"),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(help="a bundle's folder or models:/NAME@ALIAS; default: the one champion"),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="print one JSON list per text, one a line")
    ] = False,
) -> None:
    """Print the entities of each text: number of the text, type, score, place, word."""
    try:
        _predict(texts or ["-"], model, as_json=as_json)
    except TokclsError as error:
        _say(f"error: {error}")
        raise typer.Exit(_exit_code(error)) from None


def _exit_code(error: TokclsError) -> int:
    from tokcls.inference.sources import NothingToServe

    return 1 if isinstance(error, NothingToServe) else 2


def _predict(texts: list[str], model: str | None, *, as_json: bool) -> None:
    if texts == ["-"] and sys.stdin.isatty():
        raise InputError("no text was given; write it behind the command, or pipe lines into it")
    _say(f"loading {model or 'the champion of the model registry'}")
    from tokcls.inference.predictor import Predictor
    from tokcls.inference.sources import locate

    located = locate(model)
    predictor = Predictor.from_bundle(located.folder)
    _say(f"{located.name} {located.version}".rstrip() + f" ({located.folder})")
    numbered = enumerate(_lines() if texts == ["-"] else texts, start=1)
    while chunk := list(islice(numbered, TEXTS_AT_ONCE)):
        found = predictor.predict_texts([text for _, text in chunk])
        for (number, _), entities in zip(chunk, found, strict=True):
            print(*_render(number, entities, as_json=as_json), sep="", end="")


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
