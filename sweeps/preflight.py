"""What a sweep needs, found before anything is started: names, files, and room for a slot.

Nothing here imports torch or starts Ray, so that what is wrong is said in seconds.
"""

from __future__ import annotations

import difflib
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sweeps.checks import check_gold, check_output, check_storage, check_tracking, check_windows
from sweeps.disk import check_disk
from sweeps.errors import ResourceError
from sweeps.search.resources import Room, SlotPlan, plan_slots
from sweeps.search.tracking import tracking_uri
from sweeps.space.space import SearchSpace
from tokcls.data.corpus import Corpus
from tokcls.data.profile import NOT_IN_TRAIN
from tokcls.data.source import load_corpus
from tokcls.data.texts import check_context
from tokcls.errors import ConfigError, Problem, TokclsError
from tokcls.hub import Lookup, Resolution, resolve_backbones, resolve_source
from tokcls.labels.plan import unlearned
from tokcls.labels.types import TypeMap
from tokcls.model.backbones import Backbone, find_backbone


@dataclass(frozen=True)
class Ready:
    """A space whose names can all be had: the corpus in memory, the backbones on this disk."""

    space: SearchSpace
    corpus: Corpus
    backbones: dict[str, Backbone]
    offline: bool
    plan: SlotPlan | None = None
    """the slots of this machine; None: those of a cluster are not known before it is joined"""

    @property
    def remarks(self) -> tuple[str, ...]:
        """What a user must know of the corpus: what was repaired, and what cannot be learned."""
        corpus = self.corpus
        lacking = unlearned(corpus.types, corpus.trained_types, self.space.label_choices)
        said = (NOT_IN_TRAIN.format(", ".join(lacking)),) if lacking else ()
        return (*corpus.remarks, *said)


def preflight(space: SearchSpace, *, local: bool = True, resume: bool = False) -> Ready:
    """Resolve every name of `space`; `local` also fits a slot into this machine, and its disk.

    A sweep that is resumed (`resume`) goes on while its tracking server is down, and its disk is
    looked at when it is known what it holds of it already.
    Raises TokclsError naming file, line and key of what cannot be had.
    """
    plan = plan_for(space, Room([local_resources()])) if local else None
    check_output(space)
    check_storage(space)
    if not resume:
        check_tracking(space, tracking_uri(space.sweep.tracking.uri))
    source = at_key(space, "data.source", _resolve_source, space)
    models = at_key(
        space, "model.backbone", resolve_backbones, space.backbones, space.offline_backbones
    )
    if models.notes:
        space = space.with_backbones(models.names, models.notes)
    if source is not None and source.notes:
        space = space.with_source(source.names[0], source.notes)
    asked = {lookup.id: lookup for lookup in models.lookups}
    backbones = {
        name: at_key(space, "model.backbone", _find, name, asked.get(name))
        for name in space.backbones
    }
    if plan and not resume:
        check_disk(space, backbones.values(), plan.slots)
    check_windows(space, backbones.values())
    corpus = load_corpus(space.data, seed=space.seed, cached=bool(source and source.cached))
    at_key(space, "data.context", check_context, corpus, space.data.context)
    check_gold(space, corpus)
    space = _check_types(space, corpus, standing_in=bool(source and source.offline))
    offline = models.offline or bool(source and source.offline)
    return Ready(space, corpus, backbones, offline, plan)


def plan_for(space: SearchSpace, room: Room) -> SlotPlan:
    """Fit slots into what there is; raise ConfigError at the line of the key that asks too much."""
    try:
        return plan_slots(space.sweep.resources, room)
    except ResourceError as error:
        path = ("resources", error.key)
        raise ConfigError([space.places.problem(path, str(error))]) from error


def local_resources() -> dict[str, float]:
    """What a Ray started here would find: CPUs and NVIDIA GPUs that this process may use."""
    from ray._private.accelerators.nvidia_gpu import NvidiaGPUAcceleratorManager as Nvidia

    visible = Nvidia.get_current_process_visible_accelerator_ids()
    gpus = Nvidia.get_current_node_num_accelerators()
    return {
        "CPU": float(len(os.sched_getaffinity(0))),
        "GPU": float(gpus if visible is None else min(gpus, len(visible))),
    }


def _resolve_source(space: SearchSpace) -> Resolution | None:
    source = space.data.source
    if isinstance(source, str):
        return resolve_source(source, space.data.offline)
    problems = [
        space.places.problem(("data", "source", split), f"no such file: {file}")
        for split, file in source.model_dump().items()
        if file is not None and not Path(file).expanduser().is_file()
    ]
    if problems:
        raise ConfigError(problems)
    return None


def _check_types(space: SearchSpace, corpus: Corpus, *, standing_in: bool) -> SearchSpace:
    """Refuse type maps that name no type of the corpus, or leave none.

    Where the corpus only stands in for another, whose types these may be, that is a note.
    """
    unknown: list[Problem] = []
    for path, maps in space.type_maps.items():
        names = {name for targets in maps for name in targets} - {*corpus.types}
        unknown += [space.places.problem(path, _no_type(name, corpus)) for name in sorted(names)]
        if corpus.types and not all(TypeMap(targets).image(corpus.types) for targets in maps):
            message = f"drops every type of {corpus.name}; keep one of {', '.join(corpus.types)}"
            raise ConfigError([space.places.problem(path, message)])
    if unknown and not standing_in:
        raise ConfigError(unknown)
    notes = dict.fromkeys(f"{problem.path}: {problem.message}" for problem in unknown)
    return replace(space, notes=(*space.notes, *notes))


def _no_type(name: str, corpus: Corpus) -> str:
    close = difflib.get_close_matches(name, corpus.types, n=1)
    meant = f"did you mean {close[0]}? " if close else ""
    types = ", ".join(corpus.types) or "none"
    return f"{corpus.name} has no type {name}; {meant}its types are {types}"


def _find(name: str, lookup: Lookup | None) -> Backbone:
    if lookup is None:
        return find_backbone(name)
    return find_backbone(name, revision=lookup.sha, cached=lookup.state == "unreachable")


def at_key(space: SearchSpace, path: str, call: Any, *args: Any) -> Any:
    """Call, and give an error the place in the file that it comes from."""
    try:
        return call(*args)
    except ConfigError:
        raise
    except TokclsError as error:
        raise ConfigError([space.places.problem(tuple(path.split(".")), str(error))]) from error
