from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tokcls.data.batches import IGNORED, ordered_batches, pad, token_batches, training_labels
from tokcls.data.windows import Encoded, Tokenizing, Windows, cut, encode
from tokcls.errors import CorpusError
from tokcls.labels.schema import LabelSchema, Subwords
from tokcls.labels.schemes import SCHEMES
from tokcls.labels.spans import Span

# A busy machine is no failure.
unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

Batches = list[npt.NDArray[np.int64]]

many_lengths = st.lists(st.integers(1, 60), min_size=1, max_size=80)


def ranks(
    lengths: list[int], *, budget: int, world: int, seed: int = 1, epoch: int = 0
) -> list[Batches]:
    return [
        token_batches(
            lengths, tokens_per_batch=budget, seed=seed, epoch=epoch, rank=rank, world=world
        )
        for rank in range(world)
    ]


@unhurried
@given(lengths=many_lengths, budget=st.integers(1, 200), world=st.integers(1, 5))
def test_every_window_comes_once_over_all_ranks_in_equal_numbers_of_batches(
    lengths: list[int], budget: int, world: int
) -> None:
    lengths = lengths * world
    shares = ranks(lengths, budget=budget, world=world)
    windows = [int(row) for share in shares for batch in share for row in batch]
    assert sorted(windows) == list(range(len(lengths)))
    assert len({len(share) for share in shares}) == 1
    assert all(len(batch) > 0 for share in shares for batch in share)


@unhurried
@given(lengths=many_lengths, budget=st.integers(1, 200), seed=st.integers(0, 99))
def test_padded_batches_stay_within_the_budget(lengths: list[int], budget: int, seed: int) -> None:
    made = token_batches(lengths, tokens_per_batch=budget, seed=seed, epoch=0)
    for batch in (*made, *ordered_batches(lengths, tokens_per_batch=budget)):
        assert len(batch) == 1 or len(batch) * max(lengths[row] for row in batch) <= budget


@unhurried
@given(lengths=many_lengths, world=st.integers(1, 3))
def test_every_epoch_has_the_same_number_of_batches(lengths: list[int], world: int) -> None:
    lengths = lengths * world
    numbers = {len(ranks(lengths, budget=100, world=world, epoch=e)[0]) for e in range(4)}
    assert len(numbers) == 1


def test_seed_and_epoch_fix_the_batches_and_change_them() -> None:
    lengths = np.random.default_rng(0).integers(3, 40, 500).tolist()

    def flat(**change: int) -> list[int]:
        batches = ranks(lengths, budget=256, world=1, **change)[0]
        return [int(row) for batch in batches for row in batch]

    assert flat() == flat()
    assert flat() != flat(epoch=1)
    assert flat() != flat(seed=2)
    assert set(map(len, ranks(lengths, budget=256, world=1)[0])) != {1}


def test_windows_of_like_length_go_together() -> None:
    lengths = np.random.default_rng(0).integers(3, 60, 2000)
    batches = token_batches(lengths, tokens_per_batch=2048, seed=1, epoch=0)
    padded = sum(len(batch) * lengths[batch].max() for batch in batches)
    assert padded < 1.05 * lengths.sum()


def kept_company(one: Batches, two: Batches) -> float:
    """The share of the pairs of windows in one batch that are in one batch again."""
    first, second = (
        {
            (int(a), int(b))
            for batch in batches
            for at, a in enumerate(sorted(batch))
            for b in sorted(batch)[at + 1 :]
        }
        for batches in (one, two)
    )
    return len(first & second) / len(first)


def test_windows_of_unlike_lengths_are_in_other_company_every_epoch() -> None:
    lengths = np.random.default_rng(0).permutation(np.arange(20, 520)).tolist()
    one, two = (ranks(lengths, budget=2048, world=1, epoch=epoch)[0] for epoch in (0, 1))
    assert len(one) == len(two)
    assert kept_company(one, one) == 1.0
    assert kept_company(one, two) < 0.75
    padded = sum(len(batch) * max(lengths[row] for row in batch) for batch in two)
    assert padded < 1.05 * sum(lengths)


