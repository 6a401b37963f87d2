"""From a file and overrides to a checked document; every problem is found in one go.

A space is valid exactly when its corner values are valid configurations, so the models need no
second set of rules for verbs.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from sweeps.space import overrides as override_list
from sweeps.space.config import SEARCHED_SECTIONS, SECTIONS, TRIAL_SECTIONS, SweepConfig
from sweeps.space.key_table import key_table
from sweeps.space.points import wrong_points
from sweeps.space.problems import Places, get, translate
from sweeps.space.verbs import FORMS, Choice, Grid, Uniform, Verb, build
from sweeps.space.yaml_nodes import KeyPath, dotted, parse, read_text
from sweeps.space.yaml_text import shown
from tokcls.errors import ConfigError, Problem

_MINIMAL = "data.source, model.backbone and train.learning_rate"


@dataclass(frozen=True)
class Loaded:
    """A checked file; `document` holds a verb where a value is searched, else the value given."""

    document: Mapping[str, Any]
    config: SweepConfig
    places: Places
    notes: tuple[str, ...]


def load(path: Path, overrides: Sequence[str] = ()) -> Loaded:
    """Read and check a file; ConfigError holds all that is wrong, in the order of the file."""
    read = parse(read_text(path), str(path))
    problems = list(read.problems)
    if read.data is None:
        if not problems:
            problems = [Problem(f"the file says nothing; it needs {_MINIMAL}", str(path))]
        raise ConfigError(problems)
    if not isinstance(read.data, dict):
        message = f"a file is a map of sections, got {shown(read.data)}"
        raise ConfigError([*problems, Problem(message, str(path), 1)])
    data = _sections(read.data, path)
    applied = override_list.apply(data, overrides, problems)
    places = Places(str(path), read.lines, applied, tuple(overrides))
    check = _Check(data, places, read.unread)
    check.run()
    problems += check.problems
    if problems or check.config is None:
        raise ConfigError(places.ordered(problems))
    return Loaded(data, check.config, places, tuple(check.notes))


def _sections(data: dict[str, Any], path: Path) -> dict[str, Any]:
    """Name the sweep, and read a section without keys as one that leaves all to the defaults."""
    named = {"name": _name_of(path), **data}
    empty: dict[str, Any] = {name: {} for name in SECTIONS if named.get(name) is None}
    wanted = {name: keys for name, keys in empty.items() if name in data or name in TRIAL_SECTIONS}
    return {**named, **wanted}


def _name_of(path: Path) -> str:
    """Make a sweep's name of its file's, which may have characters that names cannot have."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", path.stem).lstrip("-._")[:64] or "sweep"


def verbs_in(document: Mapping[str, Any]) -> Iterator[tuple[KeyPath, Verb]]:
    """Give the place and the verb of every searched value."""
    for section, keys in document.items():
        if isinstance(keys, Mapping):
            for key, value in keys.items():
                if isinstance(value, Choice | Uniform):
                    yield (section, key), value


def fill(document: Mapping[str, Any], values: Mapping[KeyPath, Any]) -> dict[str, Any]:
    """Copy a document with `values` in place of what stands at their paths."""
    filled = {k: dict(v) if isinstance(v, Mapping) else v for k, v in document.items()}
    for (section, key), value in values.items():
        filled[str(section)][key] = value
    return filled


