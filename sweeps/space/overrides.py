"""`key=value` behind the file: each replaces one value, and is read as YAML."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sweeps.space.config import SECTIONS
from sweeps.space.key_table import children, key_table
from sweeps.space.problems import unknown_key
from sweeps.space.yaml_nodes import KeyPath, parse
from tokcls.errors import Problem

Overrides = dict[KeyPath, str]


def apply(data: dict[str, Any], overrides: Sequence[str], problems: list[Problem]) -> Overrides:
    """Write each override into `data`; give its text by its path, and append what is wrong."""
    applied: Overrides = {}
    for text in overrides:
        message = _apply_one(data, text, applied)
        if message:
            problems.append(Problem(message, f"override {text}"))
    return applied


def _apply_one(data: dict[str, Any], text: str, applied: Overrides) -> str | None:
    key, equals, value = text.partition("=")
    path = tuple(key.strip().split("."))
    if not equals:
        return "must be key=value, such as train.epochs=1"
    if path in applied:
        return f"the same key is given twice, first as {applied[path]}"
    if message := _not_a_key(path):
        return message
    document = parse(value)
    if document.problems:
        return "; ".join(problem.message for problem in document.problems)
    _put(data, path, document.data)
    applied[path] = text
    return None


def _not_a_key(path: KeyPath) -> str | None:
    name = ".".join(map(str, path))
    if name in key_table():
        return None
    if name in SECTIONS:
        return f"`{name}` is a section; give one of its keys, such as {name}.{children(name)[0]}"
    return unknown_key(path, full=True)


def _put(data: dict[str, Any], path: KeyPath, value: Any) -> None:
    *parents, last = path
    for key in parents:
        inner = data.get(str(key))
        data[str(key)] = inner = inner if isinstance(inner, dict) else {}
        data = inner
    data[str(last)] = value
