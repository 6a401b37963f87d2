"""A file that stays in the storage tells a node whether it is the driver's."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from sweeps.errors import ResourceError
from sweeps.search.reach import NAME, Mark, marked
from sweeps.search.storage import storage_at


def seen_from(folder: Path, mark: Mark) -> Mark:
    """The same mark on a node that has another disk at the storage's path."""
    return Mark(storage_at(folder), mark.token, within=0.0)


def test_a_node_that_shares_the_storage_finds_the_mark_while_the_sweep_runs(tmp_path: Path) -> None:
    with marked(storage_at(tmp_path / "shared")) as mark:
        mark.check()
    assert storage_at(tmp_path / "shared").files() == {}
    with pytest.raises(ResourceError):
        seen_from(tmp_path / "shared", mark).check()


@pytest.mark.parametrize("there", [None, "", "of another sweep", "\udcff"])
def test_a_node_with_a_disk_of_its_own_is_named_with_the_remedy(
    tmp_path: Path, there: str | None
) -> None:
    own = tmp_path / "own"
    if there is not None:
        own.mkdir()
        (own / NAME).write_bytes(there.encode(errors="surrogateescape"))
    with marked(storage_at(tmp_path / "shared")) as mark, pytest.raises(ResourceError) as refused:
        seen_from(own, mark).check()
    (said,) = str(refused.value).splitlines()
    assert said.startswith(f"{own} is not the same for all nodes: node ")
    assert "does not see what the driver writes there; set output.storage to a path" in said


def test_a_storage_that_a_node_cannot_read_is_told_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / NAME).mkdir()
    with pytest.raises(ResourceError, match=r"node \S+ cannot read there: .*; set output\.storage"):
        Mark(storage_at(tmp_path), "a", within=0.0).check()


def test_a_mark_may_come_late(tmp_path: Path) -> None:
    from threading import Timer

    with marked(storage_at(tmp_path / "shared")) as mark:
        (tmp_path / "slow").mkdir()
        copy = (tmp_path / "shared" / NAME, tmp_path / "slow" / NAME)
        Timer(0.3, shutil.copy, copy).start()
        Mark(storage_at(tmp_path / "slow"), mark.token, within=10.0).check()


def test_a_driver_that_was_followed_leaves_the_other_one_s_mark(tmp_path: Path) -> None:
    with marked(storage_at(tmp_path)):
        other = marked(storage_at(tmp_path))
        mark = other.__enter__()
    mark.check()
    other.__exit__(None, None, None)


def test_a_storage_that_cannot_be_written_is_told_at_once(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with (
        pytest.raises(ResourceError, match=r"output\.storage: .* cannot be used"),
        marked(storage_at(tmp_path / "file")),
    ):
        pass
