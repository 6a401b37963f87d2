"""Tiny real models on disk, built without a network: for tests of everything that loads one.

    folder = tiny_model("bert", tmp_path / "bert")

A folder holds what `save_pretrained` writes: config, safetensors weights, tokenizer. The weights
are random but seeded; two layers, hidden size 32.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

TokenizerKind = Literal["wordpiece", "uncased", "bpe", "unigram"]
ModelKind = Literal["bert", "roberta", "gpt2", "distilbert", "xlm-roberta"]

POSITIONS = 64
"""sub-words that a tiny model reads at once, special tokens included"""

TOKENIZERS: dict[ModelKind, str] = {
    "bert": "PreTrainedTokenizerFast",
    "distilbert": "PreTrainedTokenizerFast",
    "roberta": "RobertaTokenizer",
    "gpt2": "GPT2Tokenizer",
    "xlm-roberta": "PreTrainedTokenizerFast",
}
PIECES: dict[ModelKind, TokenizerKind] = {
    "bert": "wordpiece",
    "distilbert": "wordpiece",
    "roberta": "bpe",
    "gpt2": "bpe",
    "xlm-roberta": "unigram",
}

NAMES = {
    "PER": ("Anna", "Rafael", "Ingrid", "Tomas", "Maria Silva", "Peter van Dam", "Ada Lovelace"),
    "LOC": ("Lisbon", "Oslo", "Kyoto", "Peru", "New Jersey", "Río Negro", "Zürich"),
    "ORG": ("Acme", "Reuters", "Nordbank", "Green Party", "Bank of Peru", "North Sea Oil"),
}
FRAMES = (
    "{PER} flew from {LOC} to {LOC} on Monday .",
    "{ORG} said that {PER} will leave {ORG} in May .",
    "The office of {ORG} in {LOC} is closed .",
    "{LOC} , {LOC} and {LOC} were quiet , wrote {PER} .",
    "{PER} met {PER} at the gate .",
    "Prices rose by 3 % ; nobody was surprised .",
    "Shares of {ORG} ( {LOC} ) fell again .",
)
Example = tuple[list[str], list[tuple[int, int, str]]]


def examples(count: int = 200) -> list[Example]:
    """Make sentences with their spans (start word, end word exclusive, type), always the same."""
    turn = {kind: _cycle(names) for kind, names in NAMES.items()}
    made: list[Example] = []
    for number in range(count):
        words: list[str] = []
        spans: list[tuple[int, int, str]] = []
        for piece in FRAMES[number % len(FRAMES)].split():
            kind = piece.strip("{}")
            name = next(turn[kind]).split() if piece.startswith("{") else [piece]
            if piece.startswith("{"):
                spans.append((len(words), len(words) + len(name), kind))
            words.extend(name)
        made.append((words, spans))
    return made


def _cycle(names: Sequence[str]) -> Iterator[str]:
    while True:
        yield from names


def build_tokenizer(
    kind: TokenizerKind,
    folder: Path,
    sentences: Sequence[str] | None = None,
    *,
    marks: bool = True,
    positions: int = POSITIONS,
) -> PreTrainedTokenizerFast:
    """Train a 1,000-piece tokenizer on `sentences` (default: `examples`) and save it.

    With `marks` it puts a special token before and after every sentence; GPT-2 has none there.
    """
    from tokenizers import processors
    from transformers import PreTrainedTokenizerFast

    lines = list(sentences or (" ".join(words) for words, _ in examples()))
    raw, special = _TRAINED[kind](lines)
    if marks:
        ends = (special["cls_token"], special["sep_token"])
        raw.post_processor = processors.TemplateProcessing(
            single=f"{ends[0]} $A {ends[1]}",
            special_tokens=[(token, raw.token_to_id(token)) for token in ends],
        )
    made: Any = PreTrainedTokenizerFast
    tokenizer: PreTrainedTokenizerFast = made(
        tokenizer_object=raw, model_max_length=positions, **special
    )
    tokenizer.save_pretrained(folder)
    return tokenizer


def _wordpiece(lines: Sequence[str], *, lowercase: bool = False) -> tuple[Any, dict[str, str]]:
    """WordPiece as BERT has it; lower case goes with accents that are taken off."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers
    from tokenizers.trainers import WordPieceTrainer

    special = {name: f"[{name.upper()}]" for name in ("pad", "unk", "cls", "sep", "mask")}
    raw = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    raw.normalizer = normalizers.BertNormalizer(lowercase=lowercase)
    raw.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    raw.decoder = decoders.WordPiece()
    trainer = WordPieceTrainer(
        vocab_size=1000, special_tokens=list(special.values()), show_progress=False
    )
    raw.train_from_iterator(lines, trainer)
    return raw, {f"{name}_token": token for name, token in special.items()}


