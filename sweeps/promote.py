"""Choose by hand which model is served: python -m sweeps.promote MODEL, or --rollback

A server follows within seconds. Exit codes: 0 done, 2 the input is wrong or nothing was moved.
"""

from __future__ import annotations

import contextlib
import io
import re
import sys
from pathlib import Path
from typing import Annotated

import typer

from sweeps.search.tracking import tracking_uri
from tokcls.errors import BundleError, TokclsError

VERSION = re.compile(r"models:/(?P<name>[^/@]+)(/(?P<version>[0-9]+))?")

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def main(
    model: Annotated[
        str,
        typer.Argument(
            help="models:/NAME/VERSION, or a bundle's folder (with --name), to be the champion; "
            "with --rollback: models:/NAME"
        ),
    ],
    name: Annotated[
        str | None, typer.Option(help="the registered model that a bundle becomes a version of")
    ] = None,
    rollback: Annotated[
        bool,
        typer.Option(
            "--rollback",
            help="make the champion before this one it again; a second time goes forth to the "
            "version that the first went back from",
        ),
    ] = False,
) -> None:
    """Move the alias `champion`, which serving follows, to a model that works here.

    python -m sweeps.promote models:/ner-conll/3
    python -m sweeps.promote models:/ner-conll --rollback
    """
    print(f"trying {model}", file=sys.stderr, flush=True)
    try:
        # MLflow tells there of every step, past every filter; what matters is raised.
        with contextlib.redirect_stderr(io.StringIO()):
            moved = _moved(model, name, rollback=rollback)
    except TokclsError as error:
        print(f"error: {error}", file=sys.stderr)
        raise typer.Exit(2) from None
    print(moved)


def _moved(model: str, name: str | None, *, rollback: bool) -> str:
    """Do it, and say what is champion now."""
    from sweeps.outcome.registry import demote, promote, promote_bundle
    from tokcls.inference.sources import check_registry

    uri = tracking_uri(None)
    match = VERSION.fullmatch(model)
    if model.startswith("models:") and (match is None or name is not None):
        raise BundleError(f"{model!r} must be models:/NAME/VERSION, and takes no --name")
    if match is not None:
        check_registry(uri)
    if rollback:
        if match is None or match["version"]:
            raise BundleError(f"{model!r}: with --rollback, name the model: models:/NAME")
        now, before = demote(match["name"], uri=uri)
        moved = f"champion: models:/{match['name']}/{now} (before: {before or 'none'})"
        return f"{moved}; --rollback again makes {before} it again" if before else moved
    if match is not None:
        if not match["version"]:
            raise BundleError(f"{model!r}: name the version that is to be champion: {model}/3")
        before = promote(match["name"], match["version"], uri=uri)
        return f"champion: {model} (before: {before or 'none'})"
    if name is None:
        raise BundleError(f"{model!r}: say with --name which registered model it is a version of")
    registered, before = promote_bundle(Path(model).expanduser(), name, uri=uri)
    return f"champion: {registered.uri} (before: {before or 'none'})"


if __name__ == "__main__":
    app()