class _Check:
    """One pass over a document: verbs read in place, then every corner tried."""

    def __init__(self, data: dict[str, Any], places: Places, unread: frozenset[KeyPath]) -> None:
        self.data = data
        self.places = places
        self.problems: list[Problem] = []
        self.notes: list[str] = []
        self.wrong: set[KeyPath] = {path[:2] for path in unread}
        self.config: SweepConfig | None = None

    def run(self) -> None:
        for section in SECTIONS:
            keys = self.data.get(section)
            if not isinstance(keys, dict):
                continue
            for key, value in keys.items():
                if isinstance(value, dict):
                    keys[key] = self.read((section, key), value)
        self.algorithm()
        self.scoring()
        self.corners()
        self.points()

    def blame(self, path: KeyPath, message: str) -> None:
        self.wrong.add(path)
        self.problems.append(self.places.problem(path, message))

    def read(self, path: KeyPath, value: dict[str, Any]) -> Any:
        """Turn a map into the verb that it is, or leave it as the fixed value that it is."""
        names = [name for name in value if name in FORMS]
        key = key_table().get(dotted(path))
        if key is None or (not names and key.takes_map):
            return value
        if names and path[0] not in SEARCHED_SECTIONS:
            self.blame(path, f"cannot be searched; {_and(SEARCHED_SECTIONS)} keys can")
        elif len(value) != 1:
            self.blame(
                path, f"takes one value or one verb, got a map of {', '.join(value) or '{}'}"
            )
        elif not names:
            self.blame(path, _unknown_verb(next(iter(value))))
        else:
            return self.build(path, names[0], value[names[0]])
        return value

    def build(self, path: KeyPath, name: str, args: Any) -> Any:
        try:
            verb = build(name, args)
        except ValueError as error:
            self.blame(path, str(error))
            return None
        if isinstance(verb, Choice) and len(verb.values) == 1:
            only = verb.values[0]
            self.notes.append(f"{dotted(path)}: {name} with one item is that value, {shown(only)}")
            return only
        return verb

    def algorithm(self) -> None:
        algorithm = get(self.data, ("search", "algorithm")) or "tpe"
        for path, verb in verbs_in(self.data):
            if algorithm == "grid" and not isinstance(verb, Choice):
                message = f"search.algorithm = grid needs grid or choice here, got {verb.verb}"
                self.blame(path, message)
            elif algorithm != "grid" and isinstance(verb, Grid):
                message = f"grid needs search.algorithm = grid, got {algorithm}; or write choice"
                self.blame(path, message)

    def scoring(self) -> None:
        """Hold what trials are scored on fixed, so that they can be compared."""
        types, scored = ("labels", "types"), ("labels", "score_types")
        verbs = dict(verbs_in(self.data))
        if scored in verbs:
            self.blame(scored, "cannot be searched: all trials are compared on what it says")
        elif types in verbs and get(self.data, scored) is None:
            self.blame(
                types,
                "is searched, so labels.score_types must say what all trials are scored on: "
                "merge there what any choice merges, and drop what any drops",
            )

    def corners(self) -> None:
        verbs = dict(verbs_in(self.data))
        first = {path: verb.corners()[0] for path, verb in verbs.items()}
        self.config = self.validate(first, verbs)
        for path, verb in verbs.items():
            for corner in verb.corners()[1:]:
                self.validate({**first, path: corner}, verbs)

    def points(self) -> None:
        """Judge `search.points`, once all that they refer to is right.

        Where an override took a value out of the space, the point draws another in its place.
        """
        if self.config is not None and not self.wrong:
            verbs = dict(verbs_in(self.data))
            for wrong in wrong_points(self.config.search.points, self.data, verbs):
                if override := self.places.overrides.get(wrong.given.key):
                    value = shown(wrong.given.value)
                    note = f"search.points: {value} is left out of its point, since {override}"
                    self.notes.append(f"{note} was given; the rest of it is tried first")
                else:
                    self.problems.append(self.places.problem(wrong.given.where, wrong.message))

    def validate(
        self, values: Mapping[KeyPath, Any], verbs: Mapping[KeyPath, Verb]
    ) -> SweepConfig | None:
        filled = fill(self.data, values)
        try:
            return SweepConfig.model_validate(filled)
        except ValidationError as error:
            for path, message in translate(error, filled).items():
                if path[:2] not in self.wrong:
                    source = f" in {shown(verbs[path])}" if path in verbs else ""
                    self.problems.append(self.places.problem(path, message + source))
            return None


def _unknown_verb(name: str) -> str:
    close = difflib.get_close_matches(name, FORMS, n=1)
    meant = f"did you mean `{close[0]}`?" if close else f"verbs are {', '.join(FORMS)}"
    return f"unknown verb `{name}`; {meant}"


def _and(names: Sequence[str]) -> str:
    return f"{', '.join(names[:-1])} and {names[-1]}"
