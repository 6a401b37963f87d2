"""What the benchmark of serving makes of what it measured, and when it has not passed."""

from __future__ import annotations

import json
from typing import Any

import pytest

from benchmarks.serving import BUDGET, SERVERS, _finish

FOUND = [[("LOC", 0, 4)], [("PER", 0, 4)]]
DIFFER = [[("LOC", 0, 4)], []]


def finished(
    capsys: pytest.CaptureFixture[str],
    *,
    asked_for: list[Any] = FOUND,
    champion: float = 2.0,
    failed: int = 0,
) -> dict[str, Any]:
    rates = dict.fromkeys(SERVERS, 180.0) | {"fastapi": 30.0, "serve": 10.0}
    measured: dict[str, Any] = {
        kind: {
            number: {"per_second": rate, "p50": 300.0, "p99": 80.0, "failed": failed}
            for number in ("1", "8", "32")
        }
        for kind, rate in rates.items()
    }
    measured["ours"]["replica_start_seconds"] = 2.5
    measured["ours, no retries"]["32"]["per_second"] = 200.0
    measured |= {
        "bare_words_per_second": 500.0,
        "bare_words_per_second_after": 540.0,
        "champion_start_seconds": champion,
    }
    answers = {"ours": [DIFFER, asked_for], "fastapi": [FOUND, FOUND]}
    code = _finish({}, ["Oslo is far", "Anna"], measured, answers, keep=False)
    result: dict[str, Any] = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert code == (0 if result["pass"] else 1)
    return result


def test_ours_theirs_and_their_ratio_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    result = finished(capsys)
    assert result["pass"] is True
    assert {*BUDGET} <= {*result["ours"], *result["ratio"]}
    assert result["theirs"]["serve"] == {"per_second": 10.0, "p50": 300.0}
    assert result["ratio"] == {
        "times_fastapi": 6.0,
        "times_serve": 18.0,
        "of_bare_engine": round(180 * 2 / 520, 3),
        "p99_over_their_p50": 0.267,
        "retries_cost": 0.9,
    }
    assert result["ours"]["answers_as_trained_that_differ"] == 1


@pytest.mark.parametrize("wrong", [{"asked_for": DIFFER}, {"champion": 5.1}, {"failed": 1}])
def test_other_answers_a_late_start_or_a_failure_do_not_pass(
    capsys: pytest.CaptureFixture[str], wrong: dict[str, Any]
) -> None:
    assert finished(capsys, **wrong)["pass"] is False
