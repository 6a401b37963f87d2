"""The list of all keys, for a terminal and for the manual; both are made from the models."""

from __future__ import annotations

import difflib
import textwrap

from sweeps.space.config import SECTIONS
from sweeps.space.key_table import Key, key_table, section_notes
from tokcls.errors import ConfigError, Problem

_NESTED = "required in the map"


def keys_text(section: str | None = None) -> str:
    """Write the keys of one section, or of all, for a terminal.

    Raises ConfigError for a section that does not exist.
    """
    if section is not None and section not in SECTIONS:
        close = difflib.get_close_matches(section, SECTIONS, n=1)
        meant = f"did you mean `{close[0]}`? " if close else ""
        message = f"unknown section `{section}`; {meant}sections are {', '.join(SECTIONS)}"
        raise ConfigError([Problem(message)])
    blocks = [] if section else [_entry(key_table()["name"])]
    for name in [section] if section else SECTIONS:
        entries = [_entry(key) for key in _keys_of(name)]
        blocks.append("\n".join([f"{name}: {section_notes()[name]}", *entries]))
    return "\n\n".join(blocks) + "\n"


def keys_markdown() -> str:
    """Write one Markdown table a section."""
    head = "| key | type | default | meaning |\n| --- | --- | --- | --- |"
    parts = ["\n".join([head, _row(key_table()["name"])])]
    for name in SECTIONS:
        rows = [_row(key) for key in _keys_of(name)]
        parts.append("\n".join([f"### {name}\n\n{section_notes()[name]}\n", head, *rows]))
    return "\n\n".join(parts) + "\n"


def _keys_of(section: str) -> list[Key]:
    return [key for path, key in key_table().items() if path.startswith(f"{section}.")]


def _default(key: Key) -> str:
    if key.default is not None:
        return key.default
    return _NESTED if key.path.count(".") > 1 else "required"


def _entry(key: Key) -> str:
    described = textwrap.fill(key.description, 92, initial_indent="    ", subsequent_indent="    ")
    return f"  {key.path} = {_default(key)}\n    {key.expects}\n{described}"


def _row(key: Key) -> str:
    default = _default(key)
    cell = default if key.default is None or " " in default else f"`{default}`"
    return f"| `{key.path}` | {key.expects} | {cell} | {key.description} |"
