"""Reads JSON lines: an object a line, with tokens and tags or with a text and offsets."""

from __future__ import annotations

import json
from pathlib import Path
from reprlib import repr as short
from typing import Any

from tokcls.data.readers.records import Records, find_keys, missing, rivals
from tokcls.data.readers.rules import Rules
from tokcls.data.readers.tagged import Drafts, check_tag
from tokcls.data.readers.text import lines_of, read_text
from tokcls.errors import CorpusError, Problem

NAMES = "label_names"


def draft_jsonl(path: Path, rules: Rules) -> Drafts:
    """Read one file of JSON lines in UTF-8.

    A line has `tokens` (or `words`) and `ner_tags`, `tags`, `label_tags` or `labels`, all names or
    numbers; or it has `text` and `entities` or `spans`, a list of maps of `start`, `end` and
    `label`, in characters. The names of numbers stand under `label_names`, in the same line or
    in one before it, by itself or not. `document` (or `document_id`, `doc_id`) is what sentences of
    one text have in common. Blank lines are passed over.

    Raises:
        CorpusError: the file cannot be read, or is a list.
    """
    records = Records(str(path), rules)
    text = read_text(path)
    if text.lstrip().startswith("["):
        # Told once: of a list that is spread over lines, every line would be wrong.
        first = text[: text.index("[")].count("\n") + 1
        message = "is a JSON list; write one object a line, as `jq -c '.[]'` does"
        raise CorpusError([Problem(message, str(path), first)])
    for number, line in enumerate(lines_of(text), start=1):
        if line.strip():
            _add(line, number, records)
    return records.drafts()


def parse_object(line: str) -> dict[str, Any] | str:
    """Parse one line strictly; give the object, or what is wrong."""
    try:
        value = json.loads(line, object_pairs_hook=_no_doubles, parse_constant=_no_constant)
    except RecursionError:
        return "is nested too deeply to be read"
    except json.JSONDecodeError as error:
        hint = "; is the line cut off?" if _is_cut(line, error) else ""
        return f"is not JSON at character {error.pos + 1}: {error.msg}{hint}"
    except ValueError as error:
        return f"is not JSON: {error}"
    if not isinstance(value, dict):
        return f"is {short(value)}; expected one JSON object a line"
    return value


def _is_cut(line: str, error: json.JSONDecodeError) -> bool:
    """Tell whether an object may go on where the line ends."""
    line = line.strip()
    ends = error.pos >= len(line) or error.msg.startswith("Unterminated string")
    return ends or (line.startswith("{") and not line.endswith("}"))


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
    if message := rivals(record, records.rules.columns):
        records.wrong(message, number)
        return
    keys = find_keys(record, records.rules.columns)
    if keys is None:
        records.wrong(missing(record, records.rules.columns), number)
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
