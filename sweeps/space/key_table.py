"""What every key expects, read off the pydantic models: for the manual, `--keys` and messages."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from sweeps.space.config import SECTIONS, SweepConfig
from sweeps.space.yaml_text import inline

_TYPES = {
    "boolean": "true or false",
    "integer": "a whole number",
    "number": "a number",
    "string": "text",
    "null": "null",
}
_BOUNDS = {
    "exclusiveMinimum": "greater than",
    "minimum": "of at least",
    "exclusiveMaximum": "less than",
    "maximum": "of at most",
}


@dataclass(frozen=True)
class Key:
    """One key; `default` is YAML text, None where a value must be given."""

    path: str
    expects: str
    default: str | None
    description: str
    takes_map: bool


@cache
def key_table() -> Mapping[str, Key]:
    """Give every key by its dotted path, in the order of the models."""
    schema = SweepConfig.model_json_schema()
    return {key.path: key for key in _keys(schema, schema["$defs"], "")}


@cache
def section_notes() -> Mapping[str, str]:
    """Give what each section is about, by its name."""
    schema = SweepConfig.model_json_schema()
    sections = {name: _target(field, schema["$defs"]) for name, field in _fields(schema)}
    return {name: node["description"] for name in SECTIONS if (node := sections[name])}


def children(parent: str) -> list[str]:
    """Give the names of the keys directly under a dotted path ("" for the top)."""
    if not parent:
        return ["name", *SECTIONS]
    prefix = f"{parent}."
    inner = [path.removeprefix(prefix) for path in key_table() if path.startswith(prefix)]
    return [name for name in inner if "." not in name]


def _fields(node: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    yield from node["properties"].items()


def _target(field: Mapping[str, Any], defs: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Give the section that a field refers to, if it is one and nothing else."""
    reference = field.get("$ref") or next((r["$ref"] for r in field.get("allOf", ())), None)
    return defs[reference.rpartition("/")[2]] if reference else None


def _keys(node: Mapping[str, Any], defs: Mapping[str, Any], prefix: str) -> Iterator[Key]:
    for name, field in _fields(node):
        path = f"{prefix}{name}"
        if section := _target(field, defs):
            yield from _keys(section, defs, f"{path}.")
            continue
        maps = [target for way in _ways(field) if (target := _target(way, defs))]
        yield Key(
            path,
            _wording(field, defs),
            _default(field, required=name in node.get("required", ())),
            field.get("description", ""),
            bool(maps) or any(way.get("type") == "object" for way in _ways(field)),
        )
        for inner in maps:
            yield from _keys(inner, defs, f"{path}.")


def _ways(field: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    """Give what a value may be: one thing, or several where it is a union."""
    ways: Sequence[Mapping[str, Any]] = field.get("anyOf", (field,))
    return ways


def _default(field: Mapping[str, Any], *, required: bool) -> str | None:
    if "unset" in field:
        return str(field["unset"])
    return None if required else inline(field["default"])


def _wording(field: Mapping[str, Any], defs: Mapping[str, Any]) -> str:
    if "anyOf" in field:
        return " or ".join(_wording(way, defs) for way in field["anyOf"])
    if target := _target(field, defs):
        return f"a map of {', '.join(target['properties'])}"
    if "const" in field:
        return f"`{field['const']}`"
    if "enum" in field:
        return "one of " + ", ".join(f"`{value}`" for value in field["enum"])
    if "expects" in field:
        return str(field["expects"])
    if field["type"] == "object":
        return f"a map (text: {_wording(field['additionalProperties'], defs)})"
    bounds = [f"{word} {field[bound]:g}" for bound, word in _BOUNDS.items() if bound in field]
    return " ".join([_TYPES[field["type"]], " and ".join(bounds)]).strip()
