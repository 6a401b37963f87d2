"""The formats by name: which files have them, and who reads them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tokcls.data.readers.arrow import read_parquet
from tokcls.data.readers.conll import read_conll
from tokcls.data.readers.jsonl import parse_object, read_jsonl
from tokcls.data.readers.rules import Rules
from tokcls.data.readers.table import has_header, read_csv, read_tsv
from tokcls.data.readers.tagged import FileRead
from tokcls.data.readers.text import lines_of


@dataclass(frozen=True)
class Format:
    """A format: its reader, and the endings that files in it have."""

    read: Callable[[Path, Rules], FileRead]
    suffixes: tuple[str, ...]


FORMATS: Mapping[str, Format] = {
    "conll": Format(
        read_conll, ("", ".txt", ".conll", ".conllu", ".iob", ".iob2", ".bio", ".bioes", ".bmes")
    ),
    "jsonl": Format(read_jsonl, (".jsonl", ".json")),
    "csv": Format(read_csv, (".csv",)),
    "tsv": Format(read_tsv, (".tsv",)),
    "parquet": Format(lambda path, rules: read_parquet([path], rules), (".parquet",)),
}
SUFFIXES = tuple(suffix for format_ in FORMATS.values() for suffix in format_.suffixes)
# Endings that do not settle the format; the first line does.
_OPEN = ("", ".txt", ".tsv")
_HEAD = 1 << 20


def read_split(paths: Sequence[Path], rules: Rules) -> FileRead:
    """Read the file of a split, or the parts of a Parquet file.

    Raises:
        CorpusError: something is wrong with it; all problems are in the error.
    """
    if len(paths) > 1:
        return read_parquet(paths, rules)
    return FORMATS[format_of(paths[0], rules)].read(paths[0], rules)


def format_of(path: Path, rules: Rules) -> str:
    """Tell the format of a file: the one given, else by its ending and its first line.

    A `.tsv` file without a header that names sentence, word and tag is CoNLL columns, and so is
    everything with an unknown ending, unless its first line is a JSON object.
    """
    if rules.format != "auto":
        return rules.format
    suffix = path.suffix.lower()
    for name, format_ in FORMATS.items():
        if suffix in format_.suffixes and suffix not in _OPEN:
            return name
    head = _first_line(path)
    if has_header(head, rules.columns):
        return "tsv"
    return "jsonl" if head.startswith("{") and isinstance(parse_object(head), dict) else "conll"


def _first_line(path: Path) -> str:
    """Give the first line that is not blank; nothing where the file cannot be read."""
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD)
    except (OSError, ValueError):
        return ""
    lines = lines_of(head.decode("utf-8-sig", errors="replace"))
    return next((line for line in lines if line.strip()), "")
