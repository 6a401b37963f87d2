"""What a trial leaves to predict with, and where it lies; the weights are for `tokcls.model`.

SWEEP/trials/TRIAL/best/model.safetensors   weights of the trial's best epoch
SWEEP/trials/TRIAL/best/model.json          what weights do not say: see `Description`
SWEEP/trials/TRIAL/best/epoch.json          which epoch that was, and its metrics
SWEEP/trials/TRIAL/last.ckpt                Lightning's state after the last epoch
SWEEP/bundle                                the best trial as a bundle, once all are over
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from tokcls.config import TrialConfig
from tokcls.data.windows import Tokenizing
from tokcls.errors import CheckpointError
from tokcls.inference.bundle import MANIFEST, Manifest, Window
from tokcls.inference.sources import BUNDLE
from tokcls.labels.schema import LabelSchema

TRIALS = "trials"
BEST = "best"
WEIGHTS, DESCRIPTION, EPOCH = "model.safetensors", "model.json", "epoch.json"
STATE = "last.ckpt"
LIGHTNING = ".ckpt"


@dataclass(frozen=True)
class Description:
    """How a trial's weights predict; with them it is all that a predictor is made of.

    `network` is its configuration as `transformers` writes it, `tokenizer` the content of a
    tokenizer.json. The manifest lists no files, and its temperature is 1: no score is calibrated
    before a bundle is made.
    """

    manifest: Manifest
    network: Mapping[str, Any]
    tokenizer: Mapping[str, Any]


_DESCRIPTION = TypeAdapter(Description)


@dataclass(frozen=True)
class Trained:
    """Weights, and the file with their `Description`, which may not be there."""

    weights: Path
    description: Path


def manifest_of(
    config: TrialConfig,
    schema: LabelSchema,
    rule: Tokenizing,
    *,
    receipt: Mapping[str, Any],
    metrics: Mapping[str, float],
) -> Manifest:
    """Say how a model that was trained so predicts."""
    window = Window(
        max_length=rule.max_length,
        stride=config.data.stride,
        prefix=rule.prefix,
        suffix=rule.suffix,
        pad_id=rule.pad_id,
        context=config.data.context,
    )
    return Manifest(schema, config.model.decoding, window, receipt=receipt, metrics=metrics)


def write_description(path: Path, description: Description) -> None:
    """Write a description as JSON."""
    path.write_text(json.dumps(asdict(description), allow_nan=False) + "\n", encoding="utf-8")


def read_description(trained: Trained) -> Description:
    """Read how weights predict.

    Raises:
        CheckpointError: it is not there, or damaged.
    """
    path = trained.description
    if not path.is_file():
        raise CheckpointError(
            f"{trained.weights} cannot predict by itself: there is no {path}, which holds its "
            "labels, tokenizer and windows; copy the trial's whole folder, or name the bundle of "
            "its sweep"
        )
    try:
        return _DESCRIPTION.validate_json(path.read_bytes(), strict=True)
    except (ValidationError, OSError) as error:
        said = str(error).splitlines()[0]
        raise CheckpointError(f"{path} cannot be read: {said}; copy the folder again") from error


def is_trained(model: str) -> bool:
    """Whether a model is named by a file, a trial's folder, or that of a sweep without a bundle."""
    place = Path(model).expanduser()
    if place.is_file():
        return True
    if (place / BUNDLE / MANIFEST).is_file():
        return False
    inside = (DESCRIPTION, EPOCH, f"{BEST}/{EPOCH}", STATE, TRIALS)
    return any((place / name).exists() for name in inside)


def find_trained(model: str) -> Trained:
    """Find the weights that a file, a trial's folder or a sweep's folder stands for.

    A trial's are those of its best epoch, a sweep's those of the trial with the best `val_f1`.

    Raises:
        CheckpointError: there are no weights, or it is a file of another kind.
    """
    place = Path(model).expanduser().resolve()
    if place.is_file():
        return _of_file(place)
    if (place / TRIALS).is_dir():
        place = _best_of(place)
    best = place if (place / WEIGHTS).is_file() else place / BEST
    if not (best / WEIGHTS).is_file():
        raise CheckpointError(
            f"{place} holds no {WEIGHTS}: a sweep keeps the weights of its best trials, "
            "output.keep_top of them; name one of these, or the sweep's bundle"
        )
    return Trained(best / WEIGHTS, best / DESCRIPTION)


def _of_file(file: Path) -> Trained:
    if file.suffix == LIGHTNING:
        return Trained(file, file.with_name(BEST) / DESCRIPTION)
    if file.name == WEIGHTS:
        return Trained(file, file.with_name(DESCRIPTION))
    raise CheckpointError(
        f"{file} is no model: a file must be a trial's {BEST}/{WEIGHTS} or a Lightning checkpoint "
        f"({LIGHTNING}); of other models name the folder"
    )


def _best_of(sweep: Path) -> Path:
    """Give the folder of the best trial that has weights."""
    found = [
        (_f1(trial / BEST / EPOCH), trial)
        for trial in sorted((sweep / TRIALS).iterdir())
        if (trial / BEST / EPOCH).is_file() and (trial / BEST / WEIGHTS).is_file()
    ]
    if not found:
        raise CheckpointError(
            f"no trial of {sweep} has come to weights yet; name another folder, or wait for the "
            "first epoch"
        )
    return max(found, key=lambda pair: pair[0])[1]


def _f1(epoch: Path) -> float:
    try:
        return float(json.loads(epoch.read_bytes())["metrics"]["val_f1"])
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise CheckpointError(f"{epoch} cannot be read: {error!r}; copy it again") from error
