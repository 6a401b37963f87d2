"""The model that a command names, ready to predict: a bundle, what a trial left, or not ours.

Torch is needed for all but bundles, and imported only for them.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from tokcls.errors import BackboneError, BundleError, TokclsError
from tokcls.inference.bundle import Manifest, Window
from tokcls.inference.engines import FP32, TORCH
from tokcls.inference.predictor import Predictor
from tokcls.inference.settings import DEFAULT
from tokcls.inference.sources import NothingToServe, SeveralToServe, is_foreign, locate
from tokcls.trained import find_trained, is_trained, read_description

SHARED = 64  # sub-words of neighbouring windows, of a model that was not made here
Say = Callable[[str], None]


@dataclass(frozen=True)
class Model:
    """A predictor, and the files that it was made of, from which others can make it again.

    The files lie below `top`; `named`, a path below it as well, is what `load_model` was given.
    """

    predictor: Predictor
    top: Path
    named: str
    files: tuple[Path, ...]
    in_torch: bool


def load_model(
    model: str | None,
    say: Say = lambda text: None,
    *,
    threads: int | None = None,
    engine: str = FP32,
) -> Model:
    """Load a bundle (a folder, `models:/...`), a trial's checkpoint, or a model of transformers.

    Without a name it is the champion of the registry, else `DEFAULT`. `threads` and `engine` (as
    `open_engine` has it) are those of a bundle, by default all CPUs; the others run in torch.

    Raises:
        TokclsError: there is no such model, or it cannot be used.
    """
    say(f"loading {model or 'the champion of the model registry'}")
    if model is not None and (is_foreign(model) or is_trained(model)):
        if engine not in (FP32, TORCH):
            raise BundleError(f"{model!r} is no bundle, and runs in torch: leave --engine out")
        return _foreign(model) if is_foreign(model) else _trained(model, say)
    try:
        located = locate(model)
    except NothingToServe as nothing:
        if model is not None or isinstance(nothing, SeveralToServe):
            raise
        return _default(nothing, say)
    predictor = Predictor.from_bundle(located.folder, threads=threads, engine=engine)
    say(f"{located.name} {located.version}".rstrip() + f" ({located.folder})")
    files = tuple(sorted(path for path in located.folder.rglob("*") if path.is_file()))
    return Model(predictor, located.folder, ".", files, in_torch=engine == TORCH)


def _trained(model: str, say: Say) -> Model:
    """Load a trial's weights, or the state it would restart from."""
    from tokenizers import Tokenizer

    from tokcls.model.checkpoint import build_network, read_weights
    from tokcls.model.engine import Torch

    trained = find_trained(model)
    # First what must not be loaded: a file from elsewhere has no description either.
    weights = read_weights(trained.weights)
    found = read_description(trained)
    tags = found.manifest.schema.tags
    engine = Torch(build_network(found.network, weights, trained.weights), len(tags))
    tokenizer = Tokenizer.from_str(json.dumps(found.tokenizer))
    receipt = {**found.manifest.receipt, **_told_apart(trained.weights)}
    predictor = Predictor(engine, replace(found.manifest, receipt=receipt), tokenizer)
    say(f"weights of {trained.weights}")
    top = trained.description.parent.parent
    named = trained.weights.relative_to(top).as_posix()
    return Model(predictor, top, named, (trained.weights, trained.description), in_torch=True)


def _foreign(model: str) -> Model:
    """Load a model that was not made here."""
    from tokcls.model.backbones import FETCHED
    from tokcls.model.foreign import load_foreign

    try:
        found = load_foreign(model)
    except BackboneError as error:
        raise BackboneError(f"{model!r} is no bundle, and cannot be used: {error}") from error
    rule = found.tokenizing
    ends = (rule.prefix, rule.suffix, rule.pad_id)
    window = Window(rule.max_length, min(SHARED, rule.room // 2), *ends)
    receipt = {"model": str(found.folder), **_told_apart(*found.folder.glob("*.safetensors"))}
    manifest = Manifest(found.schema, "argmax", window, receipt)
    files = tuple(sorted({path for kind in FETCHED for path in found.folder.glob(kind)}))
    predictor = Predictor(found.engine, manifest, rule.tokenizer)
    return Model(predictor, found.folder, ".", files, in_torch=True)


def _told_apart(*weights: Path) -> dict[str, dict[str, int]]:
    """What tells weights without a checksum from others: when each file was written."""
    return {"weights": {path.name: path.stat().st_mtime_ns for path in weights}}


def _default(nothing: TokclsError, say: Say) -> Model:
    """Without a champion take a model of the Hub; if that cannot be had, say `nothing`."""
    say(f"{nothing}")
    say(f"taking {DEFAULT} of the Hub instead")
    try:
        return _foreign(DEFAULT)
    except TokclsError as error:
        say(f"{error}")
        raise nothing from error
