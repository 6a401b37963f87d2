"""Requests a second of `sweeps.serve` and of the usual servers around `transformers.pipeline`.

    python -m benchmarks.serving [--small] [--bundle FOLDER]

One model (trained for it, about a minute, or `--bundle`), real sentences, one a request; a server
by itself on this machine; wrk at 1, 8 and 32 connections, the median of three times six seconds.
The bare engine is the predictor in a loop over 32 sentences at a time, on all CPUs.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks._load import Load, bodies_file, check_wrk, load
from benchmarks._made import answer_of, bare_engine, places, running, sentences, trained_bundle
from benchmarks._result import finish, machine
from tokcls.inference.engines import FILES
from tokcls.processes import below

CONNECTIONS = (1, 8, 32)
BUDGET = {
    "times_fastapi": 4.0,
    "times_serve": 4.0,
    "of_bare_engine": 0.6,
    "p99_over_their_p50": 1.0,
    "replica_start_seconds": 5.0,
}
AT_MOST = ("p99_over_their_p50", "replica_start_seconds")
SERVE = ("sweeps.serve", "{bundle}", "--port", "{{port}}")
RIVAL = ("benchmarks._rivals", "{kind}", "{bundle}", "{{port}}")
SERVERS = {
    "ours": SERVE,
    "ours, int8": (*SERVE, "--engine", "int8"),
    "ours, Ray's proxy": (*SERVE, "--proxy", "default"),
    "fastapi": RIVAL,
    "serve": RIVAL,
}
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
        start = _replica_seconds(server.pid) if kind == "ours" else None
        answers = [places(answer_of(server.url, text)) for text in texts[:ASKED]]
        load(server.url, bodies, connections=8, seconds=2)
        loads = {
            number: [
                load(server.url, bodies, connections=number, seconds=seconds) for _ in range(times)
            ]
            for number in CONNECTIONS
        }
    measured = {str(number): _median(each) for number, each in loads.items()}
    return measured | ({"replica_start_seconds": start} if start else {}), answers


def _median(loads: list[Load]) -> dict[str, float]:
    def middle(name: str) -> float:
        return round(statistics.median(getattr(each, name) for each in loads), 2)

    figures = {name: middle(name) for name in ("per_second", "p50", "p99")}
    return figures | {"failed": sum(each.failed for each in loads)}


def _replica_seconds(server: int) -> float:
    """How long ago the replica's process began: it has just answered for the first time."""
    begun = [
        int((folder / "stat").read_text().rpartition(")")[2].split()[19])
        for folder in (Path(f"/proc/{pid}") for pid in below(server))
        if b"ServeReplica" in (folder / "cmdline").read_bytes()
    ]
    up = float(Path("/proc/uptime").read_text().split()[0])
    return round(up - max(begun) / 100, 2)


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
    most = {kind: each["32"]["per_second"] for kind, each in measured.items()}
    ours = {
        "times_fastapi": most["ours"] / most["fastapi"],
        "times_serve": most["ours"] / most["serve"],
        "of_bare_engine": most["ours"] * words / bare,
        "p99_over_their_p50": measured["ours"]["8"]["p99"]
        / min(measured[kind]["8"]["p50"] for kind in ("fastapi", "serve")),
        "replica_start_seconds": measured["ours"]["replica_start_seconds"],
    }
    ours = {name: round(value, 3) for name, value in ours.items()}
    same = [a == b for a, b in zip(answers["ours"], answers["fastapi"], strict=True)]
    held = {
        name: value <= BUDGET[name] if name in AT_MOST else value >= BUDGET[name]
        for name, value in ours.items()
    }
    for name, value in ours.items():
        print(f"{name:24} {value:8}   budget {BUDGET[name]}")
    result = {
        "name": "serving",
        "budget": BUDGET,
        "ours": ours,
        "servers": measured,
        "bare_words_per_second": round(bare),
        "words_a_request": round(words, 1),
        "answers_as_pipeline": f"{sum(same)} of {len(same)}",
        "pass": all(held.values()) and measured["ours"]["32"]["failed"] == 0,
        "machine": about,
    }
    return finish(result, keep=keep)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
