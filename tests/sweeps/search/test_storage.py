"""A folder and a bucket are used in the same way, and neither ever shows half a file."""

from __future__ import annotations

import os
import pickle
import threading
from functools import partial
from pathlib import Path

import pytest

from sweeps.search.storage import Folder, Storage, storage_at, write_json
from tests.stores import Bucket

BIG = bytes(range(256)) * (12 * 2**20 // 256)  # more than one part of an upload


@pytest.fixture(params=["folder", "bucket"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    if request.param == "folder":
        return storage_at(tmp_path / "top" / "store")
    bucket: Bucket = request.getfixturevalue("bucket")
    return storage_at(bucket.part())


def put(storage: Storage, name: str, data: bytes) -> None:
    storage.write(name, partial(Path.write_bytes, data=data))


def test_what_is_written_comes_back(storage: Storage) -> None:
    put(storage, "a/b.txt", b"first")
    put(storage, "a/b.txt", b"second")
    assert storage.read("a/b.txt") == b"second"
    assert "a/b.txt" in storage
    assert storage.below("a").read("b.txt") == b"second"
    assert storage.below("", "a").read("b.txt") == b"second"


def test_what_is_not_there_is_none(storage: Storage) -> None:
    assert storage.read("no.txt") is None
    assert storage.stored("no.txt") is None
    assert "no.txt" not in storage
    storage.delete("no.txt")
    assert storage.files() == {}
    assert storage.folders() == []
    with storage.local("no.txt") as path:
        assert path is None
    put(storage, "a/b.txt", b"")
    assert "a" not in storage


def test_a_large_file_is_lent_as_a_local_one(storage: Storage) -> None:
    put(storage, "a/big.ckpt", BIG)
    with storage.local("a/big.ckpt") as path:
        assert path is not None
        assert path.name == "big.ckpt"
        assert path.read_bytes() == BIG
    assert path.exists() == isinstance(storage, Folder)
    stored = storage.stored("a/big.ckpt")
    assert stored is not None
    assert stored.size == len(BIG)


def test_files_and_folders_are_listed_by_name(storage: Storage) -> None:
    for name in ("x/1.txt", "x/y/2.txt", "z.txt"):
        put(storage, name, b"12")
    assert {name: stored.size for name, stored in storage.files().items()} == {
        "x/1.txt": 2,
        "x/y/2.txt": 2,
        "z.txt": 2,
    }
    assert {*storage.below("x").files()} == {"1.txt", "y/2.txt"}
    assert storage.folders() == ["x"]
    storage.delete("x/1.txt")
    assert {*storage.files()} == {"x/y/2.txt", "z.txt"}


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(storage: Storage) -> None:
    def crash(path: Path) -> None:
        path.write_bytes(b"half")
        raise OSError("no space left on device")

    put(storage, "a.txt", b"old")
    for name in ("a.txt", "new.txt"):
        with pytest.raises(OSError, match="no space left"):
            storage.write(name, crash)
    assert {*storage.files()} == {"a.txt"}
    assert storage.read("a.txt") == b"old"


def test_two_that_write_one_file_at_once_do_not_mix(tmp_path: Path) -> None:
    storage = storage_at(tmp_path)

    def fill(path: Path) -> None:
        path.write_bytes(b"first")
        put(storage, "a", b"the second's")  # its writer was given up, and is followed meanwhile
        with path.open("ab") as file:
            file.write(b" and last")

    storage.write("a", fill)
    assert storage.read("a") == b"first and last"
    assert {*storage.files()} == {"a"}


def test_a_reader_never_sees_half_a_file(storage: Storage) -> None:
    put(storage, "a", b"0" * 200_000)
    done = threading.Event()

    def write() -> None:
        for number in range(1, 9):
            put(storage, "a", str(number).encode() * 200_000)
        done.set()

    writer = threading.Thread(target=write)
    writer.start()
    seen = []
    while not done.is_set():
        data = storage.read("a")
        assert data is not None
        seen.append((len(data), len(set(data))))
    writer.join()
    assert set(seen) == {(200_000, 1)}


def test_the_store_tells_when_a_file_was_written(storage: Storage) -> None:
    put(storage, "a", b"1")
    put(storage, "b", b"1")
    first, second = storage.stored("a"), storage.stored("b")
    assert first is not None
    assert second is not None
    assert 0 <= second.written - first.written < 10


def test_a_storage_travels_to_other_processes(storage: Storage) -> None:
    put(storage, "a", b"1")
    again = pickle.loads(pickle.dumps(storage))
    assert again == storage
    assert again.read("a") == b"1"


def test_a_bucket_is_shown_without_keys_and_options() -> None:
    storage = storage_at("s3://key:secret@bucket/x/?region=eu-west-1").below("s", "t")
    assert storage.root == "s3://key:secret@bucket/x/s/t?region=eu-west-1"
    assert str(storage) == "s3://bucket/x/s/t"


def test_a_path_is_made_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert str(storage_at("x").below("y")) == str(tmp_path / "x" / "y")
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("uri", ["s3://sweeps/x?speed=high", "s3://", "ftp://host/x"])
def test_a_uri_that_pyarrow_does_not_know_fails_as_a_store_does(uri: str) -> None:
    with pytest.raises(OSError, match=r"\w"):
        storage_at(uri).read("a")


def test_a_bucket_that_is_not_there_fails(bucket: Bucket) -> None:
    storage = storage_at(f"s3://no-such-bucket/x?{bucket.options}")
    with pytest.raises(OSError, match="NO_SUCH_BUCKET"):
        put(storage, "a", b"1")


def test_google_storage_is_known_to_pyarrow() -> None:
    storage = storage_at("gs://anonymous@some-bucket/x?retry_limit_seconds=1").below("y")
    filesystem, path = storage._at("a")
    assert (filesystem.type_name, path) == ("gcs", "some-bucket/x/y/a")


def test_a_file_is_on_disk_before_it_takes_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "new" / "file.json"
    there_at_flush: list[bool] = []
    flush = os.fsync

    def note(number: int) -> None:
        there_at_flush.append(path.exists())
        flush(number)

    monkeypatch.setattr(os, "fsync", note)
    write_json(storage_at(tmp_path / "new"), "file.json", {"a": [1, 2.5, None]})
    assert there_at_flush == [False]
    assert path.read_text() == '{"a": [1, 2.5, null]}\n'
    assert [entry.name for entry in path.parent.iterdir()] == ["file.json"]
