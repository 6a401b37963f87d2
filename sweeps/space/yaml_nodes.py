"""From YAML text to plain data with a line for every key; strict, and in the spirit of YAML 1.2.

Stands on PyYAML's events and not on its constructors, which read `1e-5` as text and `NO` as false,
and keep the last of two equal keys silently. Knows nothing of sweeps.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import yaml

from tokcls.errors import ConfigError, Problem

KeyPath = tuple[str | int, ...]

MAX_BYTES = 1024 * 1024
MAX_DEPTH = 20

_WORDS: Mapping[str, Any] = {"": None, "~": None, "null": None, "true": True, "false": False}
_INT = re.compile(r"[-+]?[0-9]{1,18}")
_FLOAT = re.compile(
    r"[-+]?(\.[0-9]+|[0-9]+\.[0-9]*|[0-9]+(?=[eE]))([eE][-+]?[0-9]+)?|[-+]?\.inf|\.nan"
)


@dataclass(frozen=True)
class Document:
    """What a text says; `lines` knows the line (from 1) of every key and list item.

    `unread` are the paths whose values were refused, and are not to be judged.
    """

    data: Any
    lines: Mapping[KeyPath, int]
    problems: tuple[Problem, ...]
    unread: frozenset[KeyPath] = frozenset()


def dotted(path: KeyPath) -> str:
    """Write a path as messages show it: `train.epochs`."""
    return ".".join(map(str, path))


def scalar(text: str) -> Any:
    """Read an unquoted scalar: null, true, false, a whole number, a number, else text."""
    if text in _WORDS:
        return _WORDS[text]
    if _INT.fullmatch(text):
        return int(text)
    if _FLOAT.fullmatch(text):
        return float(text.replace(".inf", "inf").replace(".nan", "nan"))
    return text


def read_text(path: Path) -> str:
    """Read a file of at most one MiB of UTF-8; raise ConfigError when there is none."""
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except OSError as error:
        reason = {
            FileNotFoundError: "there is no such file",
            IsADirectoryError: "is a folder; give a YAML file in it",
        }.get(type(error), f"cannot be read: {error.strerror}")
        raise ConfigError([Problem(reason, str(path))]) from error
    if len(raw) > MAX_BYTES:
        raise ConfigError([Problem("is larger than 1 MiB; is this a search space?", str(path))])
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        message = f"is not UTF-8 (byte {raw[error.start]:#04x}); save it as UTF-8"
        raise ConfigError([Problem(message, str(path), line)]) from error


def parse(text: str, file: str = "") -> Document:
    """Read one YAML document; what is wrong with it is in `problems`, in the order of the text."""
    reader = _Reader(text, file)
    try:
        data = reader.document()
    except _StopReading:
        data = None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        reader.problem((), _syntax(error), mark.line + 1 if mark else 0)
        data = None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        reader.problem((), f"character {chr(_code(error))!r} is not allowed in YAML", line)
        data = None
    return Document(data, reader.lines, tuple(reader.problems), frozenset(reader.unread))


class _StopReading(Exception):
    """The rest of the text is not worth reading; the problem is noted."""


class _Reader:
    """Turns events into values, one call per node."""

    def __init__(self, text: str, file: str) -> None:
        self.text = text
        self.file = file
        self.lines: dict[KeyPath, int] = {}
        self.problems: list[Problem] = []
        self.unread: set[KeyPath] = set()
        self.events: Iterator[yaml.Event] = iter(())

    def problem(self, path: KeyPath, message: str, line: int) -> None:
        self.problems.append(Problem(message, self.file, line, dotted(path)))

    def stop(self, path: KeyPath, message: str, line: int) -> NoReturn:
        self.problem(path, message, line)
        raise _StopReading

    def document(self) -> Any:
        self.events = yaml.parse(self.text, Loader=yaml.SafeLoader)
        next(self.events)
        if isinstance(next(self.events), yaml.StreamEndEvent):
            return None
        data = self.value(next(self.events), ())
        next(self.events)
        after = next(self.events)
        if not isinstance(after, yaml.StreamEndEvent):
            self.stop((), "a second document starts here; one file is one sweep", _line(after))
        return data

    def value(self, event: yaml.Event, path: KeyPath) -> Any:
        self.lines.setdefault(path, _line(event))
        self.refuse_extras(event, path)
        if len(path) > MAX_DEPTH:
            self.stop((), f"nested deeper than {MAX_DEPTH} levels", _line(event))
        if isinstance(event, yaml.MappingStartEvent):
            return self.mapping(path)
        if isinstance(event, yaml.SequenceStartEvent):
            return self.sequence(path)
        if isinstance(event, yaml.ScalarEvent):
            return scalar(event.value) if event.style is None else event.value
        return None

    def refuse_extras(self, event: yaml.Event, path: KeyPath) -> None:
        if anchor := getattr(event, "anchor", None):
            kind = "alias *" if isinstance(event, yaml.AliasEvent) else "anchor &"
            self.unread.add(path)
            self.problem(path, f"{kind}{anchor} is not read; write the value itself", _line(event))
        if tag := getattr(event, "tag", None):
            short = tag.replace("tag:yaml.org,2002:", "!!")
            self.unread.add(path)
            self.problem(path, f"tag {short} is not read; write a plain value", _line(event))

    def sequence(self, path: KeyPath) -> list[Any]:
        items: list[Any] = []
        while not isinstance(event := next(self.events), yaml.SequenceEndEvent):
            items.append(self.value(event, (*path, len(items))))
        return items

    def mapping(self, path: KeyPath) -> dict[str, Any]:
        items: dict[str, Any] = {}
        while not isinstance(event := next(self.events), yaml.MappingEndEvent):
            if not isinstance(event, yaml.ScalarEvent):
                self.stop(path, "a key must be plain text", _line(event))
            self.refuse_extras(event, path)
            key, line = event.value, _line(event)
            inner = (*path, key)
            if key in items:
                first = self.lines[inner]
                self.problem(inner, f"is given twice, first on line {first}; keep one", line)
            self.lines.setdefault(inner, line)
            value = self.value(next(self.events), inner)
            items.setdefault(key, value)
        return items


def _line(event: yaml.Event) -> int:
    return event.start_mark.line + 1 if event.start_mark else 0


def _code(error: yaml.reader.ReaderError) -> int:
    return error.character if isinstance(error.character, int) else ord(error.character)


def _syntax(error: yaml.MarkedYAMLError) -> str:
    problem = error.problem or "cannot be read"
    if "'\\t'" in problem:
        return "a tab stands where YAML wants spaces; indent with spaces"
    context = f" {error.context}" if error.context else ""
    return f"not valid YAML: {problem}{context}"
