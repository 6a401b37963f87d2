"""Metrics by type have names that trackers take, and no two types share one."""

from __future__ import annotations

import re

import numpy as np

from tokcls.labels.spans import Span
from tokcls.labels.tally import metric_names, tally


def test_letters_that_trackers_refuse_are_replaced_and_names_stay_apart() -> None:
    names = metric_names(["PER", "PER(S)", "PER[S]", "A&B", "A,B", "seen", "Größe"])
    assert names["PER"] == "PER"
    assert len(set(names.values())) == len(names)
    assert all(re.fullmatch(r"[A-Za-z0-9_.-]+", name) for name in names.values())


def test_a_type_called_seen_does_not_hide_the_recall_of_seen_entities() -> None:
    gold = [(Span(0, 1, "seen"), Span(1, 2, "X"))]
    found = tally(gold, [(Span(0, 1, "seen"),)], [2], ("X", "seen"),
                  unseen=np.array([True, False]), invalid=0).metrics("val")  # fmt: skip
    assert found["val_recall_seen"] == 0.0
    assert found["val_recall_unseen"] == 1.0
    assert found["val_recall_seen_2"] == 1.0
