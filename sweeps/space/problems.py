"""From what is wrong to plain words with a place: a line of the file, or an override."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from sweeps.space.config import SECTIONS
from sweeps.space.key_table import children, key_table
from sweeps.space.verbs import FORMS
from sweeps.space.yaml_nodes import KeyPath, dotted, scalar
from sweeps.space.yaml_text import shown
from tokcls.errors import Problem

# What the same thing is called elsewhere, where the spelling gives no hint.
_ELSEWHERE: Mapping[str, str] = {
    "lr": "train.learning_rate",
    "max_grad_norm": "train.clip",
    "dataset": "data.source",
    "dev": "data.source.validation",
    "pretrained": "model.backbone",
    "num_samples": "search.trials",
    "n_trials": "search.trials",
}


@dataclass(frozen=True)
class Places:
    """Where each value was written; an override hides the line of the file.

    `overrides` are those that took effect, `given` all of them in their order.
    """

    file: str
    lines: Mapping[KeyPath, int]
    overrides: Mapping[KeyPath, str] = field(default_factory=dict)
    given: tuple[str, ...] = ()

    def problem(self, path: KeyPath, message: str) -> Problem:
        """Place a message at its key, or at the nearest section above that the file has."""
        for length in range(len(path), 0, -1):
            if text := self.overrides.get(path[:length]):
                inner = f"{dotted(path)}: {message}" if length < len(path) else message
                return Problem(inner, f"override {text}")
            if line := self.lines.get(path[:length]):
                return Problem(message, self.file, line, dotted(path))
        return Problem(message, self.file, 0, dotted(path))

    def ordered(self, problems: Iterable[Problem]) -> list[Problem]:
        """Drop repetitions and sort: the file from top to bottom, then the overrides as given."""
        given = [f"override {text}" for text in self.given]

        def rank(problem: Problem) -> tuple[int, int]:
            if problem.file in given:
                return given.index(problem.file), 0
            return -1, problem.line or sys.maxsize

        return sorted(dict.fromkeys(problems), key=rank)


def get(data: Any, path: KeyPath) -> Any:
    """Give the value at a path, None where there is none."""
    for key in path:
        data = data.get(key) if isinstance(data, Mapping) else None
    return data


def translate(error: ValidationError, data: Any) -> dict[KeyPath, str]:
    """Say each of pydantic's complaints about `data` in plain words, one a path."""
    found: dict[KeyPath, str] = {}
    details = error.errors(include_url=False)
    paths = [
        _key_path(detail["loc"], extra=detail["type"] == "extra_forbidden") for detail in details
    ]
    for path, detail in zip(paths, details, strict=True):
        # A map is judged as a map, and not as the text that could stand in its place.
        inside = any(len(other) > len(path) and other[: len(path)] == path for other in paths)
        if not inside:
            found.setdefault(path, _message(path, detail, get(data, path)))
    return found


def _key_path(location: tuple[int | str, ...], *, extra: bool) -> KeyPath:
    """Drop the names that pydantic gives to the branches of a union."""
    path: tuple[int | str, ...] = ()
    for index, name in enumerate(location):
        known = name in children(dotted(path))
        if known or (extra and index == len(location) - 1):
            path = (*path, name)
    return path


def _message(path: KeyPath, detail: Any, value: Any) -> str:
    key = key_table().get(dotted(path))
    if detail["type"] == "extra_forbidden":
        return unknown_key(path)
    if detail["type"] == "value_error":
        return str(detail["ctx"]["error"])
    if key is None:
        return f"must be a section with keys, got {shown(value)}"
    if detail["type"] == "missing":
        return f"is required: {key.description}"
    if detail["type"] == "string_too_short":
        return "must not be empty"
    if detail["type"] == "finite_number":
        return f"must be a finite number, got {shown(value)}"
    quoted = isinstance(value, str) and not isinstance(scalar(value), str) and value
    hint = " (text; take the quotes away)" if quoted else ""
    return f"must be {key.expects}, got {shown(value)}{hint}"


def unknown_key(path: KeyPath, *, full: bool = False) -> str:
    """Say that there is no such key, and which one may be meant (`full`: with its section)."""
    parent, name = dotted(path[:-1]), str(path[-1])
    if parent in SECTIONS and name in FORMS:
        return f"a verb stands in place of one value, not of the section `{parent}`"
    if name in key_table() and not parent:
        section, _, leaf = name.partition(".")
        return f"unknown key; write `{leaf}` under `{section}:`"
    meant = _meant(parent, name)
    if meant is None:
        where = f"`{parent}` knows" if parent else "a file has"
        return f"unknown key; {where} {', '.join(children(parent))}"
    section, _, leaf = meant.rpartition(".")
    shown_name = leaf if section == parent and not full else meant
    return f"unknown key; did you mean `{shown_name}`?"


def _meant(parent: str, name: str) -> str | None:
    prefix = f"{parent}." if parent else ""
    siblings = children(parent)
    everywhere = {path.rpartition(".")[2]: path for path in reversed(list(key_table()))}
    if name in everywhere:
        return everywhere[name]
    if close := difflib.get_close_matches(name, siblings, n=1):
        return prefix + close[0]
    words = set(name.split("_"))
    if sharing := [key for key in siblings if words & set(key.split("_"))]:
        return prefix + sharing[0]
    if name in _ELSEWHERE:
        return _ELSEWHERE[name]
    close = difflib.get_close_matches(name, everywhere, n=1)
    return everywhere[close[0]] if close else None
