"""Many texts: read, predicted and written in chunks, in order, from where an earlier run was."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from itertools import accumulate, islice
from pathlib import Path
from typing import Any

from tokcls.errors import InputError
from tokcls.inference.predictor import Predictor
from tokcls.inference.records import Record, files_of, read_records
from tokcls.inference.written import Output, as_line

RECORDS, CHARACTERS = 2048, 200_000  # of a chunk at most; a longer text is one by itself


@dataclass(frozen=True)
class Chunk:
    """Records that are predicted together; `end` counts the bytes of all files up to there."""

    records: tuple[Record, ...]
    end: int


@dataclass(frozen=True)
class Answered:
    """What became of a chunk: its answers, a JSON line for each of `count` records."""

    lines: str
    count: int
    end: int


Answer = Callable[[Sequence[Path], int], Iterator[Answered]]
"""from files, and how many of their records are done, to the answers to the others, in order"""


def predict_files(
    predictor: Predictor,
    given: str | Path,
    output: str | Path,
    *,
    told: Callable[[int, int], None] = lambda done, total: None,
    answer: Answer | None = None,
) -> int:
    """Predict every text of a file or folder into `output`; gives how many there are.

    `told` hears how many bytes of the input are done. What an earlier run has left of the same
    work is kept. `answer` predicts elsewhere what `predictor` would; unset, it is done here.

    Raises:
        InputError: the input cannot be read, or the output is there already or cannot be written.
    """
    files, target = files_of(given), Output(Path(output))
    target.check()
    if Path(given).is_dir() and target.path.absolute().parent == Path(given).absolute():
        raise InputError(f"{output} would be among the files to be read; put it elsewhere")
    total = sum(path.stat().st_size for path in files)
    count = target.begun(_about(predictor, files))
    try:
        for answered in (answer or partial(_answer_here, predictor))(files, count):
            target.add(answered.lines)
            count += answered.count
            told(answered.end, total)
    except BaseException:
        target.leave()
        raise
    target.finish()
    return count


def _answer_here(predictor: Predictor, files: Sequence[Path], done: int) -> Iterator[Answered]:
    return (answered(predictor, chunk) for chunk in chunks(files, done))


def answered(predictor: Predictor, chunk: Chunk) -> Answered:
    """Predict a chunk."""
    records = chunk.records
    texts = iter(predictor.predict_texts([r.text for r in records if r.text is not None]))
    words = iter(predictor.predict_words([r.words for r in records if r.text is None]))
    lines = (as_line(each, next(words if each.text is None else texts)) for each in records)
    return Answered("".join(lines), len(records), chunk.end)


def chunks(files: Sequence[Path], done: int) -> Iterator[Chunk]:
    """Read files as chunks, but for the first `done` records.

    Raises:
        InputError: a file cannot be read; with its line.
    """
    begins = accumulate((path.stat().st_size for path in files), initial=0)
    placed = (
        (begin + record.end, record)
        for begin, path in zip(begins, files, strict=False)
        for record in read_records(path)
    )
    chunk: list[Record] = []
    size = reached = 0
    for end, record in islice(placed, done, None):
        if chunk and (len(chunk) == RECORDS or size + record.size > CHARACTERS):
            yield Chunk(tuple(chunk), reached)
            chunk, size = [], 0
        chunk.append(record)
        size, reached = size + record.size, end
    if chunk:
        yield Chunk(tuple(chunk), reached)


def _about(predictor: Predictor, files: Sequence[Path]) -> dict[str, Any]:
    """What answers depend on; a file that was touched is another."""
    stats = [(path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in files]
    manifest = json.dumps(asdict(predictor.manifest), sort_keys=True)
    model = hashlib.sha256(manifest.encode()).hexdigest()
    return {"model": model, "engine": predictor.engine, "input": [list(each) for each in stats]}
