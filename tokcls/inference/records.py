"""Texts to be predicted, read from files one after the other, so that memory stays as it is.

.txt .text              a line is a text; blank lines are left out
.jsonl .ndjson          a line is an object with `text`, or with `words` or `tokens`
.conll .iob .iob2 .bio  a word a line, in the first column; a blank line ends a sentence
.parquet                rows with a column `text`, or `words` or `tokens`
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from tokcls.data.readers.conll import is_comment, is_mark
from tokcls.data.words import check_characters
from tokcls.errors import InputError

ROWS_AT_ONCE = 1024
WORDS = ("words", "tokens")


@dataclass(frozen=True)
class Record:
    """A text, or the words of a sentence; `source` says where it stands, `end` how far that is.

    `end` counts bytes of the file, so that progress can be told.
    """

    source: str
    end: int
    text: str | None = None
    words: tuple[str, ...] = ()

    @property
    def size(self) -> int:
        """Characters."""
        return len(self.text) if self.text is not None else sum(map(len, self.words))


def files_of(given: str | Path) -> list[Path]:
    """Give a file, or the files of a folder in the order of their names, without hidden ones.

    Raises:
        InputError: there is nothing, or a file of no known kind.
    """
    top = Path(given)
    # Systems leave hidden files in any folder, such as .DS_Store.
    found = [top] if top.is_file() else sorted(path for path in top.glob("[!.]*") if path.is_file())
    if not found:
        raise InputError(f"{given}: no such file, and no folder with files")
    wrong = [path for path in found if path.suffix.lower() not in READERS]
    if wrong:
        raise InputError(f"{wrong[0]}: a file must end in one of {', '.join(READERS)}")
    return found


def read_records(path: Path) -> Iterator[Record]:
    """Read the records of a file.

    Raises:
        InputError: the file cannot be read; with its line.
    """
    try:
        yield from READERS[path.suffix.lower()](path)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error})") from error


@dataclass(frozen=True)
class _Line:
    number: int
    text: str
    end: int


def _lines(path: Path) -> Iterator[_Line]:
    with path.open("rb") as stream:
        yield from _decoded(stream, path)


def _decoded(stream: BinaryIO, path: Path) -> Iterator[_Line]:
    end = 0
    for number, line in enumerate(stream, 1):
        end += len(line)
        try:
            text = line.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n")
        except UnicodeDecodeError:
            raise InputError(f"{path}:{number}: not UTF-8; convert the file first") from None
        yield _Line(number, text, end)


def _of_text(path: Path) -> Iterator[Record]:
    for line in _lines(path):
        if line.text.strip():
            yield Record(f"{path.name}:{line.number}", line.end, line.text)


def _of_jsonl(path: Path) -> Iterator[Record]:
    for line in _lines(path):
        if not line.text.strip():
            continue
        place = f"{path}:{line.number}"
        try:
            plain = json.loads(line.text)
        except (ValueError, RecursionError):
            raise InputError(f"{place}: not a JSON object") from None
        if not isinstance(plain, dict):
            raise InputError(f"{place}: not a JSON object")
        yield _record(plain, place, f"{path.name}:{line.number}", line.end)


def _of_conll(path: Path) -> Iterator[Record]:
    words: list[str] = []
    begin = end = 0
    for line in _lines(path):
        if is_mark(line.text) or (not words and is_comment(line.text)):
            continue
        cells = line.text.split("\t") if "\t" in line.text else line.text.split()
        if line.text.strip():
            if not cells[0].strip():
                raise InputError(f"{path}:{line.number}: the first column has no word")
            begin = begin or line.number
            words.append(cells[0].strip())
        elif words:
            yield Record(f"{path.name}:{begin}", line.end, words=tuple(words))
            words, begin = [], 0
        end = line.end
    if words:
        yield Record(f"{path.name}:{begin}", end, words=tuple(words))


def _of_parquet(path: Path) -> Iterator[Record]:
    from pyarrow import ArrowInvalid
    from pyarrow.parquet import ParquetFile

    size = path.stat().st_size
    try:
        with ParquetFile(path) as file:
            names = [name for name in ("text", *WORDS) if name in file.schema_arrow.names]
            if not names:
                raise InputError(f"{path}: no column is named text, words or tokens")
            number, rows = 0, max(1, file.metadata.num_rows)
            for batch in file.iter_batches(batch_size=ROWS_AT_ONCE, columns=names):
                for row in batch.to_pylist():
                    number += 1
                    place = f"{path}: row {number}"
                    yield _record(row, place, f"{path.name}:{number}", size * number // rows)
    except ArrowInvalid as error:
        raise InputError(f"{path}: not a Parquet file ({error})") from error


def _record(plain: Mapping[str, Any], place: str, source: str, end: int) -> Record:
    text = plain.get("text")
    if text is not None:
        if not isinstance(text, str):
            raise InputError(f"{place}: `text` must be a string")
        check_characters(text, name=place)
        return Record(source, end, text)
    words = next((plain[name] for name in WORDS if plain.get(name) is not None), None)
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise InputError(f"{place}: there must be a `text`, or a list of strings as `words`")
    for number, word in enumerate(words):
        check_characters(word, name=f"{place}: words[{number}]")
    return Record(source, end, words=tuple(words))


READERS: Mapping[str, Callable[[Path], Iterator[Record]]] = {
    **dict.fromkeys((".txt", ".text"), _of_text),
    **dict.fromkeys((".jsonl", ".ndjson"), _of_jsonl),
    **dict.fromkeys((".conll", ".iob", ".iob2", ".bio"), _of_conll),
    ".parquet": _of_parquet,
}
