"""From a backbone's folder to a tokenizer for windows, without torch or transformers.

Tokenizers are probed, never listed by name: what they do to a word or two decides how they are set
up. `tokcls.model.loader` sets up what transformers loads by the same probes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from tokcls.data.windows import Tokenizing, tokenizing
from tokcls.errors import BackboneError

TOKENIZER = "tokenizer.json"
LONGEST_WINDOW = 512
NO_LIMIT = 2**20
POSITION_KEYS = ("max_position_embeddings", "n_positions")
# These count positions from pad_token_id + 1, which their configuration does not say.
AFTER_PADDING = (
    "camembert", "data2vec-text", "ibert", "layoutlmv3", "lilt", "longformer", "luke", "markuplm",
    "mpnet", "roberta", "roberta-prelayernorm", "xlm-roberta", "xlm-roberta-xl", "xmod",
)  # fmt: skip
PROBES = ("a", "A", "1", "the", ".")
PADDING = ("[PAD]", "<pad>", "</s>", "<|endoftext|>", "[UNK]", "<unk>")
"""what published tokenizers call the token that pads, where their files name no token at all"""


@dataclass(frozen=True)
class Limits:
    """The most sub-words that `name` reads at once, and the id that pads its rows."""

    name: str
    positions: int
    pad_id: int


def read_tokenizing(folder: Path, *, name: str, max_length: int | None = None) -> Tokenizing:
    """Set up the tokenizer of a backbone's folder as training does; `name` is for messages.

    `max_length` counts the special ids; None means the backbone's limit, at most 512.

    Raises:
        BackboneError: the folder has no tokenizer.json that can be read, or `max_length` is more
            than the backbone has positions for.
    """
    file = folder / TOKENIZER
    if not file.is_file():
        raise BackboneError(
            f"backbone {name!r}: {folder} holds no {TOKENIZER}; what its tokenizer does is "
            "known only once transformers has converted it, when training begins"
        )
    try:
        raw = Tokenizer.from_file(str(file))
    except Exception as error:  # tokenizers raises plain Exception
        raise BackboneError(f"backbone {name!r} has no usable tokenizer: {file}: {error}") from None
    settings = _json(folder / "special_tokens_map.json", name)
    settings |= _json(folder / "tokenizer_config.json", name)
    limit = min(_positions(_json(folder / "config.json", name)), _longest(settings))
    return set_up(raw, Limits(name, limit, _pad_id(raw, settings)), max_length)


def set_up(raw: Tokenizer, limits: Limits, max_length: int | None) -> Tokenizing:
    """Build what windows need: the tokenizer, its special ids and the longest window.

    The tokenizer is changed in place: it reads a word as in running text, and whole.

    Raises:
        BackboneError: `max_length` is more than the positions, or no word gives a sub-word.
    """
    if max_length is not None and max_length > limits.positions:
        raise BackboneError(
            f"data.max_length is {max_length}, but {limits.name!r} reads at most {limits.positions}"
        )
    raw.no_truncation()
    raw.no_padding()
    ensure_prefix_space(raw)
    prefix, suffix = _around(raw, limits.name)
    return tokenizing(
        raw,
        prefix=prefix,
        suffix=suffix,
        pad_id=limits.pad_id,
        max_length=max_length or min(limits.positions, LONGEST_WINDOW),
    )


def wants_prefix_space(raw: Tokenizer) -> bool:
    """Tell whether words given one by one come out otherwise than in running text."""
    split = raw.encode(["a", "b"], is_pretokenized=True, add_special_tokens=False).ids
    joined = raw.encode(" a b", add_special_tokens=False).ids
    return bool(split != joined)


def ensure_prefix_space(raw: Tokenizer) -> None:
    """Let a byte-level or metaspace tokenizer put a blank before every word, where that helps."""
    if not wants_prefix_space(raw):
        return
    state = json.loads(raw.to_str())
    for node in _steps(state["pre_tokenizer"]):
        if "add_prefix_space" in node:
            node["add_prefix_space"] = True
        if "prepend_scheme" in node:
            node["prepend_scheme"] = "always"
    changed = Tokenizer.from_str(json.dumps(state))
    if changed.pre_tokenizer is not None and not wants_prefix_space(changed):
        raw.pre_tokenizer = changed.pre_tokenizer


def _steps(node: dict[str, Any] | None) -> Iterator[dict[str, Any]]:
    """List a pre-tokenizer and, if it is a sequence, its steps."""
    if node is not None:
        yield node
        for step in node.get("pretokenizers", ()):
            yield from _steps(step)


def _around(raw: Tokenizer, name: str) -> tuple[list[int], list[int]]:
    """Find the ids that the tokenizer puts before and behind a text."""
    for word in PROBES:
        plain = raw.encode([word], is_pretokenized=True, add_special_tokens=False).ids
        whole = raw.encode([word], is_pretokenized=True, add_special_tokens=True).ids
        for at in range(len(whole) - len(plain) + 1 if plain else 0):
            if whole[at : at + len(plain)] == plain:
                return whole[:at], whole[at + len(plain) :]
    raise BackboneError(
        f"backbone {name!r} has no usable tokenizer: it knows none of {', '.join(PROBES)}"
    )


def _json(file: Path, name: str) -> dict[str, Any]:
    """Read a file of settings; none where there is no such file."""
    try:
        return dict(json.loads(file.read_bytes())) if file.is_file() else {}
    except (ValueError, TypeError, RecursionError, OSError) as error:
        raise BackboneError(f"backbone {name!r}: {file} cannot be read: {error}") from error


def _positions(config: Mapping[str, Any]) -> int:
    """Count the positions that a network can tell apart, by its configuration."""
    rows = next((value for key in POSITION_KEYS if (value := _count(config.get(key)))), NO_LIMIT)
    if config.get("model_type") in AFTER_PADDING:
        rows -= int(config.get("pad_token_id") or 0) + 1
    return rows


def _longest(settings: Mapping[str, Any]) -> int:
    """The tokenizer's own limit; where there is none, files say 1e30 or nothing."""
    return min(_count(settings.get("model_max_length")) or NO_LIMIT, NO_LIMIT)


def _count(value: Any) -> int:
    """Read a number above 0, else 0."""
    return int(value) if isinstance(value, int | float) and value > 0 else 0


def _pad_id(raw: Tokenizer, settings: Mapping[str, Any]) -> int:
    """Choose the id that pads; where nothing fits 0 does, since what it stands for is masked."""
    given = {key: _content(settings.get(f"{key}_token")) for key in ("pad", "eos", "unk")}
    names = [name for name in given.values() if name] or PADDING
    ids = (raw.token_to_id(name) for name in names)
    return next((number for number in ids if number is not None), 0)


def _content(token: Any) -> str:
    """Give a token's text: files hold it plain, or in a map with how it is stripped."""
    text = token.get("content") if isinstance(token, dict) else token
    return text if isinstance(text, str) else ""
