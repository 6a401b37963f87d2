"""The files of a trial: they come back as they went in, and a crash leaves the old ones."""

from __future__ import annotations

import io
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from sweeps.search.trial_folder import PREDICTIONS, STATE, WEIGHTS, SavedEpoch, TrialFolder
from tokcls.labels.ceiling import ceiling
from tokcls.labels.schemes import SCHEMES
from tokcls.labels.scoring import per_sentence
from tokcls.labels.spans import Span
from tokcls.labels.tally import tally
from tokcls.model.evaluation import Evaluation

Spans = tuple[tuple[Span, ...], ...]

TYPES = ("LOC", "PER")
GOLD = ((Span(0, 1, "PER"), Span(2, 3, "LOC")), (), (Span(1, 3, "LOC"),))
PREDICTED = ((Span(0, 1, "PER"),), (Span(0, 2, "PER"),), (Span(1, 3, "LOC"),))


def read(folder: TrialFolder, name: str) -> bytes:
    found = folder.storage.read(name)
    assert found is not None
    return found


@pytest.fixture
def folder(tmp_path: Path) -> TrialFolder:
    return TrialFolder(tmp_path / "trials" / "t001")


def evaluation_of(gold: Spans, predicted: Spans, lengths: list[int]) -> Evaluation:
    unseen = np.zeros(sum(map(len, gold)), bool)
    return Evaluation(
        spans=predicted,
        tally=tally(gold, predicted, lengths, TYPES, unseen=unseen, invalid=0),
        per_sentence=per_sentence(gold, predicted, TYPES),
        loss=0.5,
        ceiling=ceiling(gold, SCHEMES["IOB2"]),
    )


@pytest.fixture
def evaluation() -> Evaluation:
    return evaluation_of(GOLD, PREDICTED, [4, 2, 3])


def crash(path: Path) -> None:
    """Write half of a file and fail."""
    path.write_bytes(b"half of")
    raise OSError("no space left on device")


def test_a_new_trial_has_neither_a_best_epoch_nor_a_state(folder: TrialFolder) -> None:
    assert folder.best() is None
    with folder.state() as state, folder.weights() as weights:
        assert state is weights is None


def test_the_best_epoch_comes_back(folder: TrialFolder, evaluation: Evaluation) -> None:
    folder.save_best(2, {"val_f1": 0.75}, evaluation, lambda path: path.write_bytes(b"weights"))
    assert folder.best() == SavedEpoch(2, {"val_f1": 0.75})
    assert read(folder, WEIGHTS) == b"weights"
    again = TrialFolder(folder.storage.root)
    assert again.best() == folder.best()


def test_a_better_epoch_takes_the_place_of_the_best(
    folder: TrialFolder, evaluation: Evaluation
) -> None:
    for number, f1 in ((1, 0.5), (2, 0.75)):
        write = partial(Path.write_text, data=f"weights {number}")
        folder.save_best(number, {"val_f1": f1}, evaluation, write)
    assert folder.best() == SavedEpoch(2, {"val_f1": 0.75})
    assert read(folder, WEIGHTS) == b"weights 2"
    assert {*folder.storage.files()} == {
        "best/model.safetensors",
        "best/predictions.npz",
        "best/epoch.json",
    }


def test_the_saved_predictions_are_those_of_the_evaluation(
    folder: TrialFolder, evaluation: Evaluation
) -> None:
    folder.save_best(1, {}, evaluation, lambda path: path.write_bytes(b""))
    with np.load(io.BytesIO(read(folder, PREDICTIONS))) as saved:
        types = saved["types"].tolist()
        spans = [
            [Span(start, end, types[type_]) for at, start, end, type_ in saved["spans"] if at == s]
            for s in range(len(PREDICTED))
        ]
        counts = saved["counts"]
    assert tuple(types) == TYPES
    assert spans == [list(sentence) for sentence in PREDICTED]
    assert counts.dtype == np.int32
    assert counts.shape == (3, 2, 3)
    # (tp, fp, fn) of LOC and PER, sentence by sentence
    assert counts.tolist() == [[[0, 0, 1], [1, 0, 0]], [[0, 0, 0], [0, 1, 0]], [[1, 0, 0], [0] * 3]]


def test_predictions_without_a_span_keep_their_shape(folder: TrialFolder) -> None:
    nothing = evaluation_of(((),), ((),), [2])
    folder.save_best(1, {}, nothing, lambda path: path.write_bytes(b""))
    with np.load(io.BytesIO(read(folder, PREDICTIONS))) as saved:
        assert saved["spans"].shape == (0, 4)
        assert saved["counts"].shape == (1, 2, 3)


def test_the_last_state_takes_the_place_of_the_one_before(folder: TrialFolder) -> None:
    folder.save_state(lambda path: path.write_bytes(b"state 1"))
    folder.save_state(lambda path: path.write_bytes(b"state 2"))
    with folder.state() as path:
        assert path is not None
        assert path.read_bytes() == b"state 2"
    assert [*folder.storage.files()] == [STATE]


def test_a_crash_while_weights_are_written_leaves_the_old_best(
    folder: TrialFolder, evaluation: Evaluation
) -> None:
    folder.save_best(1, {"val_f1": 0.5}, evaluation, lambda path: path.write_bytes(b"old"))
    with pytest.raises(OSError, match="no space left"):
        folder.save_best(2, {"val_f1": 0.9}, evaluation, crash)
    assert folder.best() == SavedEpoch(1, {"val_f1": 0.5})
    assert read(folder, WEIGHTS) == b"old"


def test_a_crash_while_a_state_is_written_leaves_the_old_state(folder: TrialFolder) -> None:
    folder.save_state(lambda path: path.write_bytes(b"old"))
    with pytest.raises(OSError, match="no space left"):
        folder.save_state(crash)
    assert read(folder, STATE) == b"old"


def test_a_crash_before_the_first_best_is_whole_leaves_none(
    folder: TrialFolder, evaluation: Evaluation
) -> None:
    with pytest.raises(OSError, match="no space left"):
        folder.save_best(1, {"val_f1": 0.9}, evaluation, crash)
    assert folder.best() is None
    assert folder.storage.files() == {}
