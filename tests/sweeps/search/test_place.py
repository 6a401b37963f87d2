"""Where runs are found, here or in the storage, and which record of a run is believed."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from sweeps.errors import LedgerError
from sweeps.search.ledger import NAME, Ledger, read_ledger
from sweeps.search.place import Place, bring_ledger, new_run, newest_run
from sweeps.search.storage import storage_at
from sweeps.space.space import SearchSpace
from tests.stores import Bucket
from tests.sweeps.search.made_trials import make_space, make_trial


def space_in(folder: Path, storage: str | None = None) -> SearchSpace:
    overrides = [f"output.folder={folder / 'runs'}"]
    overrides += [f"output.storage={storage}"] if storage else []
    return make_space(folder, *overrides)


def recorded(folder: Path, storage: str | None = None, trials: int = 0) -> bytes:
    """Write a ledger of some trials, and give its text."""
    ledger = Ledger(folder)
    ledger.open_sweep(name="s", corpus="c", run_id="r", space="", space_hash="", storage=storage)
    for number in range(trials):
        ledger.started(make_trial(f"t{number:03d}"))
    return ledger.path.read_bytes()


def copied(place: Place, text: bytes) -> None:
    assert place.stored is not None
    place.stored.write(NAME, lambda path: path.write_bytes(text))


def test_a_new_run_has_the_same_name_here_and_in_the_storage(tmp_path: Path) -> None:
    assert new_run(space_in(tmp_path)).storage.root == str(new_run(space_in(tmp_path)).folder)
    place = new_run(space_in(tmp_path, "s3://bucket/all?region=us-east-1"))
    assert place.folder.parent == tmp_path / "runs" / "s"
    assert place.where == f"s3://bucket/all/s/{place.folder.name}"
    assert place.storage.root == f"{place.where}?region=us-east-1"


def test_the_newest_run_is_resumed(tmp_path: Path) -> None:
    space, runs = space_in(tmp_path), tmp_path / "runs" / "s"
    with pytest.raises(LedgerError, match=f"nothing to resume: {runs} holds no sweep"):
        newest_run(space)
    for name in ("2026-01-02", "2026-01-10", "2026-01-09"):
        recorded(runs / name)
    (runs / "2026-02-01").mkdir()
    assert newest_run(space).folder == runs / "2026-01-10"


def test_a_run_that_only_the_storage_has_is_found_and_brought(
    tmp_path: Path, bucket: Bucket
) -> None:
    space = space_in(tmp_path, bucket.part())
    recorded(tmp_path / "runs" / "s" / "2026-01-02")
    with pytest.raises(LedgerError, match="its files were in this folder"):
        bring_ledger(newest_run(space))
    made = recorded(tmp_path / "other", trials=2)
    (tmp_path / "runs" / "s" / "2026-01-02" / NAME).unlink()
    assert space.sweep.output.storage is not None
    storage_at(space.sweep.output.storage).below("s", "2026-01-03").write(
        NAME, lambda path: path.write_bytes(made)
    )
    place = newest_run(space)
    assert place.folder == tmp_path / "runs" / "s" / "2026-01-03"
    assert bring_ledger(place) == [f"going on from the ledger's copy in {place.stored}"]
    assert [trial.trial_id for trial in read_ledger(place.folder).trials] == ["t000", "t001"]
    assert bring_ledger(place) == []


def test_the_longer_of_two_records_of_one_run_is_believed(tmp_path: Path) -> None:
    place = Place(tmp_path / "here", storage_at(tmp_path / "there"))
    text = recorded(place.folder, place.where, trials=3)
    lines = text.splitlines(keepends=True)
    copied(place, b"".join(lines[:2]))
    assert bring_ledger(place) == [
        f"the copy in {place.stored} is older than {place.folder / NAME}"
    ]
    assert (place.folder / NAME).read_bytes() == text
    copied(place, text)
    (place.folder / NAME).write_bytes(b"".join(lines[:2]))
    assert len(bring_ledger(place)) == 1
    assert (place.folder / NAME).read_bytes() == text
    assert {path.name for path in place.folder.iterdir()} == {NAME}


@dataclass(frozen=True)
class Parted:
    """How a record went on after both were one: its sessions, and the time of its last event."""

    sessions: int
    time: int

    def lines(self, name: str) -> bytes:
        events = [{"event": "session", "space": "", "time": 1}] * self.sessions
        end = {"event": "done", "time": self.time, "winner": name}
        return b"".join(json.dumps(event).encode() + b"\n" for event in (*events, end))


@pytest.mark.parametrize(
    ("here", "there", "kept"),
    [
        (Parted(0, 10), Parted(0, 20), "there"),
        (Parted(0, 20), Parted(0, 10), "here"),
        (Parted(0, 90), Parted(1, 10), "there"),  # the other machine's clock is behind
        (Parted(2, 10), Parted(1, 90), "here"),
    ],
)
def test_of_records_that_parted_the_one_of_more_sessions_is_believed_and_the_other_kept(
    tmp_path: Path, here: Parted, there: Parted, kept: str
) -> None:
    place = Place(tmp_path / "here", storage_at(tmp_path / "there"))
    recorded(place.folder, place.where)
    common = (place.folder / NAME).read_bytes()
    texts = {"here": common + here.lines("here"), "there": common + there.lines("there")}
    (place.folder / NAME).write_bytes(texts["here"])
    copied(place, texts["there"])
    notes = bring_ledger(place)
    assert (place.folder / NAME).read_bytes() == texts[kept]
    (other,) = (path for path in place.folder.iterdir() if path.name != NAME)
    assert other.read_bytes() == texts["here" if kept == "there" else "there"]
    assert f"is older: kept as {other.name}" in notes[-1]


def test_a_torn_last_line_does_not_part_two_records(tmp_path: Path) -> None:
    place = Place(tmp_path / "here", storage_at(tmp_path / "there"))
    text = recorded(place.folder, place.where, trials=2)
    copied(place, text + b'{"event": "sta')
    assert bring_ledger(place) == [
        f"the copy in {place.stored} is older than {place.folder / NAME}"
    ]
    assert {path.name for path in place.folder.iterdir()} == {NAME}
    assert len(read_ledger(place.folder).trials) == 2


def test_a_run_whose_files_are_elsewhere_is_not_resumed_without_them(tmp_path: Path) -> None:
    stored = Place(tmp_path / "here", storage_at(tmp_path / "there"))
    recorded(stored.folder, stored.where)
    assert bring_ledger(stored) == []
    with pytest.raises(
        LedgerError, match=r"its files were in .*there, and output.storage now asks"
    ):
        bring_ledger(Place(stored.folder, None))


def test_a_storage_that_fails_is_told_before_anything_is_resumed(tmp_path: Path) -> None:
    uri = "s3://sweeps/x?speed=high"
    with pytest.raises(LedgerError, match=r"output.storage: s3://sweeps/x/s cannot be used"):
        newest_run(space_in(tmp_path, uri))
