"""Every measurement ends with the same kind of line, and the one that is committed passed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks._result import RESULTS

KEPT = sorted(RESULTS.glob("*.json"))


@pytest.mark.parametrize("path", KEPT, ids=lambda path: path.stem)
def test_a_kept_result_is_one_line_that_names_its_benchmark_and_passed(path: Path) -> None:
    (line,) = path.read_text(encoding="utf-8").splitlines()
    result = json.loads(line)
    assert result["name"] == path.stem
    assert (RESULTS.parent / f"{path.stem}.py").is_file()
    assert {"ours", "budget", "machine"} <= set(result)
    assert result["pass"] is True


@pytest.mark.parametrize("name", sorted(path.stem for path in RESULTS.parent.glob("[!_]*.py")))
def test_every_benchmark_has_a_committed_result(name: str) -> None:
    assert [*RESULTS.glob(f"{name}.json*")], f"run `python -m benchmarks.{name}`, commit its result"
