"""A bundle is whole, unchanged and harmless, or it is refused with the reason."""

from __future__ import annotations

import hashlib
import json
import shutil
import typing
from pathlib import Path
from typing import Any

import pytest

from tests.tiny import ModelKind, tiny_model
from tokcls.errors import BundleError
from tokcls.inference.bundle import MANIFEST, Manifest, Window, read_manifest, seal
from tokcls.labels.schema import LabelSchema

WINDOW = {"max_length": 64, "stride": 8, "prefix": [2], "suffix": [3], "pad_id": 0}
FILES = ("config.json", "model.onnx", "model.safetensors", "tokenizer.json")
WRITTEN = Manifest(
    LabelSchema("BIOES", ("LOC", "PER"), "all"),
    "viterbi",
    Window(64, 8, (2,), (3,), 0),
    receipt={"seed": 13, "data": "abc", "nested": {"é": [1, None]}},
    metrics={"val_f1": 0.75},
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in FILES:
        (tmp_path / name).write_text(name)
    seal(tmp_path, WRITTEN)
    return tmp_path


def edit(folder: Path, **changes: Any) -> None:
    path = folder / MANIFEST
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def put(folder: Path, name: str) -> str:
    """Put an empty file into a folder; gives its SHA-256."""
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).touch()
    return hashlib.sha256().hexdigest()


def test_what_was_sealed_is_read_back(folder: Path) -> None:
    manifest = read_manifest(folder)
    assert manifest.schema == WRITTEN.schema
    assert manifest.window == WRITTEN.window
    assert manifest.receipt == WRITTEN.receipt
    assert manifest.metrics == WRITTEN.metrics
    assert set(manifest.files) == set(FILES)
    assert not list(folder.glob("*.part"))


def test_a_moved_bundle_is_the_same_bundle(folder: Path, tmp_path_factory: Any) -> None:
    moved = tmp_path_factory.mktemp("elsewhere") / "copy"
    shutil.copytree(folder, moved)
    assert read_manifest(moved) == read_manifest(folder)


def test_a_folder_without_manifest_is_no_bundle(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"is not a bundle: it holds no tokcls.json"):
        read_manifest(tmp_path)
    with pytest.raises(BundleError, match=r"is not a bundle: it is no folder"):
        read_manifest(tmp_path / "nowhere")


