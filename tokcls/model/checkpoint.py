"""Weights that training wrote, in a network again: safetensors, or Lightning's `.ckpt` files.

A `.ckpt` is read without unpickling anything but tensors and plain values, or refused.
"""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from transformers import AutoConfig, AutoModelForTokenClassification, PreTrainedModel

from tokcls.errors import CheckpointError
from tokcls.model.loader import quiet_transformers

OURS = "network."  # where `tokcls.model.module` has the network
REMEDY = (
    "where it was trained, and is trusted, load it with the code that wrote it, save the network "
    "and the tokenizer with save_pretrained() into one folder, and name that"
)


def read_weights(path: Path) -> dict[str, torch.Tensor]:
    """Read a network's weights by their names in it.

    Raises CheckpointError if the file holds other things, or what only unpickling could read.
    """
    if path.suffix == ".safetensors":
        try:
            return load_file(path)
        except (SafetensorError, OSError) as error:
            raise CheckpointError(f"{path} cannot be read: {error}; copy it again") from error
    weights = _state(path)
    ours = {name.removeprefix(OURS): it for name, it in weights.items() if name.startswith(OURS)}
    if not ours:
        raise CheckpointError(
            f"{path} is no checkpoint of a trial: its weights are of another module "
            f"({', '.join([*weights][:2])} ...), and it holds neither its labels nor its "
            f"tokenizer; {REMEDY}"
        )
    return ours


def _state(path: Path) -> dict[str, torch.Tensor]:
    """Read the `state_dict` of a Lightning checkpoint."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of pickles' versions: what comes of them is said here
            found = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"{path} is not loaded: it holds pickled objects beside its weights, and to unpickle "
            f"them may execute any code ({_named(error)}); {REMEDY}"
        ) from error
    except (OSError, RuntimeError, EOFError, ValueError, KeyError) as error:
        said = (str(error).splitlines() or [type(error).__name__])[0]
        raise CheckpointError(f"{path} cannot be read: {said}; copy it again") from error
    weights = found.get("state_dict") if isinstance(found, dict) else None
    if not isinstance(weights, dict) or not weights:
        raise CheckpointError(f"{path} is no Lightning checkpoint: it has no state_dict; {REMEDY}")
    return weights


def _named(error: Exception) -> str:
    """Pick what torch says of the object that it refused, of its page of advice."""
    lines = [line.strip() for line in str(error).splitlines()]
    named = (line for line in lines if "Unsupported" in line or "GLOBAL" in line)
    return next(named, lines[0]).removeprefix("WeightsUnpickler error: ").split(". ")[0]


def build_network(
    config: Mapping[str, Any], weights: Mapping[str, torch.Tensor], place: Path
) -> PreTrainedModel:
    """Make the network of a configuration with these weights, ready to score; on the CPU.

    Raises CheckpointError if they do not fit; `place` says whose they are.
    """
    try:
        with quiet_transformers():
            described = AutoConfig.for_model(**config)
            network: PreTrainedModel = AutoModelForTokenClassification.from_config(described)  # type: ignore[no-untyped-call]
        network.load_state_dict(weights)
    except (RuntimeError, ValueError, KeyError, TypeError) as error:
        said = " ".join(str(error).split())[:300]
        raise CheckpointError(
            f"{place}: its weights do not fit what it says of its network: {said}; copy the "
            "trial's whole folder again"
        ) from error
    network.train(False)
    return network
