"""Many texts in a file: `tokcls.predict --input` against `transformers.pipeline`, batches of 8.

    python -m benchmarks.many_texts [--small] [--whole] [--bundle FOLDER]

Both commands from nothing on the same lines: half a megabyte with both engines, and 5 MB with
8 bit, for which theirs is reckoned from its start and ten times the rest; `--whole` measures it
too, and fp32 there, a quarter of an hour in all. Entities are compared: the model takes each word's
best label, as the pipeline does, and no line is longer than its window: the pipeline cuts such off.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from itertools import cycle
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from benchmarks._made import places, sentences, trained_bundle
from benchmarks._result import finish, machine
from tokcls.inference.bundle import read_manifest

BUDGET = {"times_pipeline_int8_5_mb": 5.0, "fp32_lines_that_differ": 0}
DECODING = "argmax"
THEIRS = """
import json, sys
from transformers import pipeline
find = pipeline("token-classification", sys.argv[1], aggregation_strategy="first")
lines = open(sys.argv[2], encoding="utf-8").read().splitlines()
with open(sys.argv[3], "w", encoding="utf-8") as out:
    for found in find(lines, batch_size=8):
        out.write(json.dumps([[e["entity_group"], e["start"], e["end"]] for e in found]) + "\\n")
"""
Seconds = dict[str, float]


def main(arguments: list[str]) -> int:
    """Measure both; exit code 0 if ours is so many times as fast and fp32 finds the same."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--small", action="store_true", help="50 and 500 kB, keeps no result")
    parser.add_argument("--whole", action="store_true", help="measure theirs on all 5 MB")
    parser.add_argument("--bundle", type=Path, help="the model; else one is trained")
    asked = parser.parse_args(arguments)
    about, size = machine(), 50_000 if asked.small else 500_000
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        bundle = _bundle(asked.bundle, folder)
        texts = _fitting(bundle, sentences())
        (folder / "start.txt").write_text(texts[0] + "\n", encoding="utf-8")
        _write(folder / "part.txt", texts, size)
        _write(folder / "5_mb.txt", texts, 10 * size)
        theirs, ours = _measure(bundle, folder, whole=asked.whole)
        same = {
            engine: agreement(folder / "theirs-part.jsonl", folder / f"{engine}-part.jsonl")
            for engine in ("fp32", "int8")
        }
    ratio = {
        f"times_pipeline_{kind}": round(theirs["5_mb" if "5_mb" in kind else "part"] / seconds, 2)
        for kind, seconds in ours.items()
    }
    result = {
        "name": "many_texts",
        "budget": BUDGET,
        "ours": {f"{kind}_seconds": round(each, 1) for kind, each in ours.items()},
        "theirs": {f"{kind}_seconds": round(each, 1) for kind, each in theirs.items()},
        "ratio": ratio,
        "their_5_mb": "measured" if asked.whole else "reckoned",
        "bytes": size,
        "agreement": same,
        "pass": ratio["times_pipeline_int8_5_mb"] >= BUDGET["times_pipeline_int8_5_mb"]
        and same["fp32"]["lines_that_differ"] <= BUDGET["fp32_lines_that_differ"],
        "machine": about,
    }
    return finish(result, keep=not asked.small)


def _bundle(given: Path | None, folder: Path) -> Path:
    if given is None:
        return trained_bundle(folder, f"model.decoding={DECODING}")
    decoding = read_manifest(given).decoding
    if decoding != DECODING:
        raise SystemExit(
            f"{given}: its decoding must be {DECODING}, which is the pipeline's, and is "
            f"{decoding}; train one with model.decoding={DECODING}, or leave --bundle out"
        )
    return given.resolve()


def _fitting(bundle: Path, texts: list[str]) -> list[str]:
    """Leave out what is longer than a window."""
    tokenizer = Tokenizer.from_file(str(bundle / "tokenizer.json"))
    tokenizer.no_truncation()
    most = read_manifest(bundle).window.max_length
    return [text for text in texts if len(tokenizer.encode(text).ids) <= most]


def _write(path: Path, texts: Sequence[str], size: int) -> None:
    """Write texts in turn until there are so many bytes."""
    written = 0
    with path.open("wb") as out:
        for text in cycle(texts):
            written += out.write(f"{text}\n".encode())
            if written >= size:
                return


def _measure(bundle: Path, folder: Path, *, whole: bool) -> tuple[Seconds, Seconds]:
    """Time theirs by file, and ours by engine and file."""
    theirs = {
        name: _timed(_theirs(bundle, folder, name))
        for name in ("start", "part", *(["5_mb"] if whole else []))
    }
    if not whole:
        theirs["5_mb"] = theirs["start"] + 10 * (theirs["part"] - theirs["start"])
    ours = {engine: _timed(_ours(bundle, folder, engine, "part")) for engine in ("fp32", "int8")}
    for engine in ("fp32", "int8") if whole else ("int8",):
        ours[f"{engine}_5_mb"] = _timed(_ours(bundle, folder, engine, "5_mb"))
    return theirs, ours


def _theirs(bundle: Path, folder: Path, name: str) -> list[str | Path]:
    files = folder / f"{name}.txt", folder / f"theirs-{name}.jsonl"
    return [sys.executable, "-c", THEIRS, bundle, *files]


def _ours(bundle: Path, folder: Path, engine: str, name: str) -> list[str | Path]:
    files = "--input", folder / f"{name}.txt", "--output", folder / f"{engine}-{name}.jsonl"
    model = "--model", bundle, "--engine", engine
    return [sys.executable, "-m", "tokcls.predict", *model, *files]


def _timed(command: Sequence[str | Path]) -> float:
    begun = time.monotonic()
    subprocess.run([str(word) for word in command], check=True, capture_output=True)
    return time.monotonic() - begun


def agreement(theirs: Path, ours: Path) -> dict[str, Any]:
    """Compare entities by type, start and end: lines that differ, and F1 of one by the other."""
    lines = differ = both = spans = 0
    with theirs.open(encoding="utf-8") as first, ours.open(encoding="utf-8") as second:
        for their, our in zip(first, second, strict=True):
            pair = [tuple(each) for each in json.loads(their)], places(json.loads(our)["entities"])
            lines, differ = lines + 1, differ + (pair[0] != pair[1])
            both += len({*pair[0]} & {*pair[1]})
            spans += len(pair[0]) + len(pair[1])
    return {"lines": lines, "lines_that_differ": differ, "f1": round(2 * both / max(1, spans), 4)}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