def test_a_missing_file_is_named(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    with pytest.raises(BundleError, match=r"model.safetensors is missing; copy"):
        read_manifest(folder)


def test_a_changed_file_is_named(folder: Path) -> None:
    (folder / "model.onnx").write_text("model.onnX")
    with pytest.raises(BundleError, match=r"model.onnx is not the file that was sealed"):
        read_manifest(folder)


@pytest.mark.parametrize(
    "name",
    [
        *("a.bin", "b.pt", "c.PKL", "sub/d.npz", "evil.py", "sub/run.py", "w.dill", "data.h5"),
        *("lib.so", "no_suffix", "model.gguf", "model.json.zip"),
    ],
)
def test_a_file_of_any_but_the_known_kinds_is_refused(folder: Path, name: str) -> None:
    put(folder, name)
    with pytest.raises(BundleError, match=rf"{name}: .*, \.jinja files alone.* remove it"):
        read_manifest(folder)
    with pytest.raises(BundleError, match=r"files alone"):
        seal(folder, WRITTEN)


@pytest.mark.parametrize("name", ["adapter_config.json", "Adapter_Config.JSON", "sub/run.py"])
def test_who_writes_the_manifest_cannot_list_in_what_a_bundle_must_not_hold(
    folder: Path, name: str
) -> None:
    files = json.loads((folder / MANIFEST).read_text())["files"]
    edit(folder, files=files | {name: put(folder, name)})
    with pytest.raises(BundleError, match=rf"{name}.* remove it"):
        read_manifest(folder)


def test_an_adapter_would_load_weights_from_elsewhere(folder: Path) -> None:
    put(folder, "adapter_config.json")
    with pytest.raises(BundleError, match=r"load weights from elsewhere.* merge the adapter"):
        seal(folder, WRITTEN)


@pytest.mark.parametrize(
    "name", ["b.safetensors", "vocab.txt", "model.int8.onnx", "more/chat_template.jinja"]
)
def test_a_file_that_nobody_sealed_is_refused(folder: Path, name: str) -> None:
    put(folder, name)
    with pytest.raises(BundleError, match=rf"{name} was not there when .* sealed; remove it"):
        read_manifest(folder)
    seal(folder, WRITTEN)
    assert name in read_manifest(folder).files


@pytest.mark.slow
@pytest.mark.parametrize("kind", typing.get_args(ModelKind))
def test_what_transformers_saves_of_every_backbone_can_be_sealed(
    kind: ModelKind, tmp_path: Path
) -> None:
    from transformers import AutoModelForTokenClassification

    from tokcls.model.backbones import find_backbone
    from tokcls.model.export import save_hf
    from tokcls.model.loader import load_tokenizer, quiet_transformers

    schema = LabelSchema("IOB2", ("LOC",))
    backbone = find_backbone(str(tiny_model(kind, tmp_path / "backbone")))
    with quiet_transformers():
        model = AutoModelForTokenClassification.from_pretrained(backbone.folder, num_labels=3)
    save_hf(model, load_tokenizer(backbone), schema, tmp_path / "bundle")
    (tmp_path / "bundle" / "model.onnx").touch()
    assert len(seal(tmp_path / "bundle", WRITTEN).files) >= len(FILES)


def test_what_a_system_leaves_in_any_folder_is_no_part_of_a_bundle(folder: Path) -> None:
    (folder / ".cache").mkdir()
    (folder / ".cache" / "note").touch()
    (folder / ".cache" / "lock.py").touch()
    (folder / ".DS_Store").touch()
    read_manifest(folder)
    assert set(seal(folder, WRITTEN).files) == set(FILES)


def test_a_newer_format_asks_for_an_upgrade(folder: Path) -> None:
    edit(folder, format=2)
    with pytest.raises(BundleError, match=r"format 2, .* reads up to 1; upgrade"):
        read_manifest(folder)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"decoding": "beam"}, "decoding"),
        ({"schema": {"scheme": "BIO", "types": [], "subwords": "first"}}, "schema.*scheme must be"),
        ({"window": {}}, "window.max_length"),
        ({"window": {**WINDOW, "context": "book"}}, "window.context"),
        ({"files": {}}, "files: .*config.json.* are not listed"),
        ({"metrics": {"f1": "high"}}, "metrics.f1"),
    ],
)
def test_a_damaged_manifest_is_refused_with_the_place(
    folder: Path, changes: dict[str, Any], message: str
) -> None:
    edit(folder, **changes)
    with pytest.raises(BundleError, match=rf"tokcls.json is damaged: {message}.*; copy"):
        read_manifest(folder)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", "\x00", "[" * 100_000, '"x"'])
def test_a_manifest_that_is_no_manifest_is_damaged(folder: Path, text: str) -> None:
    (folder / MANIFEST).write_text(text)
    with pytest.raises(BundleError, match=r"is damaged"):
        read_manifest(folder)


def test_a_bundle_from_before_contexts_reads_sentences(folder: Path) -> None:
    window = json.loads((folder / MANIFEST).read_text())["window"]
    del window["context"]
    edit(folder, window=window)
    assert read_manifest(folder).window == Window(64, 8, (2,), (3,), 0, "sentence")


def test_a_name_outside_the_folder_is_not_read(folder: Path) -> None:
    (folder.parent / "secret").write_text("x")
    files = json.loads((folder / MANIFEST).read_text())["files"]
    edit(folder, files=files | {"../secret": "0" * 64})
    with pytest.raises(BundleError, match=r"\.\./secret is missing"):
        read_manifest(folder)


def test_an_unfinished_folder_is_not_sealed(tmp_path: Path) -> None:
    (tmp_path / "config.json").touch()
    with pytest.raises(BundleError, match=r"missing: \['model.onnx'"):
        seal(tmp_path, WRITTEN)
    assert not (tmp_path / MANIFEST).exists()


def test_a_window_needs_room_between_its_special_ids() -> None:
    with pytest.raises(ValueError, match=r"more than the 2 special ids .* got max_length=2"):
        Window(2, 0, (1,), (2,), 0)
