"""Many texts: read, predicted and written in chunks, in order, from where an earlier run was."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Any

from tokcls.errors import InputError
from tokcls.inference.predictor import Entity, Predictor
from tokcls.inference.records import Record, files_of, read_records
from tokcls.inference.written import Output

RECORDS, CHARACTERS = 2048, 200_000  # of a chunk at most; a longer text is one by itself


def predict_files(
    predictor: Predictor,
    given: str | Path,
    output: str | Path,
    *,
    told: Callable[[int, int], None] = lambda done, total: None,
) -> int:
    """Predict every text of a file or folder into `output`; gives how many there are.

    `told` hears how many bytes of the input are done. What an earlier run has left of the same
    work is kept.

    Raises:
        InputError: the input cannot be read, or the output is there already.
    """
    files, target = files_of(given), Output(Path(output))
    target.check()
    if Path(given).is_dir() and target.path.absolute().parent == Path(given).absolute():
        raise InputError(f"{output} would be among the files to be read; put it elsewhere")
    sizes = [path.stat().st_size for path in files]
    done = target.begun(_about(predictor, files))
    records = ((number, each) for number, path in enumerate(files) for each in read_records(path))
    count = sum(1 for _ in islice(records, done))
    for chunk in _chunks(records):
        target.add(_answered(predictor, [record for _, record in chunk]))
        number, last = chunk[-1]
        count += len(chunk)
        told(sum(sizes[:number]) + last.end, sum(sizes))
    target.finish()
    return count


def _about(predictor: Predictor, files: Sequence[Path]) -> dict[str, Any]:
    """What answers depend on; a file that was touched is another."""
    stats = [(path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in files]
    manifest = json.dumps(asdict(predictor.manifest), sort_keys=True)
    model = hashlib.sha256(manifest.encode()).hexdigest()
    return {"model": model, "input": [list(each) for each in stats]}


def _chunks(records: Iterator[tuple[int, Record]]) -> Iterator[list[tuple[int, Record]]]:
    chunk: list[tuple[int, Record]] = []
    size = 0
    for number, record in records:
        if chunk and (len(chunk) == RECORDS or size + record.size > CHARACTERS):
            yield chunk
            chunk, size = [], 0
        chunk.append((number, record))
        size += record.size
    if chunk:
        yield chunk


def _answered(predictor: Predictor, records: Sequence[Record]) -> list[tuple[Record, list[Entity]]]:
    texts = iter(predictor.predict_texts([r.text for r in records if r.text is not None]))
    words = iter(predictor.predict_words([r.words for r in records if r.text is None]))
    return [(record, next(words if record.text is None else texts)) for record in records]
