"""Scoring half a million words of tags, beside seqeval and seqscore in the same run.

    python -m benchmarks.scoring [--small]

All three start from tags and give precision, recall and F1 per type and in all, ours and seqeval
the accuracy of words too; all must come to the same counts. Kinds of mistakes are timed apart.
"""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from benchmarks._result import finish, machine
from tokcls.config import DataConfig
from tokcls.data.source import load_corpus
from tokcls.labels.mistakes import mistakes
from tokcls.labels.schemes import SCHEMES
from tokcls.labels.scoring import count

WORDS, SMALL = 500_000, 50_000
BUDGET = {"seconds": 1.0}
REPEATS = 3
Tags = list[list[str]]


@dataclass(frozen=True)
class Scored:
    """Spans found, invented and missed."""

    found: int
    invented: int
    missed: int


@dataclass(frozen=True)
class Timed:
    """The fastest of a few runs, and what it gave."""

    seconds: float
    result: Scored


def main(arguments: list[str]) -> int:
    """Score the bundled corpus, repeated, against a copy with one word in ten mistaken."""
    about, small = machine(), "--small" in arguments
    gold, predicted = taggings(SMALL if small else WORDS)
    words = sum(map(len, gold))
    rivals = {"ours": _ours, "seqeval": _seqeval, "seqscore": _seqscore}
    timed = {name: _fastest(score, gold, predicted) for name, score in rivals.items()}
    for name, one in timed.items():
        print(f"{name:10} {one.seconds:8.3f} s   {one.result}")
    kinds = _kinds_of_mistakes(gold, predicted)
    print(f"kinds of mistakes besides: {kinds:.3f} s")
    seconds = timed["ours"].seconds
    same = len({one.result for one in timed.values()}) == 1
    theirs = {name: round(one.seconds, 3) for name, one in timed.items() if name != "ours"}
    result = {"name": "scoring", "words": words, "budget": BUDGET, "machine": about}
    result |= {"ours": {"seconds": round(seconds, 3), "mistakes_seconds": round(kinds, 3)}}
    result |= {"theirs": theirs, "same_counts": same}
    result |= {"ratio": {name: round(value / seconds, 1) for name, value in theirs.items()}}
    result |= {"pass": same and seconds <= BUDGET["seconds"]}
    return finish(result, keep=not small)


def taggings(words: int) -> tuple[Tags, Tags]:
    """Give gold and predicted IOB2 tags of at least so many words."""
    chance = random.Random(5)
    corpus = load_corpus(DataConfig(source="bundled"), seed=1)
    once = [SCHEMES["IOB2"].encode(one.spans, len(one.words)) for one in corpus.train]
    gold = once * (words // sum(map(len, once)) + 1)
    tags = sorted({tag for row in once for tag in row})
    wrong = [[chance.choice(tags) if chance.random() < 0.1 else tag for tag in row] for row in gold]
    return gold, wrong


def _fastest(score: Callable[[Tags, Tags], Scored], gold: Tags, predicted: Tags) -> Timed:
    runs = []
    for _ in range(REPEATS):
        began = time.perf_counter()
        result = score(gold, predicted)
        runs.append(Timed(time.perf_counter() - began, result))
    return min(runs, key=lambda run: run.seconds)


def _ours(gold: Tags, predicted: Tags) -> Scored:
    scheme = SCHEMES["IOB2"]
    true, guessed = ([scheme.decode(tags) for tags in side] for side in (gold, predicted))
    types = sorted({span.type for side in (true, guessed) for spans in side for span in spans})
    counts = count(true, guessed, [len(tags) for tags in gold], types)
    return Scored(*(int(part.sum()) for part in (counts.tp, counts.fp, counts.fn)))


def _seqeval(gold: Tags, predicted: Tags) -> Scored:
    from seqeval.metrics import (  # type: ignore[import-untyped]
        accuracy_score,
        classification_report,
    )

    accuracy_score(gold, predicted)
    micro = classification_report(gold, predicted, output_dict=True, zero_division=0)["micro avg"]
    found = round(micro["recall"] * micro["support"])
    guessed = round(found / micro["precision"])
    return Scored(found, guessed - found, int(micro["support"]) - found)


def _seqscore(gold: Sequence[Sequence[str]], predicted: Sequence[Sequence[str]]) -> Scored:
    from seqscore.scoring import score_label_sequences  # type: ignore[import-untyped]

    scores, _ = score_label_sequences(predicted, gold, "BIO", repair="conlleval")
    return Scored(scores.true_pos, scores.false_pos, scores.false_neg)


def _kinds_of_mistakes(gold: Tags, predicted: Tags) -> float:
    scheme = SCHEMES["IOB2"]
    true, guessed = ([scheme.decode(tags) for tags in side] for side in (gold, predicted))
    began = time.perf_counter()
    mistakes(true, guessed)
    return time.perf_counter() - began


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