def _byte_level(lines: Sequence[str]) -> tuple[Any, dict[str, str]]:
    """Byte-level BPE as RoBERTa and GPT-2 have it: a word is another without a blank before it."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from tokenizers.trainers import BpeTrainer

    special = {"cls": "<s>", "pad": "<pad>", "sep": "</s>", "unk": "<unk>", "mask": "<mask>"}
    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    trainer = BpeTrainer(
        vocab_size=1000,
        special_tokens=list(special.values()),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    raw.train_from_iterator(lines, trainer)
    names = {f"{name}_token": token for name, token in special.items()}
    return raw, names | {"bos_token": "<s>", "eos_token": "</s>"}


def _unigram(lines: Sequence[str]) -> tuple[Any, dict[str, str]]:
    """SentencePiece Unigram as XLM-R has it: a word begins with a mark, much becomes nothing."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers
    from tokenizers.trainers import UnigramTrainer

    special = {"cls": "<s>", "pad": "<pad>", "sep": "</s>", "unk": "<unk>", "mask": "<mask>"}
    raw = Tokenizer(models.Unigram())
    raw.normalizer = normalizers.Sequence([normalizers.Nmt(), normalizers.NFKC()])
    raw.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace(prepend_scheme="always")]
    )
    raw.decoder = decoders.Metaspace(prepend_scheme="always")
    trainer = UnigramTrainer(
        vocab_size=1000,
        special_tokens=list(special.values()),
        unk_token="<unk>",
        show_progress=False,
    )
    raw.train_from_iterator(lines, trainer)
    names = {f"{name}_token": token for name, token in special.items()}
    return raw, names | {"bos_token": "<s>", "eos_token": "</s>"}


_TRAINED: dict[TokenizerKind, Callable[[Sequence[str]], tuple[Any, dict[str, str]]]] = {
    "wordpiece": _wordpiece,
    "uncased": partial(_wordpiece, lowercase=True),
    "bpe": _byte_level,
    "unigram": _unigram,
}


def tiny_model(
    kind: ModelKind,
    folder: Path,
    sentences: Sequence[str] | None = None,
    *,
    positions: int = POSITIONS,
) -> Path:
    """Save a two-layer backbone, random weights, and a tokenizer of its kind; return `folder`."""
    import torch
    from transformers import AutoModel

    tokenizer = build_tokenizer(
        PIECES[kind], folder, sentences, marks=kind != "gpt2", positions=positions
    )
    _name_class(folder / "tokenizer_config.json", TOKENIZERS[kind])
    with torch.random.fork_rng():
        torch.manual_seed(13)
        factory: Any = AutoModel
        model = factory.from_config(_config(kind, tokenizer, positions))
    model.save_pretrained(folder)
    return folder


def _name_class(file: Path, name: str) -> None:
    """Let AutoTokenizer load the class that a published model names: it knows add_prefix_space."""
    settings = json.loads(file.read_text(encoding="utf-8"))
    file.write_text(json.dumps(settings | {"tokenizer_class": name}), encoding="utf-8")


def _config(kind: ModelKind, tokenizer: PreTrainedTokenizerFast, positions: int) -> Any:
    from transformers import (
        BertConfig,
        DistilBertConfig,
        GPT2Config,
        RobertaConfig,
        XLMRobertaConfig,
    )

    ids: dict[str, Any] = {"pad_token_id": tokenizer.pad_token_id, "vocab_size": len(tokenizer)}
    bert: dict[str, Any] = {
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 64,
    }
    if kind == "bert":
        return BertConfig(**bert, **ids, max_position_embeddings=positions)
    if kind in ("roberta", "xlm-roberta"):
        # They count their positions from pad_token_id + 1.
        rows = positions + tokenizer.pad_token_id + 1
        made: Any = RobertaConfig if kind == "roberta" else XLMRobertaConfig
        return made(**bert, **ids, max_position_embeddings=rows)
    if kind == "distilbert":
        return DistilBertConfig(
            dim=32, n_layers=2, n_heads=2, hidden_dim=64, max_position_embeddings=positions, **ids
        )
    ends: dict[str, Any] = {
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
    }
    return GPT2Config(n_embd=32, n_layer=2, n_head=2, n_positions=positions, **ids, **ends)
