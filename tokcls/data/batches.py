"""Which windows go through the network together, and the padded arrays they make.

A batch is a budget of padded sub-words, not a number of sentences. Knows nothing of torch.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tokcls.data.windows import Encoded, Tokenizing, Windows, all_rows
from tokcls.errors import CorpusError, Problem
from tokcls.labels.schema import LabelSchema

Longs = npt.NDArray[np.int64]
Lengths = npt.NDArray[np.integer[Any]] | Sequence[int]

IGNORED = -100
SPREADS = (0.05, 0.02)
"""how unlike in length windows may be and still trade places: shares of it, tried in turn"""
SPARE = 50
"""one batch in so many may be cut in two to make room for trading"""


def token_batches(
    lengths: Lengths,
    *,
    tokens_per_batch: int,
    seed: int,
    epoch: int,
    rank: int = 0,
    world: int = 1,
) -> list[Longs]:
    """Choose one rank's training batches of one epoch: int64 arrays of window numbers.

    `lengths` are those of the padded rows, special ids included. Windows of like length go
    together, in other company every epoch; then the batches are shuffled. Over all ranks every
    window comes once, every rank gets the same number of batches, and that number is the same in
    every epoch. A batch's rows times its longest are within the budget, but for one window that is
    longer by itself, and for pairs of the shortest windows where there are too few to split
    further.

    Raises:
        CorpusError: there are fewer windows than ranks.
    """
    sizes = np.asarray(lengths, np.int64)
    if len(sizes) < world:
        message = (
            f"every worker needs a window, got {len(sizes)} windows for {world} workers; "
            "use more sentences or set resources.workers_per_trial lower"
        )
        raise CorpusError([Problem(message)])
    random = np.random.default_rng([seed, epoch])
    batches = _even(*_mixed(sizes, tokens_per_batch, random, world))
    return [batches[number] for number in random.permutation(len(batches))[rank::world]]


def ordered_batches(
    lengths: Lengths, *, tokens_per_batch: int, padding: float = math.inf
) -> list[Longs]:
    """Choose batches for evaluation, longest first so that too large a budget shows at once.

    `padding` is how much of it a batch may have, as a share of its tokens.
    """
    sizes = np.asarray(lengths, np.int64)
    return _pack(np.argsort(-sizes, kind="stable"), sizes, tokens_per_batch, padding)


def _mixed(
    sizes: Longs, budget: int, random: np.random.Generator, world: int
) -> tuple[list[Longs], int]:
    """Pack windows in an order that falls in length but for noise; also how many batches to make.

    That number depends on the lengths alone. Noise is taken as far as it does not ask for more.
    """
    chance = random.permutation(len(sizes))
    packed = _pack(np.lexsort((chance, -sizes)), sizes, budget)
    wanted = len(packed) + len(packed) // SPARE
    count = min(-(-wanted // world), len(sizes) // world) * world
    for spread in SPREADS:
        noisy = sizes * random.uniform(1.0 - spread, 1.0, len(sizes))
        tried = _pack(np.lexsort((chance, -noisy)), sizes, budget)
        if len(tried) <= count:
            return tried, count
    return packed, count


def _pack(order: Longs, sizes: Longs, budget: int, padding: float = math.inf) -> list[Longs]:
    """Cut an order into batches within the budget, each as long as it can be."""
    batches = []
    begin = longest = tokens = 0
    for at, size in enumerate(sizes[order].tolist()):
        longest, tokens = max(longest, size), tokens + size
        padded = (at + 1 - begin) * longest
        if at > begin and (padded > budget or padded > (1 + padding) * tokens):
            batches.append(order[begin:at])
            begin, longest, tokens = at, size, size
    return [*batches, order[begin:]] if len(order) else []


def _even(batches: list[Longs], count: int) -> list[Longs]:
    """Make it `count` batches, by halving the ones with most rows.

    Where `count` is less than there are, windows are too few to share out: each is a batch then,
    but for the last ones, which are the shortest and are joined in pairs.
    """
    if len(batches) > count:
        rows = np.concatenate(batches)
        single = 2 * count - len(rows)
        return [*rows[:single].reshape(-1, 1), *rows[single:].reshape(-1, 2)]
    batches = list(batches)
    while len(batches) < count:
        largest = max(range(len(batches)), key=lambda number: len(batches[number]))
        batches[largest : largest + 1] = np.array_split(batches[largest], 2)
    return batches


@dataclass(frozen=True)
class Batching:
    """The batches that an engine is quickest with, and how many it computes at once.

    Of `tokens` padded sub-words at most, or of one row. `padding` is the share of padding from
    which two smaller ones are quicker. `spread`: each is computed by one thread, so that a few
    windows are quicker in as many batches as are computed at once.
    """

    tokens: int
    padding: float
    at_once: int = 1
    spread: bool = False

    def budget(self, lengths: Longs) -> int:
        """Say of how many padded sub-words batches of such rows should be."""
        if not self.spread:
            return self.tokens
        return min(self.tokens, -(-int(lengths.sum()) // self.at_once))


@dataclass(frozen=True)
class Padded:
    """What a network reads: int64[B, L]; sub-word k of a window is in column len(prefix) + k."""

    input_ids: Longs
    attention_mask: Longs


def pad(encoded: Encoded, windows: Windows, batch: Longs, tokenizing: Tokenizing) -> Padded:
    """Lay the windows of a batch out as rows, each with prefix and suffix, padded at the end."""
    chosen = windows.take(batch)
    shape = _shape(chosen, tokenizing)
    lead, tail = len(tokenizing.prefix), len(tokenizing.suffix)
    ids = np.full(shape, tokenizing.pad_id, np.int64)
    ids[:, :lead] = tokenizing.prefix
    rows = all_rows(encoded, chosen)
    ids[rows.window, lead + rows.position] = encoded.ids[rows.at]
    ends = lead + chosen.lengths()
    ids[np.arange(len(chosen))[:, None], ends[:, None] + np.arange(tail)] = tokenizing.suffix
    mask = np.arange(shape[1]) < (ends + tail)[:, None]
    return Padded(ids, mask.astype(np.int64))


def training_labels(
    encoded: Encoded,
    windows: Windows,
    batch: Longs,
    tag_ids: npt.NDArray[np.int32],
    schema: LabelSchema,
    tokenizing: Tokenizing,
) -> Longs:
    """Lay out the labels of a batch as int64[B, L], in the columns of `pad`; -100 has no label.

    `tag_ids` holds one id per word of all texts, end to end (`encoded.word_offsets`). First
    sub-words carry their word's tag; further ones its continuation if the schema labels all
    sub-words.
    """
    chosen = windows.take(batch)
    labels = np.full(_shape(chosen, tokenizing), IGNORED, np.int64)
    rows = all_rows(encoded, chosen)
    words = encoded.word_offsets[chosen.text[rows.window]] + encoded.word[rows.at]
    tags = tag_ids[words]
    further = schema.continuation[tags] if schema.subwords == "all" else IGNORED
    column = len(tokenizing.prefix) + rows.position
    labels[rows.window, column] = np.where(rows.first, tags, further)
    return labels


def _shape(rows: Windows, tokenizing: Tokenizing) -> tuple[int, int]:
    special = len(tokenizing.prefix) + len(tokenizing.suffix)
    return len(rows), int(rows.lengths().max(initial=0)) + special
