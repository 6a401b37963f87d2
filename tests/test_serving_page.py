"""docs/serving.md says what is true: its command lines, its options, and the figures it gives.

Nothing is run here but the parsers, as for README.
"""

from __future__ import annotations

import json
import re
import shlex
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from tests.test_readme import PROGRAMS, options, parse

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs" / "serving.md").read_text(encoding="utf-8")
OF_RAY = {"--metrics-export-port"}
SERVERS = {  # rows of the table of figures, by their names in the benchmark's result
    "`sweeps.serve` (fp32)": "ours",
    "`sweeps.serve --engine int8`": "ours, int8",
    "`sweeps.serve --proxy default`": "ours, Ray's proxy",
    "FastAPI, uvicorn and `transformers.pipeline`": "fastapi",
    "a default Ray Serve deployment around it": "serve",
}


def module_calls() -> list[list[str]]:
    """List the commands that run a module: its name, then its arguments, without what follows."""
    lines = re.findall(r"^    python -m (.*)$", PAGE, re.MULTILINE)
    return [shlex.split(re.split(r"\s{2,}| < ", line)[0]) for line in lines]


def table(header: str) -> list[list[str]]:
    """List the rows of the table that begins with this line, as cells."""
    _, found, rest = PAGE.partition(f"{header}\n")
    assert found, f"there is a table {header}"
    rows = rest.split("\n\n")[0].splitlines()[1:]
    return [[cell.strip() for cell in row.strip("|").split(" | ")] for row in rows]


def result(name: str) -> dict[str, Any]:
    """Read what a benchmark measured last."""
    file = ROOT / "benchmarks" / "results" / f"{name}.json"
    found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return found


@pytest.mark.parametrize("call", module_calls(), ids=" ".join)
def test_a_program_takes_its_command_line(call: list[str]) -> None:
    assert parse(call[0], call[1:])


def test_every_program_of_serving_has_a_command_line() -> None:
    assert {call[0] for call in module_calls()} == {*PROGRAMS} - {"sweeps.run"}
    modules = re.findall(r"`python -m ([a-z_.]+)", PAGE)
    assert modules
    assert all(find_spec(module) for module in modules)


def test_the_table_of_options_has_those_of_the_server() -> None:
    named = [name for first, *_ in table("| option | |") for name in re.findall("--[a-z-]+", first)]
    assert sorted(named) == sorted(options("sweeps.serve"))


def test_every_option_in_the_text_exists() -> None:
    named = set(re.findall(r"`(?:sweeps\.serve )?(--[a-z-]+)", PAGE))
    assert named - OF_RAY <= {name for module in PROGRAMS for name in options(module)}


def test_the_table_of_figures_is_that_of_the_last_measurement() -> None:
    servers = result("serving")["servers"]
    rows = table("| server | 1 connection | 8 | 32 | p99 at 8 |")
    assert {name for name, *_ in rows} == {*SERVERS}
    for name, *cells in rows:
        measured = servers[SERVERS[name]]
        rates = [measured[number]["per_second"] for number in ("1", "8", "32")]
        assert [int(cell) for cell in cells] == [round(x) for x in (*rates, measured["8"]["p99"])]


@pytest.mark.parametrize(
    ("benchmark", "figure", "said", "scale"),
    [
        ("serving", "of_bare_engine", r"That is ([\d.]+) % of the words a second", 100),
        ("serving", "replica_start_seconds", r"A replica answers ([\d.]+) s after", 1),
        ("many_texts", "times_pipeline_int8_5_mb", r"on 5 MB\nthe last is ([\d.]+) times", 1),
    ],
)
def test_a_figure_in_the_text_is_that_of_the_last_measurement(
    benchmark: str, figure: str, said: str, scale: int
) -> None:
    measured = result(benchmark)
    value = (measured["ours"] | measured.get("ratio", {}))[figure] * scale
    [number] = re.findall(said, PAGE)
    assert float(number) == round(value, len(number.partition(".")[2]))
