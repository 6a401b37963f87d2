"""Requests a second of `sweeps.serve` and of the usual servers around `transformers.pipeline`.

    python -m benchmarks.serving [--small] [--bundle FOLDER]

One model (trained for it, about a minute, or `--bundle`), real sentences, one a request; a server
by itself on this machine; wrk at 1, 8 and 32 connections, the median of three times six seconds.
The bare engine is the predictor in a loop over 32 sentences at a time, on all CPUs. Asked for the
pipeline's strategy, ours must answer what the pipeline answers.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks._load import Load, bodies_file, check_wrk, load
from benchmarks._made import (
    answer_of,
    bare_engine,
    places,
    promote,
    running,
    sentences,
    trained_bundle,
)
from benchmarks._result import finish, machine
from tokcls.inference.engines import FILES

CONNECTIONS = (1, 8, 32)
BUDGET = {
    "times_fastapi": 4.0,
    "times_serve": 4.0,
    "of_bare_engine": 0.6,
    "p99_over_their_p50": 1.0,
    "replica_start_seconds": 5.0,
    "champion_start_seconds": 5.0,
    "answers_that_differ": 0,
}
AT_LEAST = ("times_fastapi", "times_serve", "of_bare_engine")
SERVE = ("sweeps.serve", "{bundle}", "--port", "{{port}}")
RIVAL = ("benchmarks._rivals", "{kind}", "{bundle}", "{{port}}")
SERVERS = {
    "ours": SERVE,
    "ours, no retries": ("benchmarks._unretried", *SERVE[1:]),
    "ours, int8": (*SERVE, "--engine", "int8"),
    "ours, Ray's proxy": (*SERVE, "--proxy", "default"),
    "fastapi": RIVAL,
    "serve": RIVAL,
}
RIVALS = ("fastapi", "serve")
AT = {"ours, no retries": (32,)}  # connections, if not all
NAME = "ner-serving"
STRATEGY = {"aggregation_strategy": "first"}  # that of `_rivals`
ASKED = 200  # sentences whose answers are compared


def main(arguments: list[str]) -> int:
    """Measure every server; exit code 0 if all is within the budget."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--small", action="store_true", help="2 s once, keeps no result")
    parser.add_argument("--bundle", type=Path, help="the model; else one is trained")
    asked = parser.parse_args(arguments)
    check_wrk()
    about, texts = machine(), sentences()
    seconds, times = (2, 1) if asked.small else (6, 3)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        bundle = asked.bundle.resolve() if asked.bundle else trained_bundle(folder)
        lines = folder / "texts.txt"
        lines.write_text("\n".join(texts))
        measured: dict[str, Any] = {"bare_words_per_second": bare_engine(bundle, lines, seconds)}
        answers: dict[str, list[Any]] = {}
        for kind in _servers(bundle):
            measured[kind], answers[kind] = _measure(kind, bundle, texts, folder, seconds, times)
            print(f"{kind:20} {measured[kind]}", flush=True)
        measured["bare_words_per_second_after"] = bare_engine(bundle, lines, seconds)
        measured["champion_start_seconds"] = _champion_start(bundle, folder)
    return _finish(about, texts, measured, answers, keep=not asked.small)


def _servers(bundle: Path) -> list[str]:
    """List those that can serve a bundle: it may have no engine of 8 bit."""
    return [kind for kind in SERVERS if "int8" not in kind or (bundle / FILES["int8"]).is_file()]


def _measure(
    kind: str, bundle: Path, texts: list[str], folder: Path, seconds: int, times: int
) -> tuple[dict[str, Any], list[Any]]:
    module, *given = (part.format(kind=kind, bundle=bundle) for part in SERVERS[kind])
    bodies = bodies_file(texts, folder)
    with running(module, *given, cwd=folder) as server:
        start = server.replica_seconds() if kind == "ours" else None
        answers = [
            [places(answer_of(server.url, text, **strategy)) for text in texts[:ASKED]]
            for strategy in ({}, STRATEGY)
        ]
        load(server.url, bodies, connections=8, seconds=2)
        loads = {
            number: [
                load(server.url, bodies, connections=number, seconds=seconds) for _ in range(times)
            ]
            for number in AT.get(kind, CONNECTIONS)
        }
    measured = {str(number): _median(each) for number, each in loads.items()}
    return measured | ({"replica_start_seconds": start} if start else {}), answers


def _champion_start(bundle: Path, folder: Path) -> float:
    """How long ago the replica of a registered model began when it answers for the first time."""
    promote(folder, str(bundle), "--name", NAME)
    with running(
        "sweeps.serve", f"models:/{NAME}@champion", "--port", "{port}", cwd=folder
    ) as server:
        return server.replica_seconds()


def _median(loads: list[Load]) -> dict[str, float]:
    def middle(name: str) -> float:
        return round(statistics.median(getattr(each, name) for each in loads), 2)

    figures = {name: middle(name) for name in ("per_second", "p50", "p99")}
    return figures | {"failed": sum(each.failed for each in loads)}


def _finish(
    about: dict[str, Any],
    texts: list[str],
    measured: dict[str, Any],
    answers: dict[str, list[Any]],
    *,
    keep: bool,
) -> int:
    words = statistics.mean(len(text.split()) for text in texts)
    bare = statistics.mean(
        (measured.pop("bare_words_per_second"), measured.pop("bare_words_per_second_after"))
    )
    champion = measured.pop("champion_start_seconds")
    most = {kind: each["32"]["per_second"] for kind, each in measured.items()}
    as_trained, asked_for = answers["ours"]
    pipeline, _ = answers["fastapi"]
    ours = {
        "per_second": most["ours"],
        "p99": measured["ours"]["8"]["p99"],
        "replica_start_seconds": measured["ours"]["replica_start_seconds"],
        "champion_start_seconds": champion,
        "answers_that_differ": _differ(asked_for, pipeline),
        "answers_as_trained_that_differ": _differ(as_trained, pipeline),
    }
    theirs = {
        kind: {"per_second": most[kind], "p50": measured[kind]["8"]["p50"]} for kind in RIVALS
    }
    ratio = {f"times_{kind}": most["ours"] / most[kind] for kind in RIVALS} | {
        "of_bare_engine": most["ours"] * words / bare,
        "p99_over_their_p50": ours["p99"] / min(each["p50"] for each in theirs.values()),
        "retries_cost": most["ours"] / most["ours, no retries"],
    }
    ratio = {name: round(value, 3) for name, value in ratio.items()}
    held = [_held(name, (ours | ratio)[name]) for name in BUDGET]
    result = {
        "name": "serving",
        "budget": BUDGET,
        "ours": ours,
        "theirs": theirs,
        "ratio": ratio,
        "servers": measured,
        "bare_words_per_second": round(bare),
        "words_a_request": round(words, 1),
        "answers_compared": len(pipeline),
        "pass": all(held) and measured["ours"]["32"]["failed"] == 0,
        "machine": about,
    }
    return finish(result, keep=keep)


def _differ(ours: list[Any], theirs: list[Any]) -> int:
    return sum(a != b for a, b in zip(ours, theirs, strict=True))


def _held(name: str, value: float) -> bool:
    print(f"{name:24} {value:8}   budget {BUDGET[name]}")
    return value >= BUDGET[name] if name in AT_LEAST else value <= BUDGET[name]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
