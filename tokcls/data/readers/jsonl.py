"""Reads JSON lines: an object a line, with tokens and tags or with a text and offsets."""

from __future__ import annotations

import json
from pathlib import Path
from reprlib import repr as short
from typing import Any

from tokcls.data.readers.records import EXPECTED, Records, find_keys
from tokcls.data.readers.rules import Rules
from tokcls.data.readers.tagged import FileRead, check_tag
from tokcls.data.readers.text import lines_of, read_text

NAMES = "label_names"


def read_jsonl(path: str | Path, rules: Rules | None = None) -> FileRead:
    """Read one file of JSON lines in UTF-8.

    A line has `tokens` (or `words`) and `ner_tags`, `tags`, `label_tags` or `labels`, all names or
    numbers; or it has `text` and `entities` or `spans`, a list of maps of `start`, `end` and
    `label`, in characters. The names of numbers stand under `label_names`, in the same line or
    in one before it, by itself or not. `document` (or `document_id`, `doc_id`) is what sentences of
    one text have in common. Blank lines are passed over.

    Raises:
        CorpusError: the file cannot be read, or has lines that are no such object; it holds all
            problems of the file.
    """
    rules = rules or Rules()
    records = Records(str(path), rules)
    for number, line in enumerate(lines_of(read_text(Path(path))), start=1):
        if line.strip():
            _add(line, number, records)
    return records.read()


def parse_object(line: str) -> dict[str, Any] | str:
    """Parse one line strictly; give the object, or what is wrong."""
    try:
        value = json.loads(line, object_pairs_hook=_no_doubles, parse_constant=_no_constant)
    except RecursionError:
        return "is nested too deeply to be read"
    except json.JSONDecodeError as error:
        cut = "; is the line cut off?" if error.pos >= len(line.rstrip()) else ""
        return f"is not JSON at character {error.pos + 1}: {error.msg}{cut}"
    except ValueError as error:
        return f"is not JSON: {error}"
    if not isinstance(value, dict):
        return f"is {short(value)}; expected one JSON object a line"
    return value


def _add(line: str, number: int, records: Records) -> None:
    record = parse_object(line)
    if isinstance(record, str):
        records.wrong(record, number)
        return
    if NAMES in record:
        if problem := _check_names(record[NAMES]):
            records.wrong(problem, number)
            return
        records.names = record[NAMES]
        if len(record) == 1:
            return
    keys = find_keys(record, records.rules.columns)
    if keys is None:
        given = records.rules.columns.model_dump(exclude_none=True)
        expected = f"the keys of data.columns, {given}" if given else EXPECTED
        found = ", ".join(map(short, record)) or "no key"
        records.wrong(f"expected {expected}; found {found}", number)
        return
    records.add(record, keys, line=number)


def _check_names(names: Any) -> str:
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        return f"{NAMES} is {short(names)}; expected a list of tags such as B-PER"
    wrong = [problem for name in names if (problem := check_tag(name))]
    return f"{NAMES}: {wrong[0]}" if wrong else ""


def _no_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        double = next(key for key in found if keys.count(key) > 1)
        raise ValueError(f"the key {double!r} is given twice")
    return found


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON number")
