"""From values and verbs to YAML text that `yaml_nodes` reads back as the same values."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from sweeps.space.verbs import Choice, Uniform
from sweeps.space.yaml_nodes import scalar

_PLAIN = re.compile(r"[A-Za-z0-9_./~-](?:[A-Za-z0-9_./ +~-]*[A-Za-z0-9_./+~-])?")


def inline(value: Any) -> str:
    """Write a value or a verb on one line."""
    if isinstance(value, Choice | Uniform):
        return f"{{{value.verb}: {inline(value.args)}}}"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{inline(k)}: {inline(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(inline, value)) + "]"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, float):
        return _number(value)
    return _text(value) if isinstance(value, str) else str(value)


def block(document: Mapping[str, Any]) -> str:
    """Write a file: sections as blocks of one key a line, everything deeper on one line."""
    lines: list[str] = []
    for key, value in document.items():
        if isinstance(value, Mapping) and value:
            lines.append(f"{inline(key)}:")
            lines += [f"  {inline(inner)}: {inline(item)}" for inner, item in value.items()]
        else:
            lines.append(f"{inline(key)}: {inline(value)}")
    return "\n".join(lines) + "\n"


def shown(value: Any, *, limit: int = 60) -> str:
    """Write a value for a message: text in quotes, long values cut."""
    text = repr(value) if isinstance(value, str) else inline(value)
    return text if len(text) <= limit else f"{text[:limit]}..."


def _number(value: float) -> str:
    """A dot before the exponent, so that YAML 1.1 readers see a number too."""
    mantissa, e, exponent = repr(value).partition("e")
    if "n" in mantissa:
        return {"inf": ".inf", "-inf": "-.inf", "nan": ".nan"}[mantissa]
    return mantissa + ("" if "." in mantissa else ".0") + e + exponent


def _text(value: str) -> str:
    # A leading dash, or a value that reads as a number, would not come back as the same text.
    if _PLAIN.fullmatch(value) and not value.startswith(("-", "~")) and scalar(value) == value:
        return value
    escaped = {'"': '\\"', "\\": "\\\\"}
    letters = (
        escaped.get(letter, letter if letter.isprintable() else f"\\U{ord(letter):08x}")
        for letter in value
    )
    return f'"{"".join(letters)}"'
