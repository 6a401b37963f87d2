"""`python -m sweeps.run FILE`: from a search space and a corpus to a registered, served model.

Parses, calls, prints; the story itself is in `sweep`.
"""

from __future__ import annotations

import json
import logging
import shlex
import signal
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import PurePath
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from sweeps.console import Stages, Terminal, wide
from sweeps.errors import NothingFinished, SweepError
from sweeps.space.keys import keys_text
from sweeps.space.space import SearchSpace, load_space
from sweeps.stop import GONE_WITHIN_S, adopt_orphans, told_of_interrupt
from tokcls.errors import ProblemsError, TokclsError
from tokcls.processes import end_children

if TYPE_CHECKING:
    from sweeps.estimate import Estimate
    from sweeps.preflight import Ready
    from sweeps.search.resources import SlotPlan

DONE, NOTHING, WRONG, INTERRUPTED = 0, 1, 2, 130

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


File = Annotated[str | None, typer.Argument(help="search space (YAML); with --keys: a section")]
Overrides = Annotated[
    list[str] | None,
    typer.Argument(help="key=value behind the file, e.g. model.backbone=gpt2 train.epochs=1"),
]
Check = Annotated[
    bool,
    typer.Option(
        "--check",
        help="look everything up, train two batches of each backbone; starts no trial, and no Ray "
        "(with --address it asks that cluster)",
    ),
]
AsJson = Annotated[
    bool, typer.Option("--json", help="with --check: print the report as one JSON object")
]
Resume = Annotated[bool, typer.Option("--resume", help="go on with the newest run of this sweep")]
Serve = Annotated[bool, typer.Option("--serve", help="serve the model when the sweep is done")]
Quiet = Annotated[
    bool, typer.Option("--quiet", help="print the result, notes and errors, but no progress")
]
Keys = Annotated[
    bool, typer.Option("--keys", help="list every key of the YAML (or of one section)")
]
Address = Annotated[
    str | None, typer.Option(help="a running Ray cluster; unset: RAY_ADDRESS, else a local one")
]


@app.command()
def main(
    file: File = None,
    overrides: Overrides = None,
    check: Check = False,
    as_json: AsJson = False,
    resume: Resume = False,
    serve: Serve = False,
    quiet: Quiet = False,
    keys: Keys = False,
    address: Address = None,
) -> None:
    """Run the sweep that FILE describes, bundle and register its best model.

    python -m sweeps.run search_spaces/quickstart.yaml
    python -m sweeps.run search_spaces/conll.yaml data.source=my_corpus/ train.epochs=2
    """
    terminal = Terminal()
    stages = Stages(Console(file=terminal.err), quiet=quiet)
    logging.getLogger("sweeps").addHandler(logging.StreamHandler(terminal.err))
    if check and resume:
        raise typer.BadParameter("--check starts no trial, so there is nothing to --resume")
    if as_json and not check:
        raise typer.BadParameter("--json goes with --check")
    if file is None and not keys:
        raise typer.BadParameter("name a search space, e.g. search_spaces/quickstart.yaml")
    with _exit_codes(stages, terminal, as_json=as_json):
        if file is None or keys:
            signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # the reader may be `head`
            section = None if file and PurePath(file).suffix in (".yaml", ".yml") else file
            print(keys_text(section), file=terminal.out)
            return
        stages.say(f"reading {file}")
        space = load_space(file, overrides or ())
        if check:
            _check(space, stages, terminal, address, as_json=as_json)
        else:
            _run(space, stages, terminal, resume=resume, serve=serve, address=address)


@contextmanager
def _exit_codes(stages: Stages, terminal: Terminal, *, as_json: bool) -> Iterator[None]:
    """Say what went wrong, and give the exit code that stands for it."""
    try:
        yield
    except KeyboardInterrupt:
        end_children(within=GONE_WITHIN_S)  # Ray may have been half started
        stages.warn("interrupted")
        raise typer.Exit(INTERRUPTED) from None
    except TokclsError as error:
        if as_json:
            problems = error.problems if isinstance(error, ProblemsError) else [error]
            print(json.dumps({"problems": [str(each) for each in problems]}), file=terminal.out)
        stages.warn(f"error: {error}" if len(str(error).splitlines()) == 1 else f"{error}")
        raise typer.Exit(NOTHING if isinstance(error, NothingFinished) else WRONG) from None
    except typer.Exit:
        raise
    except Exception:
        traceback.print_exc(file=terminal.err)  # stderr itself may be a log by now
        raise typer.Exit(NOTHING) from None


