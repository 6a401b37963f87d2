"""Many texts in a file: `tokcls.predict --input` against `transformers.pipeline`, batches of 8.

    python -m benchmarks.many_texts [--small] [--bundle FOLDER]

Both commands from nothing on the same lines (half a megabyte), entities compared; and ours with
8 bit on 5 MB, for which theirs is reckoned from its start and ten times the rest.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks._made import sentences, trained_bundle
from benchmarks._result import finish, machine

BUDGET = {"times_pipeline_int8_5_mb": 5.0}
ENGINES = ("fp32", "int8")
THEIRS = """
import json, sys
from transformers import pipeline
find = pipeline("token-classification", sys.argv[1], aggregation_strategy="first")
lines = open(sys.argv[2], encoding="utf-8").read().splitlines()
with open(sys.argv[3], "w", encoding="utf-8") as out:
    for found in find(lines, batch_size=8):
        out.write(json.dumps([[e["entity_group"], e["start"], e["end"]] for e in found]) + "\\n")
"""


def main(arguments: list[str]) -> int:
    """Measure both; exit code 0 if ours is so many times as fast."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--small", action="store_true", help="50 kB, keeps no result")
    parser.add_argument("--bundle", type=Path, help="the model; else one is trained")
    asked = parser.parse_args(arguments)
    about, size = machine(), 50_000 if asked.small else 500_000
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        bundle = asked.bundle.resolve() if asked.bundle else trained_bundle(folder)
        part, whole = _lines(folder / "part.txt", size), _lines(folder / "whole.txt", 10 * size)
        line = _lines(folder / "line.txt", 1, most=1)
        start, theirs = (
            _timed([sys.executable, "-c", THEIRS, bundle, source, folder / "theirs.jsonl"])
            for source in (line, part)
        )
        ours = {engine: _timed(_ours(bundle, part, folder, engine)) for engine in ENGINES}
        same = {e: _same(folder / "theirs.jsonl", folder / f"{e}-part.jsonl") for e in ENGINES}
        long = _timed(_ours(bundle, whole, folder, "int8"))
    figures = {f"times_pipeline_{engine}": round(theirs / ours[engine], 2) for engine in ENGINES}
    figures["times_pipeline_int8_5_mb"] = round((start + 10 * (theirs - start)) / long, 2)
    result = {
        "name": "many_texts",
        "budget": BUDGET,
        "ours": figures,
        "seconds": {
            "theirs": round(theirs, 1),
            "their_start": round(start, 1),
            **{e: round(s, 1) for e, s in ours.items()},
        },
        "bytes": size,
        "seconds_of_ten_times_as_much_int8": round(long, 1),
        "lines_with_the_same_entities": same,
        "pass": figures["times_pipeline_int8_5_mb"] >= BUDGET["times_pipeline_int8_5_mb"],
        "machine": about,
    }
    return finish(result, keep=not asked.small)


def _lines(path: Path, size: int, *, most: int | None = None) -> Path:
    texts, written = sentences()[:most], 0
    with path.open("w", encoding="utf-8") as out:
        while written < size:
            for text in texts:
                written += out.write(text + "\n")
    return path


def _ours(bundle: Path, source: Path, folder: Path, engine: str) -> list[str]:
    output = folder / f"{engine}-{source.stem}.jsonl"
    command = [sys.executable, "-m", "tokcls.predict", "--model", str(bundle), "--engine", engine]
    return [*command, "--input", str(source), "--output", str(output)]


def _timed(command: Sequence[str | Path]) -> float:
    begun = time.monotonic()
    subprocess.run([str(word) for word in command], check=True, capture_output=True)
    return time.monotonic() - begun


def _same(theirs: Path, ours: Path) -> str:
    pairs = list(zip(theirs.open(), ours.open(), strict=True))
    same = sum(
        json.loads(their)
        == [[e["entity_group"], e["start"], e["end"]] for e in json.loads(our)["entities"]]
        for their, our in pairs
    )
    return f"{same} of {len(pairs)}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
