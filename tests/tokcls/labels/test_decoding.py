from __future__ import annotations

import itertools
import time
import tracemalloc

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tokcls.labels.decoding import decode_tags, is_broken, log_softmax
from tokcls.labels.repair import violations
from tokcls.labels.schemes import SCHEMES, Scheme, Transitions

# A busy machine is no failure.
unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

every_scheme = pytest.mark.parametrize("scheme", SCHEMES.values(), ids=SCHEMES)


@st.composite
def tied_scores(draw: st.DrawFn, tags: int) -> npt.NDArray[np.float32]:
    """Scores of a few words, whole numbers, so that equal totals are frequent and exact."""
    words = draw(st.integers(0, 4))
    cells = st.integers(-3, 0)
    values = draw(st.lists(cells, min_size=words * tags, max_size=words * tags))
    return np.array(values, np.float32).reshape(words, tags)


def allowed(ids: tuple[int, ...], transitions: Transitions) -> bool:
    if not ids:
        return True
    inner = all(transitions.between[pair] for pair in itertools.pairwise(ids))
    return bool(transitions.start[ids[0]] and inner and transitions.end[ids[-1]])


def by_trying_all(scores: npt.NDArray[np.float32], transitions: Transitions) -> list[int]:
    every = itertools.product(range(scores.shape[1]), repeat=len(scores))
    valid = [ids for ids in every if allowed(ids, transitions)]
    return list(max(valid, key=lambda ids: sum(scores[at, tag] for at, tag in enumerate(ids))))


def random_scores(sizes: list[int], tags: int, seed: int) -> list[npt.NDArray[np.float32]]:
    random = np.random.default_rng(seed)
    return [log_softmax(random.normal(0, 3, (size, tags)).astype(np.float32)) for size in sizes]


@every_scheme
@unhurried
@given(data=st.data())
def test_a_sequence_is_broken_where_a_step_is_forbidden(
    scheme: Scheme, data: st.DataObject
) -> None:
    tags = scheme.tags(["X", "Y"])
    transitions = scheme.transitions(tags)
    ids = st.lists(st.integers(0, len(tags) - 1), max_size=5)
    batch = [np.array(one, np.int32) for one in data.draw(st.lists(ids, max_size=6))]
    expected = [not allowed(tuple(one.tolist()), transitions) for one in batch]
    assert is_broken(batch, transitions).tolist() == expected
    by_words = [bool(violations([tags[n] for n in one], scheme)) for one in batch]
    assert by_words == expected


@every_scheme
@unhurried
@given(data=st.data())
def test_viterbi_finds_the_best_allowed_sequence_and_the_first_of_equals(
    scheme: Scheme, data: st.DataObject
) -> None:
    tags = scheme.tags(["X"])
    transitions = scheme.transitions(tags)
    batch = data.draw(st.lists(tied_scores(len(tags)), max_size=4))
    expected = [by_trying_all(scores, transitions) for scores in batch]
    assert [ids.tolist() for ids in decode_tags(batch, transitions)] == expected


@every_scheme
@unhurried
@given(seed=st.integers(0, 2**32), sizes=st.lists(st.integers(0, 40), max_size=6))
def test_a_valid_argmax_sequence_comes_back_unchanged(
    scheme: Scheme, seed: int, sizes: list[int]
) -> None:
    tags = scheme.tags(["X", "Y"])
    transitions = scheme.transitions(tags)
    batch = random_scores(sizes, len(tags), seed)
    pairs = zip(decode_tags(batch, None), decode_tags(batch, transitions), strict=True)
    for best, decoded in pairs:
        assert decoded.dtype == best.dtype == np.int32
        assert allowed(tuple(decoded), transitions)
        if allowed(tuple(best), transitions):
            assert best.tolist() == decoded.tolist()


def test_without_transitions_each_word_gets_its_own_best_tag_and_ties_the_lowest() -> None:
    scores = np.array([[0, 1, 1], [2, 0, 2]], np.float32)
    assert [ids.tolist() for ids in decode_tags([scores, scores[:0]], None)] == [[1, 0], []]


def test_the_company_in_a_batch_does_not_change_a_sentence() -> None:
    scheme = SCHEMES["BIOES"]
    tags = scheme.tags(["X", "Y"])
    transitions = scheme.transitions(tags)
    batch = random_scores([3, 50, 0, 7, 300, 1], len(tags), seed=5)
    together = decode_tags(batch, transitions)
    for scores, ids in zip(batch, together, strict=True):
        assert decode_tags([scores], transitions)[0].tolist() == ids.tolist()


def test_a_long_document_beside_short_sentences_stays_cheap() -> None:
    scheme = SCHEMES["BIOES"]
    tags = scheme.tags(["LOC", "MISC", "ORG", "PER"])
    batch = random_scores([3000] + [10] * 3000, len(tags), seed=7)
    tracemalloc.start()
    started = time.perf_counter()
    decode_tags(batch, scheme.transitions(tags))
    spent, peak = time.perf_counter() - started, tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # Padded to the longest, the scores alone would take 3001 * 3000 * 17 * 8 bytes: 1.2 GB.
    assert peak < 150 * 2**20
    assert spent < 10


def test_log_softmax_is_exact_where_a_naive_one_overflows() -> None:
    logits = np.array([[1000.0, 1000.0], [-1000.0, 0.0]], np.float32)
    result = log_softmax(logits)
    assert result.dtype == np.float32
    np.testing.assert_allclose(result, [[-np.log(2), -np.log(2)], [-1000.0, 0.0]], rtol=1e-6)
    np.testing.assert_allclose(np.exp(log_softmax(logits[:, None])).sum(-1), 1, rtol=1e-6)