def test_too_few_windows_to_split_are_joined_so_that_ranks_stay_equal() -> None:
    shares = ranks([50, 40, 30, 20, 10], budget=16, world=2)
    assert [len(share) for share in shares] == [2, 2]
    joined = [sorted(batch.tolist()) for share in shares for batch in share if len(batch) > 1]
    assert joined == [[3, 4]]


def test_fewer_windows_than_workers_are_refused_with_the_remedy() -> None:
    message = "got 2 windows for 3 workers; use more sentences or set resources.workers_per_trial"
    with pytest.raises(CorpusError, match=message):
        token_batches([5, 5], tokens_per_batch=64, seed=1, epoch=0, rank=0, world=3)


def test_evaluation_takes_the_longest_first_and_every_window_once() -> None:
    batches = ordered_batches([3, 9, 3, 7, 3], tokens_per_batch=14)
    assert [batch.tolist() for batch in batches] == [[1], [3, 0], [2, 4]]
    assert ordered_batches([], tokens_per_batch=14) == []


def test_padding_is_bounded_where_it_costs_more_than_another_batch() -> None:
    lengths = [40, 10, 11, 39, 10]
    batches = ordered_batches(lengths, tokens_per_batch=1000, padding=0.1)
    assert [batch.tolist() for batch in batches] == [[0, 3], [2, 1, 4]]
    assert len(ordered_batches(lengths, tokens_per_batch=1000)) == 1


@pytest.fixture(params=["wordpiece", "byte_level"])
def cut_text(request: pytest.FixtureRequest, text: str) -> tuple[Encoded, Windows, Tokenizing]:
    made: Tokenizing = request.getfixturevalue(request.param)
    encoded = encode([line.split() for line in text.splitlines()], made)
    return encoded, cut(encoded, room=made.room, stride=4), made


def test_rows_hold_prefix_text_suffix_and_padding(
    cut_text: tuple[Encoded, Windows, Tokenizing],
) -> None:
    encoded, windows, made = cut_text
    batch = np.array([5, 0, len(windows) - 1])
    padded = pad(encoded, windows, batch, made)
    longest = windows.lengths()[batch].max() + len(made.prefix) + len(made.suffix)
    assert padded.input_ids.shape == padded.attention_mask.shape == (3, longest)
    assert padded.input_ids.dtype == padded.attention_mask.dtype == np.int64
    for row, window in enumerate(batch):
        ids = encoded.ids[windows.start[window] : windows.end[window]].tolist()
        whole = [*made.prefix, *ids, *made.suffix]
        rest = longest - len(whole)
        assert padded.input_ids[row].tolist() == whole + [made.pad_id] * rest
        assert padded.attention_mask[row].tolist() == [1] * len(whole) + [0] * rest


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("subwords", ["first", "all"])
def test_labels_stand_where_pad_puts_the_subwords(
    cut_text: tuple[Encoded, Windows, Tokenizing], scheme: str, subwords: Subwords
) -> None:
    encoded, windows, made = cut_text
    schema = LabelSchema(scheme, ("X",), subwords)
    tags = np.concatenate(
        [
            schema.encode_ids([Span(at, at + 2, "X") for at in range(0, size - 1, 3)], size)
            for size in encoded.words.tolist()
        ]
    )
    batch = np.arange(len(windows))[::-1]
    labels = training_labels(encoded, windows, batch, tags, schema, made)
    assert labels.shape == pad(encoded, windows, batch, made).input_ids.shape
    expected = np.full(labels.shape, IGNORED)
    for row, window in enumerate(batch):
        before = -1
        for column in range(windows.lengths()[window]):
            word = encoded.word[windows.start[window] + column]
            tag = tags[encoded.word_offsets[windows.text[window]] + word]
            further = schema.continuation[tag] if subwords == "all" else IGNORED
            expected[row, len(made.prefix) + column] = further if word == before else tag
            before = word
    assert labels.tolist() == expected.tolist()