def _check(
    space: SearchSpace, stages: Stages, terminal: Terminal, address: str | None, *, as_json: bool
) -> None:
    """Look everything up, as a sweep would, and say what would be run on which corpus."""
    from sweeps.checks import room_noted
    from sweeps.preflight import preflight
    from sweeps.search.cluster import cluster_address
    from tokcls.data.profile import profile

    address = cluster_address(address)
    with stages("looking up backbones and corpus"):
        ready = preflight(space, local=address is None)
    folders = {name: backbone.folder for name, backbone in ready.backbones.items()}
    with stages("cutting the corpus into windows"):
        found = profile(ready.corpus, folders, ready.space.data, ready.space.label_choices)
    plan, estimate = _estimate(ready, stages, terminal, address)
    if as_json:
        costs = {"slots": plan.slots, "estimate": estimate.to_json()}
        print(json.dumps(found.to_json() | costs | {"problems": []}), file=terminal.out)
        return
    notes = (f"note: {note}" for note in room_noted(space, plan.slots))
    lines = [*ready.space.describe(), *found.lines(), plan.describe(), *notes, *estimate.lines()]
    print(*lines, f"{space.file}: good", sep="\n", file=terminal.out)


def _estimate(
    ready: Ready, stages: Stages, terminal: Terminal, address: str | None
) -> tuple[SlotPlan, Estimate]:
    """Have two batches of each backbone trained: here, or on the cluster at `address`."""
    if address is not None:
        from sweeps.staged import estimate_there

        return estimate_there(ready, stages, terminal, address)
    from sweeps.search.probing import STAGE, estimate_here

    assert ready.plan is not None
    with stages(STAGE, "10 s and more, the first time longer"):
        return ready.plan, estimate_here(ready, ready.plan)


def _run(
    space: SearchSpace,
    stages: Stages,
    terminal: Terminal,
    *,
    resume: bool,
    serve: bool,
    address: str | None,
) -> None:
    with stages("loading Ray and MLflow"):
        from sweeps.outcome.report import report
        from sweeps.sweep import Interrupted, Unconcluded, run_sweep

    adopt_orphans()
    if serve:
        _check_server()
    try:
        with told_of_interrupt(lambda: stages.say("stopping ...")):
            outcome = run_sweep(space, stages, terminal, resume=resume, address=address)
    except (Interrupted, Unconcluded) as error:
        again = f"python -m sweeps.run {_again(space, address, serve=serve)} --resume"
        if isinstance(error, Unconcluded):
            wide(terminal.out).print(error.board.table())
        stages.warn(f"{error}\ngo on with: {again}")
        code = INTERRUPTED if isinstance(error, Interrupted) else NOTHING
        raise typer.Exit(code) from None
    report(outcome, wide(terminal.out))
    if serve:
        from sweeps.serve import serve_until_stopped
        from tokcls.inference.settings import Listening, Settings

        serve_until_stopped(str(outcome.bundle.folder), terminal, Settings(), Listening())


def _check_server() -> None:
    """Find a taken port or a blank token now, rather than when the sweep is done."""
    from tokcls.inference.gate import token_wanted
    from tokcls.inference.server import PortInUse, check_port

    token_wanted()
    try:
        check_port("127.0.0.1", 8000)
    except PortInUse as error:
        raise SweepError(
            "port 8000 is in use; free it, or run without --serve and then "
            "`python -m sweeps.serve --port` with another"
        ) from error


def _again(space: SearchSpace, address: str | None, *, serve: bool) -> str:
    """Write the arguments of this run again, for a shell."""
    parts = [space.file, *space.places.given]
    parts += ["--address", address] if address else []
    parts += ["--serve"] if serve else []
    return " ".join(shlex.quote(part) for part in parts)


if __name__ == "__main__":
    app()
