"""A file that was changed between two sessions: what is reused, left out, and refused."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from ray.tune.search import Searcher

from sweeps.errors import LedgerError
from sweeps.search.events import State, Trial
from sweeps.search.ledger import VERSION, Ledger, read_ledger
from sweeps.search.resume import Recalled, recall, reopen
from sweeps.search.searcher import SpaceSearcher
from sweeps.search.slot import RESUMED_AT, TRIAL, VALUES
from sweeps.space.space import SearchSpace
from tests.sweeps.search.made_trials import make_space, make_trial

RATE, EPOCHS, SCHEME = "train.learning_rate", "train.epochs", "labels.scheme"
RATES = "train.learning_rate={uniform: [1e-4, 2e-4]}"
BACKBONES = "model.backbone={choice: [minilm-l6, minilm-l3]}"


def ran(space: SearchSpace, values: dict[str, Any], number: int, **about: Any) -> Trial:
    """A trial of a space, with the configuration that it has there."""
    state = about.pop("state", State.FINISHED)
    trial = make_trial(f"t{number:03d}", [0.1, 0.2], state, values=values, **about)
    config = space.trial(values)
    trial.config, trial.config_hash = config.model_dump(mode="json"), config.config_hash
    return trial


def then(space: SearchSpace, past: Sequence[Trial], *, taken: int) -> list[dict[str, Any]]:
    searcher = SpaceSearcher(space, at_once=1, past=past, taken=taken)
    found: list[dict[str, Any]] = []
    while (given := searcher.suggest(str(len(found)))) != Searcher.FINISHED:
        found.append(given)
        searcher.on_trial_complete(str(len(found) - 1), {"val_f1": 0.5, "epoch": 3})
    return found


@pytest.mark.parametrize(("trials", "left"), [(9, 7), (4, 2), (3, 2), (1, 2)])
def test_interrupted_trials_are_run_though_the_file_asks_for_fewer_now(
    trials: int, left: int
) -> None:
    states = (State.FINISHED, State.RUNNING, State.STOPPED, State.RUNNING)
    kept = [make_trial(f"t{number}", [0.1], state) for number, state in enumerate(states)]
    assert Recalled(kept, []).to_run(trials) == left
    assert Recalled(kept[:1], []).to_run(1) == Recalled(kept[::2], []).to_run(1) == 0


@pytest.mark.parametrize(
    "changes",
    [
        ("search.trials=9",),
        ("train.learning_rate={loguniform: [1e-5, 1e-2]}",),
        ("train.learning_rate={choice: [1.5e-4, 3e-4, 1.1e-4]}",),
        (RATES, BACKBONES),
        (RATES, "train.epochs={int: [1, 5]}", "labels.scheme={choice: [IO, IOB2]}"),
        (RATES, "search.algorithm=random", "output.keep_top=1"),
    ],
)
def test_a_configuration_that_the_file_still_holds_is_reused(
    tmp_path: Path, changes: tuple[str, ...]
) -> None:
    old = make_space(tmp_path, RATES, "search.trials=2")
    past = [ran(old, {RATE: 1.5e-4}, 1), ran(old, {RATE: 1.1e-4}, 2, state=State.RUNNING)]
    new = make_space(tmp_path, *(changes if "rate" in str(changes) else (RATES, *changes)))
    recalled = recall(new, past)
    assert recalled.left_out == []
    assert [trial.config_hash for trial in recalled.kept] == [trial.config_hash for trial in past]
    assert [new.trial(trial.values).config_hash for trial in recalled.kept] == [
        trial.config_hash for trial in past
    ]
    assert [trial.epochs for trial in recalled.kept] == [trial.epochs for trial in past]


@pytest.mark.parametrize(
    "change",
    [
        "train.learning_rate={uniform: [1.2e-4, 2e-4]}",
        "train.epochs=5",
        "train.epochs={choice: [4, 5]}",
        "model.backbone=minilm-l3",
        "labels.subwords=all",
    ],
)
def test_a_configuration_that_the_file_does_not_hold_is_left_out(
    tmp_path: Path, change: str
) -> None:
    old = make_space(tmp_path, RATES)
    changed = (change,) if "rate" in change else (RATES, change)
    recalled = recall(make_space(tmp_path, *changed), [ran(old, {RATE: 1.1e-4}, 1)])
    assert recalled.kept == []
    assert [trial.trial_id for trial in recalled.left_out] == ["t001"]
    assert "left out, since the file does not hold" in recalled.notes()[1]
    assert recalled.notes()[1].endswith(": t001")


def test_a_key_that_is_no_longer_searched_leaves_what_had_another_value(tmp_path: Path) -> None:
    old = make_space(tmp_path, RATES, "labels.scheme={choice: [IO, IOB2]}")
    past = [
        ran(old, {SCHEME: scheme, RATE: 1.1e-4}, number)
        for number, scheme in enumerate(("IO", "IOB2"), 1)
    ]
    recalled = recall(make_space(tmp_path, RATES, "labels.scheme=IO"), past)
    assert [(trial.trial_id, trial.values) for trial in recalled.kept] == [("t001", {RATE: 1.1e-4})]
    assert [trial.trial_id for trial in recalled.left_out] == ["t002"]


def test_the_rest_is_run_under_new_numbers_and_the_interrupted_trial_goes_on(
    tmp_path: Path,
) -> None:
    old = make_space(tmp_path, "train.learning_rate=1e-4", "train.epochs={int: [1, 3]}")
    past = [
        ran(old, {EPOCHS: 1}, 1),
        ran(old, {EPOCHS: 3}, 2, state=State.RUNNING),
        ran(old, {EPOCHS: 2}, 3),
    ]
    new = make_space(
        tmp_path, "train.learning_rate=1e-4", "train.epochs={int: [2, 5]}", BACKBONES,
        "search.trials=50",
    )  # fmt: skip
    recalled = recall(new, past)
    found = then(new, recalled.kept, taken=len(past))
    assert [trial.trial_id for trial in recalled.kept] == ["t002", "t003"]
    assert (found[0][TRIAL], found[0][RESUMED_AT]) == ("t002", 2)
    assert [given[TRIAL] for given in found[1:]] == [f"t{number:03d}" for number in range(4, 10)]
    hashes = [new.trial(given[VALUES]).config_hash for given in found]
    assert len({*hashes, past[2].config_hash}) == new.trials == 8


def test_trials_recorded_before_a_key_existed_are_known_by_its_default(tmp_path: Path) -> None:
    space = make_space(tmp_path, RATES)
    trial = ran(space, {RATE: 1.1e-4}, 1)
    assert isinstance(trial.config, dict)
    del trial.config["train"]["warmup"]
    trial.config_hash = "another"
    assert len(recall(space, [trial]).kept) == 1


def test_what_is_no_configuration_is_left_out(tmp_path: Path) -> None:
    trial = make_trial("t001", [0.1], State.FINISHED, values={"gone.key": 3})
    assert recall(make_space(tmp_path, RATES), [trial]).left_out == [trial]


def recorded(folder: Path, *, done: bool = False) -> Path:
    ledger = Ledger(folder)
    ledger.open_sweep(name="s", space="first", space_hash="abc", corpus="aaa", run_id="r")
    if done:
        ledger.write("done", winner="t001", bundle="there")
        ledger.write("tracked")
    return folder


def test_a_changed_corpus_is_refused_with_both_hashes(tmp_path: Path) -> None:
    with pytest.raises(LedgerError, match="its corpus was aaa and is now bbb; put the data back"):
        reopen(recorded(tmp_path), space="first", corpus="bbb")


def test_a_finished_sweep_is_resumed_only_with_another_file(tmp_path: Path) -> None:
    recorded(tmp_path, done=True)
    with pytest.raises(LedgerError, match="is finished; run without --resume, or ask for more"):
        reopen(tmp_path, space="first", corpus="aaa")
    assert reopen(tmp_path, space="second", corpus="aaa").done
    Ledger(tmp_path).open_session(space="second", space_hash="def")
    again = reopen(tmp_path, space="second", corpus="aaa")
    assert not again.done
    assert again.space == "second"


def test_the_ledger_tells_the_file_of_every_session(tmp_path: Path) -> None:
    recorded(tmp_path)
    assert read_ledger(tmp_path).space == "first"
    Ledger(tmp_path).open_session(space="second", space_hash="def")
    history = read_ledger(tmp_path)
    assert (history.space, history.header["space"]) == ("second", "first")


def test_a_ledger_of_version_1_is_still_read(tmp_path: Path) -> None:
    path = recorded(tmp_path) / "ledger.jsonl"
    path.write_text(path.read_text().replace(f'"version": {VERSION}', '"version": 1'))
    assert reopen(tmp_path, space="first", corpus="aaa").run_id == "r"


def test_a_finished_sweep_that_mlflow_does_not_have_is_resumed(tmp_path: Path) -> None:
    path = recorded(tmp_path, done=True) / "ledger.jsonl"
    *lines, _ = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines))
    assert reopen(tmp_path, space="first", corpus="aaa").done
    older = "".join(lines).replace(f'"version": {VERSION}', '"version": 2')
    path.write_text(older)  # it could not say whether MLflow had it
    with pytest.raises(LedgerError, match="nothing to resume"):
        reopen(tmp_path, space="first", corpus="aaa")
