"""A search space: what is searched, what is fixed, and the trial that a set of drawn values makes.

Draws nothing itself, and asks no Hub: who does hands back names through `with_backbones` and
`with_source`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from sweeps.space.combinations import LISTED, count, distinct
from sweeps.space.config import TRIAL_SECTIONS, SweepSettings
from sweeps.space.loader import fill, load, verbs_in
from sweeps.space.points import fitted
from sweeps.space.problems import Places, get, translate
from sweeps.space.verbs import Choice, Verb
from sweeps.space.yaml_nodes import KeyPath, dotted
from sweeps.space.yaml_text import block, inline, shown
from tokcls.config import DataConfig, LabelsConfig, TrialConfig, config_hash
from tokcls.errors import ConfigError, Problem

_BACKBONE: KeyPath = ("model", "backbone")
_OFFLINE: KeyPath = ("model", "offline")
EPOCHS = "train.epochs"
_READING = ("format", "columns", "scheme", "repair", "overlaps", "validation")
_TYPE_MAPS: tuple[KeyPath, ...] = (("labels", "types"), ("labels", "score_types"))


@dataclass(frozen=True)
class SearchSpace:
    """A checked file; `document` holds a verb where a value is searched, else the value as given.

    The two `offline` keys are answered before a trial starts, so they are no part of a trial.
    """

    name: str
    file: str
    document: Mapping[str, Any]
    sweep: SweepSettings
    notes: tuple[str, ...] = ()
    places: Places = field(repr=False, default=Places("", {}))

    @property
    def parameters(self) -> dict[str, Verb]:
        """What is searched, by dotted key, in the order of the file."""
        return {dotted(path): verb for path, verb in verbs_in(self.document) if path != _OFFLINE}

    @property
    def data(self) -> DataConfig:
        """Where the sentences come from, `offline` included."""
        return DataConfig.model_validate(dict(self.document["data"]))

    @property
    def backbones(self) -> tuple[str, ...]:
        """Every backbone that a trial may ask for."""
        return _values(get(self.document, _BACKBONE))

    @property
    def offline_backbones(self) -> tuple[str, ...]:
        """What stands in for all of them when the Hub cannot be reached; may be empty."""
        return _values(get(self.document, _OFFLINE))

    @property
    def label_choices(self) -> list[LabelsConfig]:
        """Every scheme with every map of types that a trial may learn."""
        fixed = self._corner().labels
        searched = (self.parameters.get(f"labels.{key}") for key in ("scheme", "types"))
        schemes, types = (_values(verb) if isinstance(verb, Choice) else () for verb in searched)
        return [
            fixed.model_copy(update={"scheme": scheme, "types": targets})
            for scheme in schemes or (fixed.scheme,)
            for targets in types or (fixed.types,)
        ]

    @property
    def type_maps(self) -> Mapping[KeyPath, tuple[Mapping[str, str | None], ...]]:
        """Every map of types that is learned or scored, by its key."""
        given = {path: get(self.document, path) for path in _TYPE_MAPS}
        return {path: _values(value) for path, value in given.items() if value is not None}

    @property
    def seed(self) -> int:
        """The search's own seed: the trials' seed, or its lowest value where it is searched."""
        verb = self.parameters.get("train.seed")
        return min(verb.corners()) if verb else self._corner().train.seed

    @property
    def epochs(self) -> tuple[int, int]:
        """The fewest and the most epochs that a trial may have."""
        verb = self.parameters.get(EPOCHS)
        found = verb.corners() if verb else (self._corner().train.epochs,)
        return min(found), max(found)

    @property
    def points(self) -> tuple[dict[str, Any], ...]:
        """What is tried first: values by dotted key, as a searcher draws them."""
        return fitted(self.sweep.search.points, self.parameters)

    @property
    def grid_size(self) -> int | None:
        """How many combinations there are; None when they cannot be counted."""
        return count(self.parameters)

    @cached_property
    def combinations(self) -> list[dict[str, Any]] | None:
        """Every different configuration; None when they are many, or cannot be counted."""
        size = self.grid_size
        if size is None or size > LISTED:
            return None
        return distinct(self.parameters, self.trial)

    @property
    def trials(self) -> int:
        """How many trials the sweep runs: all of a grid, and no configuration twice."""
        search, listed = self.sweep.search, self.combinations
        there_are = self.grid_size if listed is None else len(listed)
        if there_are is None:
            return search.trials
        return there_are if search.algorithm == "grid" else min(search.trials, there_are)

    @property
    def space_hash(self) -> str:
        """Twelve hex digits that say what is searched and what is fixed, but not how it is run."""
        searched = {name: [verb.verb, verb.args] for name, verb in self.parameters.items()}
        corner = self._corner().model_dump(mode="json")
        return config_hash({"corner": corner, "searched": searched})

    def trial(self, values: Mapping[str, Any]) -> TrialConfig:
        """Make the trial of one drawn value a parameter, maps and lists also as canonical JSON.

        Raises ConfigError that names the drawn values.
        """
        verbs = self.parameters
        if wrong := sorted(set(values) ^ set(verbs)):
            message = f"a trial needs values for {', '.join(verbs) or 'nothing'}"
            raise ConfigError([Problem(f"{message}; differing: {', '.join(wrong)}", self.file)])
        drawn = {_path(name): verbs[name].original(value) for name, value in values.items()}
        filled = fill(self.document, {_OFFLINE: None, ("data", "offline"): None, **drawn})
        try:
            return TrialConfig.model_validate({name: filled[name] for name in TRIAL_SECTIONS})
        except ValidationError as error:
            of = f" (drawn: {', '.join(f'{k} = {shown(v)}' for k, v in values.items())})"
            found = translate(error, filled).items()
            problems = [self.places.problem(path, message + of) for path, message in found]
            raise ConfigError(self.places.ordered(problems)) from error

    def to_yaml(self, values: Mapping[str, Any] | None = None) -> str:
        """Write the file again; with `values`, one configuration: values where the verbs were.

        Raises ConfigError as `trial` does.
        """
        if values is None:
            return block(self.document)
        self.trial(values)
        verbs = self.parameters
        drawn = {_path(name): verbs[name].original(value) for name, value in values.items()}
        filled = fill(self.document, drawn)
        if len(self.offline_backbones) > 1:
            # A choice of stand-ins would make a sweep of what is one configuration.
            del filled["model"]["offline"]
        return block(filled)

    def with_backbones(self, names: Sequence[str], notes: Sequence[str] = ()) -> SearchSpace:
        """Put other names in place of all backbones, searched by the same verb."""
        given = get(self.document, _BACKBONE)
        kind = type(given) if isinstance(given, Choice) else Choice
        value = names[0] if len(names) == 1 else kind(tuple(names))
        return self._with(_BACKBONE, value, notes)

    def with_source(self, source: str, notes: Sequence[str] = ()) -> SearchSpace:
        """Put another corpus in place of `data.source`, which is read by no rule of the first."""
        given = dict(self.document["data"])
        kept = {key: given[key] for key in given if key not in _READING}
        space = replace(self, document={**self.document, "data": kept})
        return space._with(("data", "source"), source, notes)

    def with_count_noted(self) -> SearchSpace:
        """Say so where there are fewer configurations than trials were asked for."""
        asked = self.sweep.search
        if not self.parameters or asked.algorithm == "grid" or self.trials == asked.trials:
            return self
        note = f"search.trials is {asked.trials}, but the space has {self.trials} different "
        note += f"configurations: {self.trials} trials are run"
        return self if note in self.notes else replace(self, notes=(*self.notes, note))

    def describe(self) -> list[str]:
        """Say in a few lines what is searched and how."""
        search = self.sweep.search
        by = "" if search.time == "epochs" else f" on {search.time} of training"
        asha = search.scheduler == "asha"
        stopping = f"stopped early by asha{by}" if asha else "none stopped early"
        lines = [f"{self.name}: {self.trials} trials, drawn by {search.algorithm}, {stopping}"]
        lines += [f"searched  {name}: {inline(verb)}" for name, verb in self.parameters.items()]
        lines += [f"first     {inline(point)}" for point in self.points if point]
        for section in TRIAL_SECTIONS:
            keys = self.document[section].items()
            lines += [
                f"fixed     {section}.{key}: {inline(value)}"
                for key, value in keys
                if f"{section}.{key}" not in self.parameters
            ]
        return lines + [f"note: {note}" for note in self.notes]

    def _with(self, path: KeyPath, value: Any, notes: Sequence[str]) -> SearchSpace:
        document = fill(self.document, {path: value})
        changed = replace(self, document=document, notes=(*self.notes, *notes))
        return changed.with_count_noted()

    def _corner(self) -> TrialConfig:
        return self.trial({name: verb.corners()[0] for name, verb in self.parameters.items()})


def load_space(path: str | Path, overrides: Sequence[str] = ()) -> SearchSpace:
    """Read a search space and `key=value` overrides; raise ConfigError with every problem found."""
    loaded = load(Path(path), overrides)
    settings = {name: getattr(loaded.config, name) for name in SweepSettings.model_fields}
    sweep = SweepSettings.model_validate(settings)
    space = SearchSpace(sweep.name, str(path), loaded.document, sweep, loaded.notes, loaded.places)
    return space.with_count_noted()


def _path(name: str) -> KeyPath:
    return tuple(name.split("."))


def _values(given: Any) -> tuple[Any, ...]:
    if isinstance(given, Choice):
        return given.values
    return () if given is None else (given,)
