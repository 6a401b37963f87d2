"""The engine without a server: python -m benchmarks._bare BUNDLE TEXTS SECONDS, words a second."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from tokcls.inference.predictor import Predictor

AT_ONCE = 32


def main(bundle: str, texts: str, seconds: str) -> None:
    """Predict chunks of so many lines again and again; the first pass only warms up."""
    predictor = Predictor.from_bundle(bundle)
    lines = Path(texts).read_text().splitlines()
    chunks = [lines[at : at + AT_ONCE] for at in range(0, len(lines), AT_ONCE)]
    for chunk in chunks:
        predictor.predict_texts(chunk)
    words, begun = 0, time.monotonic()
    while (spent := time.monotonic() - begun) < float(seconds):
        for chunk in chunks:
            predictor.predict_texts(chunk)
            words += sum(len(line.split()) for line in chunk)
    print(words / spent)


if __name__ == "__main__":
    main(*sys.argv[1:])
