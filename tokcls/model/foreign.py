"""A model that was not made here: a folder or a Hub id with a token-classification head.

Its labels are read as a tagging scheme, its texts are cut into windows as ours are, and each word
has its own best label: nothing is known of what may follow what. Runs in torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tokcls.data.batches import Padded
from tokcls.data.windows import Tokenizing
from tokcls.errors import BackboneError
from tokcls.labels.schema import LabelSchema
from tokcls.labels.schemes import SCHEMES, parse_tag
from tokcls.model.backbones import Backbone, find_backbone
from tokcls.model.engine import Torch
from tokcls.model.loader import load_tokenizer, quiet_transformers, tokenizing_of

PREFERRED = ("IO", "IOB2", "BIOES", "BILOU", "BMES", "IOE2")
NEVER = -1e4  # the score of a tag that the model does not know


class Sorted:
    """An engine whose outputs come in our order of tags."""

    def __init__(self, engine: Torch, order: npt.NDArray[np.int64]) -> None:
        """`order`, int64[tags], is the output of each tag, -1 where there is none."""
        self._engine, self._order = engine, order
        self.tags, self.batching = len(order), engine.batching

    def run(self, padded: Padded) -> npt.NDArray[np.float32]:
        """Score a batch: float32[B, L, tags]."""
        scores = self._engine.run(padded)[..., self._order]
        scores[..., self._order < 0] = NEVER
        return scores


@dataclass(frozen=True)
class Foreign:
    """What a predictor is made of."""

    folder: Path
    engine: Sorted
    schema: LabelSchema
    tokenizing: Tokenizing


def load_foreign(name: str) -> Foreign:
    """Load a folder or Hub id with a token-classification head.

    Raises BackboneError if there is none, or its labels are no tags.
    """
    found = find_backbone(name)
    network = _network(found)
    schema, order = read_labels(name, network.config.id2label)
    engine = Sorted(Torch(network, len(network.config.id2label)), order)
    return Foreign(found.folder, engine, schema, tokenizing_of(found, load_tokenizer(found), None))


def _network(found: Backbone) -> Any:
    from transformers import AutoModelForTokenClassification

    try:
        with quiet_transformers():
            network, loaded = AutoModelForTokenClassification.from_pretrained(
                found.folder, use_safetensors=True, output_loading_info=True
            )
    except (OSError, ValueError, KeyError) as error:
        raise BackboneError(f"{found.name!r} cannot be loaded: {error}") from error
    if loaded["missing_keys"]:
        raise BackboneError(
            f"{found.name!r} has no head for token classification; train one on it with a sweep, "
            "or name a model that has one"
        )
    return network


def read_labels(name: str, labels: Mapping[int, str]) -> tuple[LabelSchema, npt.NDArray[np.int64]]:
    """Read a model's labels as tags; gives the schema, and each tag's output, -1 for none.

    Labels without a prefix (`PER`) are types of an IO scheme. Raises BackboneError if they are no
    tags, or none is `O`.
    """
    tags = {_tag(label): number for number, label in labels.items()}
    try:
        parsed = [parse_tag(tag) for tag in tags]
    except ValueError as error:
        raise BackboneError(f"{name!r}: its label {error}") from None
    types = tuple(sorted({type_ for _, type_ in parsed if type_}))
    if "O" not in tags or not types:
        listed = ", ".join(list(labels.values())[:10])
        raise BackboneError(f"{name!r}: labels of a tagger are O, B-PER, I-PER ...; got {listed}")
    for scheme in PREFERRED:
        ours = SCHEMES[scheme].tags(types)
        if {*tags} <= {*ours}:
            order = np.array([tags.get(tag, -1) for tag in ours], np.int64)
            return LabelSchema(scheme, types), order
    raise BackboneError(f"{name!r}: its labels are of no one scheme: {', '.join([*tags][:10])}")


def _tag(label: str) -> str:
    plain = label.isalnum() and label != "O" and not label.startswith("LABEL")
    return f"I-{label}" if plain else label
