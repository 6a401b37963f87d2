from __future__ import annotations

import numpy as np
import pytest

from tokcls.labels.spans import Span
from tokcls.labels.tally import Tally, tally

TYPES = ("LOC", "ORG")
GOLD = [[Span(0, 2, "LOC"), Span(3, 4, "ORG")], [], [Span(0, 1, "ORG"), Span(1, 2, "LOC")]]
GUESS = [[Span(0, 1, "LOC"), Span(3, 4, "ORG")], [Span(0, 1, "ORG")], [Span(0, 1, "ORG")]]
UNSEEN = np.array([True, True, False, False])


def part(sentences: slice, spans: slice) -> Tally:
    return tally(
        *(GOLD[sentences], GUESS[sentences], [5, 2, 3][sentences], TYPES),
        unseen=UNSEEN[spans],
        invalid=1,
    )


def test_the_metrics_tell_what_was_seen_in_training_and_what_kind_of_mistake_was_made() -> None:
    metrics = part(slice(None), slice(None)).metrics("val")
    assert metrics["val_f1"] == 0.5
    assert metrics["val_gold_spans"] == 4
    assert metrics["val_recall_unseen"] == metrics["val_recall_seen"] == 0.5
    assert metrics["val_invalid_argmax"] == pytest.approx(1 / 3)
    errors = {name: n for name, n in metrics.items() if name.startswith("val_errors_") and n}
    assert errors == {"val_errors_boundary": 1, "val_errors_missed": 1, "val_errors_spurious": 1}
    assert not [name for name in metrics if set(name) & set("/[]() ")]


def test_a_recall_of_nothing_is_left_out() -> None:
    metrics = part(slice(0, 1), slice(0, 2)).metrics("val")
    assert "val_recall_seen" not in metrics
    assert metrics["val_recall_unseen"] == 0.5


def test_tallies_of_shares_add_up_to_the_whole() -> None:
    total = part(slice(0, 1), slice(0, 2)) + part(slice(1, 3), slice(2, 4))
    whole = part(slice(None), slice(None)).metrics("val")
    assert total.metrics("val") == whole | {"val_invalid_argmax": 2 / 3}


def test_a_mask_that_does_not_fit_the_gold_is_refused() -> None:
    with pytest.raises(ValueError, match="unseen must say of 4 gold spans, got 2"):
        part(slice(None), slice(0, 2))
