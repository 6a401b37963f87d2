"""From a backbone's folder to a tokenizer and a network with a token-classification head.

Tokenizers are probed, never listed by name: what they do to two words decides how they are set up.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from safetensors import SafetensorError
from tokenizers import Tokenizer
from transformers import (
    AutoConfig,
    AutoModelForTokenClassification,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)
from transformers.utils import logging as hf_logging

from tokcls.data.tokenizer import (
    NO_LIMIT,
    Limits,
    ensure_prefix_space,
    set_up,
    wants_prefix_space,
)
from tokcls.data.windows import Tokenizing
from tokcls.errors import BackboneError
from tokcls.labels.schema import LabelSchema
from tokcls.labels.schemes import SCHEMES
from tokcls.model.backbones import Backbone

DROPOUT_KEYS = (  # each architecture has its own; those that a configuration lacks are left alone
    "hidden_dropout_prob", "attention_probs_dropout_prob", "classifier_dropout",
    "dropout", "attention_dropout", "seq_classif_dropout",
    "resid_pdrop", "embd_pdrop", "attn_pdrop",
)  # fmt: skip
LAYER_KEYS = ("num_hidden_layers", "n_layers", "n_layer")


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """Silence the load report and the progress bars; a fresh head is what we want, not news."""
    verbosity = hf_logging.get_verbosity()
    bars = hf_logging.is_progress_bar_enabled()
    hf_logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    hf_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        hf_logging.set_verbosity(verbosity)
        if bars:
            hf_logging.enable_progress_bar()  # type: ignore[no-untyped-call]


def load_tokenizer(backbone: Backbone) -> PreTrainedTokenizerFast:
    """Load a fast tokenizer that reads a list of words as it would read them in running text.

    Raises BackboneError if the folder has no fast tokenizer.
    """
    try:
        with quiet_transformers():
            tokenizer: Any = AutoTokenizer.from_pretrained(backbone.folder)
            if getattr(tokenizer, "is_fast", False) and wants_prefix_space(
                tokenizer.backend_tokenizer
            ):
                tokenizer = AutoTokenizer.from_pretrained(backbone.folder, add_prefix_space=True)
                # Only the classes of some architectures heed that; the generic one does not.
                ensure_prefix_space(tokenizer.backend_tokenizer)
    except (OSError, ValueError, ImportError) as error:
        raise BackboneError(
            f"backbone {backbone.name!r} has no usable tokenizer: {error}"
        ) from error
    if not getattr(tokenizer, "is_fast", False):
        raise BackboneError(
            f"backbone {backbone.name!r} has only a slow tokenizer, which cannot say which word a "
            "sub-word belongs to; choose a backbone with a tokenizer.json"
        )
    if len(tokenizer) <= len(tokenizer.all_special_ids):
        raise BackboneError(
            f"backbone {backbone.name!r} has no tokenizer: {backbone.folder} holds no vocabulary"
        )
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token or tokenizer.unk_token
    fast: PreTrainedTokenizerFast = tokenizer
    return fast


def tokenizing_of(
    backbone: Backbone, tokenizer: PreTrainedTokenizerFast, max_length: int | None
) -> Tokenizing:
    """Build what windows need: a raw tokenizer, special ids and the longest window in sub-words.

    `max_length` counts the special tokens; None means the backbone's limit, at most 512.
    Raises BackboneError if `max_length` is more than the backbone has positions for.
    """
    limit = int(min(position_limit(backbone), tokenizer.model_max_length))
    raw = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
    # Padding is masked: where there is no token for it, any id does.
    return set_up(raw, Limits(backbone.name, limit, tokenizer.pad_token_id or 0), max_length)


def position_limit(backbone: Backbone) -> int:
    """Count the positions a network can tell apart (RoBERTa has 514 rows for 512 of them)."""
    with _usable(backbone), torch.device("meta"), quiet_transformers():
        config = AutoConfig.from_pretrained(backbone.folder)
        network: Any = AutoModelForTokenClassification.from_config(config)  # type: ignore[no-untyped-call]
    tables = [
        module
        for name, module in network.named_modules()
        if isinstance(module, torch.nn.Embedding) and name.rsplit(".", 1)[-1] in POSITION_TABLES
    ]
    if not tables:
        limit = int(getattr(config, "max_position_embeddings", None) or NO_LIMIT)
        return limit if limit > 0 else NO_LIMIT  # XLNet says -1
    unused = 0 if tables[0].padding_idx is None else tables[0].padding_idx + 1
    return int(tables[0].num_embeddings) - unused


POSITION_TABLES = ("position_embeddings", "wpe", "embed_positions")


def load_model(
    backbone: Backbone, schema: LabelSchema, *, dropout: float, pad_id: int
) -> PreTrainedModel:
    """Load the backbone with a fresh head of one output per tag of `schema`."""
    names = SCHEMES[schema.scheme].pipeline_names(schema.tags)
    with _usable(backbone), quiet_transformers():
        config = AutoConfig.from_pretrained(backbone.folder)
        _configure(config, backbone.layers, dropout, pad_id)
        config.id2label = dict(enumerate(names))
        config.label2id = {name: names.index(name) for name in names}
        network: PreTrainedModel
        network, loaded = AutoModelForTokenClassification.from_pretrained(
            backbone.folder,
            config=config,
            use_safetensors=True,
            # On CPUs the fused kernel's backward pass takes twice the time of the plain one.
            attn_implementation="sdpa" if torch.cuda.is_available() else "eager",
            ignore_mismatched_sizes=True,
            output_loading_info=True,
        )
        absent = {*loaded["missing_keys"], *(key for key, *_ in loaded["mismatched_keys"])}
        body = sorted(key for key in absent if key.startswith(f"{network.base_model_prefix}."))
        if body:
            raise ValueError(f"its weights lack, or have in another shape: {', '.join(body[:3])}")
        # from_pretrained() gives a network that scores, and Lightning leaves modes as they are.
        network.train()
        return network


@contextmanager
def _usable(backbone: Backbone) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        raise BackboneError(
            f"backbone {backbone.name!r} cannot be used for token classification: {error}"
        ) from error


def _configure(config: Any, layers: int | None, dropout: float, pad_id: int) -> None:
    config.classifier_dropout = dropout  # read by GPT-2's head, though its configuration lacks it
    for key in DROPOUT_KEYS:
        if hasattr(config, key):
            setattr(config, key, dropout)
    for key in LAYER_KEYS:
        if layers is not None and hasattr(config, key):
            setattr(config, key, layers)
    if config.pad_token_id is None:
        config.pad_token_id = pad_id
