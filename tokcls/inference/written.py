"""Answers to many texts, written one a line beside the file they are to become.

    OUTPUT.part       answers so far, JSON lines: what a command that is run again goes on from
    OUTPUT.part.json  what they are answers to: input files and model

The last step makes OUTPUT of it, whole or not at all.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from tokcls.errors import InputError
from tokcls.inference.bundle import write_whole
from tokcls.inference.predictor import Entity
from tokcls.inference.records import Record

ROWS_AT_ONCE = 1024


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Say what can be done where a block fails to write `path` or what stands beside it.

    Raises:
        InputError: instead of OSError.
    """
    try:
        yield
    except OSError as error:
        raise InputError(
            f"{path}: answers cannot be written there ({error.strerror or error}); make room or "
            "mend it, and the same command goes on from the answers so far, or name another output"
        ) from error


@dataclass(frozen=True)
class Output:
    """Where answers go; what cannot be written is an InputError that says what to do."""

    path: Path

    @property
    def part(self) -> Path:
        return self.path.with_name(f"{self.path.name}.part")

    @property
    def about(self) -> Path:
        return self.path.with_name(f"{self.path.name}.part.json")

    def check(self) -> None:
        """Refuse a file that is there, or of no known kind.

        Raises:
            InputError: with what to do.
        """
        if self.path.suffix.lower() not in WRITERS:
            raise InputError(f"{self.path}: an output must end in one of {', '.join(WRITERS)}")
        with writing(self.path):
            there, folder = self.path.exists(), self.path.absolute().parent.is_dir()
        if there:
            raise InputError(f"{self.path} is there already; remove it, or name another output")
        if not folder:
            raise InputError(f"{self.path}: there is no folder {self.path.absolute().parent}")

    def begun(self, about: Mapping[str, Any]) -> int:
        """Say how many answers an earlier run has left, and forget a torn one.

        Raises:
            InputError: they are answers to something else.
        """
        with writing(self.path):
            return self._begun(about)

    def _begun(self, about: Mapping[str, Any]) -> int:
        if not (self.about.is_file() and self.part.is_file() and self.part.stat().st_size):
            self.part.write_bytes(b"")
            write_whole(self.about, json.dumps(about))
            return 0
        if json.loads(self.about.read_text(encoding="utf-8")) != about:
            raise InputError(
                f"{self.part} has answers of another model or to other files; remove {self.part} "
                f"and {self.about}, or name another output"
            )
        whole = lines = 0
        with self.part.open("rb+") as stream:
            for line in stream:
                if line.endswith(b"\n"):
                    whole, lines = whole + len(line), lines + 1
            stream.truncate(whole)
        return lines

    def add(self, lines: str) -> None:
        """Append answers, as `as_line` writes them."""
        with writing(self.path), self.part.open("a", encoding="utf-8") as stream:
            stream.write(lines)

    def finish(self) -> None:
        """Make the output of all answers; what they were answers to is of no use then."""
        with writing(self.path):
            made = WRITERS[self.path.suffix.lower()](self.part)
            with made.open("rb+") as stream:
                os.fsync(stream.fileno())
            made.replace(self.path)
            self.about.unlink(missing_ok=True)
            self.part.unlink(missing_ok=True)

    def leave(self) -> None:
        """Remove what stands beside the output where it holds no answer to go on from."""
        if self.part.is_file() and not self.part.stat().st_size:
            self.about.unlink(missing_ok=True)
            self.part.unlink()


def as_line(record: Record, entities: Sequence[Entity]) -> str:
    """Write one answer as a line of JSON."""
    given: dict[str, Any] = {"source": record.source}
    given |= {"words": record.words} if record.text is None else {"text": record.text}
    given["entities"] = [entity.as_dict() for entity in entities]
    return json.dumps(given, ensure_ascii=False) + "\n"


def _answers(part: Path) -> Iterator[dict[str, Any]]:
    with part.open(encoding="utf-8") as stream:
        for line in stream:
            yield json.loads(line)


def _as_lines(part: Path) -> Path:
    return part


def _as_conll(part: Path) -> Path:
    """Write words and their IOB2 tags; a text's words are those that the model was shown."""
    made = part.with_name(f"{part.name}.made")
    with made.open("w", encoding="utf-8") as stream:
        for answer in _answers(part):
            for word, tag in _tagged(answer):
                stream.write(f"{word}\t{tag}\n")
            stream.write("\n")
    return made


def _tagged(answer: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    from tokcls.data.words import split

    if "words" in answer:
        placed = [(word, at, at + 1) for at, word in enumerate(answer["words"])]
        wrong = next((word for word, _, _ in placed if word.split() != [word]), None)
        if wrong is not None:
            raise InputError(
                f"{answer['source']}: the word {wrong!r} is empty or has blanks, which CoNLL "
                "cannot hold; name an output that ends in .jsonl"
            )
    else:
        placed = [(word.text, word.start, word.end) for word in split(answer["text"])]
    entities = iter(answer["entities"])
    entity = next(entities, None)
    for word, start, end in placed:
        while entity is not None and entity["end"] <= start:
            entity = next(entities, None)
        if entity is None or end <= entity["start"]:
            yield word, "O"
        else:
            yield word, f"{'B' if start == entity['start'] else 'I'}-{entity['entity_group']}"


def _as_parquet(part: Path) -> Path:
    import pyarrow
    from pyarrow import parquet

    entity = pyarrow.struct(
        [
            ("entity_group", pyarrow.string()),
            ("score", pyarrow.float64()),
            ("word", pyarrow.string()),
            ("start", pyarrow.int64()),
            ("end", pyarrow.int64()),
        ]
    )
    schema = pyarrow.schema(
        [
            ("source", pyarrow.string()),
            ("text", pyarrow.string()),
            ("words", pyarrow.list_(pyarrow.string())),
            ("entities", pyarrow.list_(entity)),
        ]
    )
    made = part.with_name(f"{part.name}.made")
    answers = _answers(part)
    with parquet.ParquetWriter(made, schema) as writer:
        while rows := list(islice(answers, ROWS_AT_ONCE)):
            writer.write_table(pyarrow.Table.from_pylist(rows, schema=schema))
    return made


WRITERS: Mapping[str, Callable[[Path], Path]] = {
    ".jsonl": _as_lines,
    ".conll": _as_conll,
    ".parquet": _as_parquet,
}
