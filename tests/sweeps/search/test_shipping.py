"""Backbones on nodes that have no copy of them: whole, once, and the same."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from sweeps.search.probe import attempt
from sweeps.search.probing import Refused
from sweeps.search.shipping import FOLDER, Shipped, digest_of, here, read_files, ship
from tokcls.errors import BackboneError
from tokcls.model.backbones import Backbone

FILES = {"config.json": b"{}", "model.safetensors": bytes(range(256)) * 40, "vocab.txt": b"a\nb\n"}


def make_folder(folder: Path) -> Path:
    folder.mkdir()
    for name, content in {**FILES, "pytorch_model.bin": b"pickled", "README.md": b"#"}.items():
        (folder / name).write_bytes(content)
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_folder(tmp_path / "backbone")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("huggingface_hub.constants.HF_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def elsewhere(backbone: Backbone) -> Shipped:
    """The same backbone as it looks on a node that is not the driver's."""
    assert isinstance(backbone, Shipped)
    return replace(backbone, node="another", folder=Path("/nowhere"))


def test_what_travels_is_what_a_backbone_is_loaded_from(folder: Path) -> None:
    assert {name: content.tobytes() for name, content in read_files(folder).items()} == FILES


@pytest.mark.parametrize("change", [{"vocab.txt": b"a\nc\n"}, {"added.json": b""}])
def test_another_content_has_another_digest(
    folder: Path, tmp_path: Path, change: dict[str, bytes]
) -> None:
    before = digest_of(read_files(folder))
    assert digest_of(read_files(make_folder(tmp_path / "same"))) == before
    for name, content in change.items():
        (folder / name).write_bytes(content)
    assert digest_of(read_files(folder)) != before


def test_a_backbone_that_was_not_shipped_stays_where_it_is(folder: Path) -> None:
    assert here(Backbone("b", folder)).folder == folder


@pytest.mark.alone
def test_the_node_of_the_driver_uses_the_folder_itself(
    ray_cluster: None, folder: Path, home: Path
) -> None:
    (shipped,) = ship({"b": Backbone("b", folder)}).values()
    assert here(shipped).folder == folder
    assert not home.exists()


@pytest.mark.alone
def test_aliases_of_one_folder_travel_as_one_object(ray_cluster: None, folder: Path) -> None:
    whole, part = ship({"l6": Backbone("l6", folder), "l3": Backbone("l3", folder, 3)}).values()
    assert isinstance(whole, Shipped)
    assert isinstance(part, Shipped)
    assert whole.files == part.files
    assert (whole.layers, part.layers) == (None, 3)


@pytest.mark.alone
def test_another_node_fills_its_cache_once_for_all_its_workers(
    ray_cluster: None, folder: Path, home: Path
) -> None:
    (shipped,) = ship({"b": Backbone("b", folder, 2)}).values()
    killed = home / FOLDER / f".{elsewhere(shipped).digest}.part"
    killed.mkdir(parents=True)  # what a worker leaves that was killed while it wrote
    (killed / "model.safetensors").write_bytes(b"half")
    (killed / "left.json").write_bytes(b"half")
    with ThreadPoolExecutor(4) as workers:
        found = list(workers.map(here, [elsewhere(shipped)] * 4))
    assert {each.folder for each in found} == {home / FOLDER / elsewhere(shipped).digest}
    assert {each.layers for each in found} == {2}
    copy = found[0].folder
    assert {path.name: path.read_bytes() for path in copy.iterdir()} == FILES
    assert not killed.exists()
    written = copy.stat().st_ino
    assert here(elsewhere(shipped)).folder.stat().st_ino == written


@pytest.mark.alone
def test_a_cache_that_cannot_be_written_is_named(
    ray_cluster: None, folder: Path, home: Path
) -> None:
    home.write_text("a file where a folder should be")
    (shipped,) = ship({"b": Backbone("b", folder)}).values()
    with pytest.raises(BackboneError, match=r"backbone .b. cannot be kept.*set HF_HOME there"):
        here(elsewhere(shipped))
    config, data, share = None, None, None  # are not looked at
    answer = attempt(config, elsewhere(shipped), data, share)  # type: ignore[arg-type]
    assert isinstance(answer, Refused)
    assert answer.key == "model.backbone"
    assert "set HF_HOME there" in answer.reason
