"""The formats by name: which files have them, and who reads them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tokcls.data.readers.arrow import draft_parquet
from tokcls.data.readers.conll import draft_conll
from tokcls.data.readers.jsonl import draft_jsonl, parse_object
from tokcls.data.readers.rules import Rules
from tokcls.data.readers.table import draft_csv, draft_tsv, has_header, has_part_of_header
from tokcls.data.readers.tagged import Drafts, FileRead, assemble
from tokcls.data.readers.text import lines_of
from tokcls.errors import CorpusError


@dataclass(frozen=True)
class Format:
    """A format: its reader, and the endings that files in it have."""

    draft: Callable[[Path, Rules], Drafts]
    suffixes: tuple[str, ...]


FORMATS: Mapping[str, Format] = {
    "conll": Format(
        draft_conll, ("", ".txt", ".conll", ".conllu", ".iob", ".iob2", ".bio", ".bioes", ".bmes")
    ),
    "jsonl": Format(draft_jsonl, (".jsonl", ".json")),
    "csv": Format(draft_csv, (".csv",)),
    "tsv": Format(draft_tsv, (".tsv",)),
    "parquet": Format(draft_parquet, (".parquet",)),
}
SUFFIXES = tuple(suffix for format_ in FORMATS.values() for suffix in format_.suffixes)
# Endings that do not settle the format; the first line does.
_OPEN = ("", ".txt", ".tsv")
_HEAD = 1 << 20


def read_split(paths: Sequence[Path], rules: Rules) -> FileRead:
    """Read the file of a split, or the parts that it was cut into, in order.

    All parts are written as the first one is.

    Raises:
        CorpusError: something is wrong with it; all problems of all parts are in the error.
    """
    draft = FORMATS[format_of(paths[0], rules)].draft
    return assemble([_part(draft, path, rules) for path in paths], rules)


def _part(draft: Callable[[Path, Rules], Drafts], path: Path, rules: Rules) -> Drafts:
    try:
        return draft(path, rules)
    except CorpusError as error:
        return Drafts(str(path), problems=error.problems)


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
    if has_header(head, rules.columns) or (suffix == ".tsv" and has_part_of_header(head)):
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
