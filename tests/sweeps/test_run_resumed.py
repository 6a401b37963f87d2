"""A sweep that learns too slowly: interrupted in its second trial, resumed, interrupted while its
winner is bundled, and resumed; and Ctrl-C before there is anything to resume."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.sweeps.run_left import SLOW_LEARNER, Resumed, Sweep
from tests.sweeps.run_made import command, interrupted, make_world, newest, processes_of

pytestmark = pytest.mark.alone


def test_ctrl_c_ends_a_sweep_soon_and_says_how_to_go_on(resumed: Resumed) -> None:
    assert resumed.first.seconds < 40
    quoted = " ".join(f"'{each}'" if "{" in each else each for each in SLOW_LEARNER)
    assert f"python -m sweeps.run s.yaml {quoted} --resume" in resumed.first.err
    assert str(resumed.run) in resumed.first.err
    assert "t001 finished" in resumed.first.err
    assert "Traceback" not in resumed.first.err
    assert resumed.first.out == ""


def test_ctrl_c_is_heard_when_all_trials_are_over(resumed: Resumed) -> None:
    assert resumed.second.seconds < 40
    assert "--resume" in resumed.second.err
    assert "Traceback" not in resumed.second.err
    assert resumed.second.out == ""


def test_a_resumed_sweep_goes_on_in_its_own_folder(resumed: Resumed) -> None:
    assert newest(resumed.world) == resumed.run
    assert "t001 started" not in resumed.second.err
    assert re.search(r"t002 started, from epoch [2-5]: ", resumed.second.err)
    assert resumed.done.code == 0
    assert len(re.findall(r"^\d +t00[12] ", resumed.done.out, re.M)) == 2


def test_a_quiet_sweep_says_its_notes_and_its_result(resumed: Resumed) -> None:
    lines = resumed.done.err.splitlines()
    assert "NOTE: trials that are over already: 1; interrupted: 1" in lines
    assert [line for line in lines if not line.startswith("NOTE: ")] == []
    assert "on test, scored once: f1 " in resumed.done.out


def test_no_trial_and_no_epoch_is_run_twice(resumed: Resumed) -> None:
    assert resumed.events.started == ["t001", "t002", "t002", "t002"]
    assert resumed.events.ended == ["t001", "t002"]
    assert resumed.events.epochs == {trial: [1, 2, 3, 4, 5, 6] for trial in ("t001", "t002")}


def test_mlflow_goes_on_with_the_same_runs(resumed: Resumed) -> None:
    assert set(resumed.children) == {"t001", "t002"}
    assert resumed.steps("t001") == [1, 2, 3, 4, 5, 6]
    assert resumed.steps("t002") == [1, 2, 3, 4, 5, 6]
    assert resumed.parent.info.status == "FINISHED"
    for run in resumed.children.values():
        assert (run.info.status, run.data.tags["status"]) == ("FINISHED", "finished")


def test_no_run_looks_as_if_it_still_went_on_after_ctrl_c(resumed: Resumed) -> None:
    in_a_trial, while_bundling = resumed.statuses
    assert in_a_trial == {"": "KILLED", "t001": "FINISHED", "t002": "KILLED"}
    assert while_bundling == {"": "KILLED", "t001": "FINISHED", "t002": "FINISHED"}


def test_a_resumed_winner_has_its_test_scores_in_mlflow(resumed: Resumed) -> None:
    (winner,) = (run for run in resumed.children.values() if "test_f1" in run.data.metrics)
    assert winner.data.tags["winner"] == "true"
    assert winner.data.metrics["test_f1"] == resumed.parent.data.metrics["test_f1"]


def test_a_worse_model_is_registered_but_not_champion(full: Sweep, resumed: Resumed) -> None:
    message = r"registered: models:/ner-small/2 \(not champion: validation f1 0\.\d+, version 1 has"
    assert re.search(message, resumed.done.out)
    assert f"python -m sweeps.serve {resumed.bundle}" in resumed.done.out
    model = resumed.client.get_registered_model("ner-small")
    assert {name: str(number) for name, number in model.aliases.items()} == {"champion": "1"}
    versions = resumed.client.search_model_versions("name = 'ner-small'")
    assert {int(each.version) for each in versions} == {1, 2}


def test_what_is_finished_or_changed_is_not_resumed(resumed: Resumed) -> None:
    done = command(resumed.world, "s.yaml", *SLOW_LEARNER, "--resume")
    assert done.code == 2
    assert "is finished; run without --resume" in done.err
    assert "starting Ray" not in done.err
    assert newest(resumed.world) == resumed.run


def test_ctrl_c_while_ray_starts_leaves_no_process(tmp_path: Path) -> None:
    folder = make_world(tmp_path)
    done = interrupted(folder, "s.yaml", at=lambda line: "starting Ray" in line, later=3.0)
    assert done.code == 130
    assert "interrupted" in done.err
    assert "Traceback" not in done.err
    assert done.seconds < 20
    assert processes_of(folder) == []


def test_ctrl_c_before_the_first_trial_promises_nothing_to_resume(tmp_path: Path) -> None:
    folder = make_world(tmp_path)
    done = interrupted(folder, "s.yaml", at=lambda line: "tokenising the corpus ..." in line)
    assert done.code == 130
    assert "Traceback" not in done.err
    if "--resume" in done.err:
        again = command(folder, "s.yaml", "--resume", limit=15)
        assert "nothing to resume" not in again.err
