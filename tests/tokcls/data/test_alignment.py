"""Sub-words stay with their words, whatever the words are made of and whoever tokenises them.

Four kinds of tokenizer, set up from files on disk as a backbone's is.
"""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.tiny import TokenizerKind, build_tokenizer
from tokcls.data.corpus import Corpus, Sentence
from tokcls.data.prepared import PreparedSplit, prepare
from tokcls.data.tokenizer import read_tokenizing
from tokcls.data.windows import Tokenizing, encode, first_rows
from tokcls.data.word_scores import WordScores
from tokcls.labels.decoding import decode_tags
from tokcls.labels.schema import LabelSchema
from tokcls.labels.schemes import SCHEMES
from tokcls.labels.scoring import count
from tokcls.labels.spans import Span

KINDS: tuple[TokenizerKind, ...] = ("wordpiece", "uncased", "bpe", "unigram")
every_kind = pytest.mark.parametrize("kind", KINDS)
# A busy machine is no failure, and the tokenizers are the same for every example.
unhurried = settings(
    deadline=None,
    max_examples=60,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)

NOTHING = {
    "zero-width space": "\u200b",
    "soft hyphen": "\u00ad",
    "control character": "\x07",
    "variation selector": "\ufe0f",
    "byte order mark": "\ufeff",
    "right-to-left override": "\u202e",
    "line separator": "\u2028",
    "blank": " ",
    "combining mark alone": "\u0301",
}
EMPTY = {  # what each tokenizer turns into no sub-word at all; byte-level ones spell out the bytes
    "wordpiece": {"zero-width space", "soft hyphen", "control character", "byte order mark"},
    "bpe": set(),
    "unigram": {"zero-width space", "control character", "byte order mark"},
}
EMPTY["wordpiece"] |= {"right-to-left override", "line separator", "blank"}
EMPTY["uncased"] = EMPTY["wordpiece"] | {"variation selector", "combining mark alone"}
EMPTY["unigram"] |= {"line separator", "blank"}
ODD = (
    "Zürich", unicodedata.normalize("NFD", "Zürich"), "\u1e69\u0323\u0307", "İstanbul", "ﬁnance",
    "👩🏽\u200d🚀", "👨\u200d👩\u200d👧\u200d👦", "🇳🇴", "❤\ufe0f", "\U000e0041",
    "שלום", "السلام\u200c", "\u200f(א)", "\uff11\uff12\uff13", "\uff21\uff22\uff23",
    "日本語", "한국어", "नमस्ते", "a\u200bb", "U.S.", "Jean-Luc", "<s>", "[CLS]", "<|endoftext|>",
    "x" * 200, "Ω", "ß", "\x00", "New York",
)  # fmt: skip


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[TokenizerKind, Tokenizing]:
    top = tmp_path_factory.mktemp("kinds")
    tokenizings = {}
    for kind in KINDS:
        build_tokenizer(kind, top / kind)
        (top / kind / "config.json").write_text('{"max_position_embeddings": 64}')
        tokenizings[kind] = read_tokenizing(top / kind, name=kind, max_length=16)
    return tokenizings


def split_of(words: list[str], made: Tokenizing, spans: tuple[Span, ...] = ()) -> PreparedSplit:
    sentence = Sentence(tuple(words), spans, 0)
    return prepare(Corpus((sentence,), (), (), "made", {}), made, stride=4).splits["train"]


def ids_of(word: str, made: Tokenizing) -> list[int]:
    encoding = made.tokenizer.encode([word], is_pretokenized=True, add_special_tokens=False)
    ids: list[int] = encoding.ids
    return ids


def check(words: list[str], made: Tokenizing) -> None:
    """Each word has its own sub-words, as if it stood alone, and a window or none at all."""
    encoded = encode([words, ["Oslo"]], made)
    for number, word in enumerate([*words, "Oslo"]):
        assert encoded.ids[encoded.owners == number].tolist() == ids_of(word, made)
    split = split_of(words, made)
    covered = set(first_rows(split.encoded, split.windows).word.tolist())
    owners = set(split.encoded.owners.tolist())
    assert covered == owners
    assert len(split.word) == split.encoded.words.sum()
    assert sorted(set(split.word.tolist())) == list(range(len(words)))


@every_kind
@pytest.mark.parametrize("name", NOTHING)
def test_a_word_that_becomes_nothing_shifts_no_other(
    made: dict[TokenizerKind, Tokenizing], kind: TokenizerKind, name: str
) -> None:
    word = NOTHING[name]
    assert (not ids_of(word, made[kind])) is (name in EMPTY[kind])
    check(["Anna", word, "Lisbon", word], made[kind])
    check([word], made[kind])


@every_kind
@pytest.mark.parametrize("word", ODD, ids=ascii)
def test_a_word_of_odd_characters_keeps_its_place(
    made: dict[TokenizerKind, Tokenizing], kind: TokenizerKind, word: str
) -> None:
    check(["Anna", word, "Lisbon", word, "."], made[kind])


@every_kind
@unhurried
@given(words=st.lists(st.one_of(st.text(min_size=1, max_size=8), st.sampled_from(ODD)), max_size=9))
def test_every_word_of_any_text_is_covered_or_reported_empty(
    made: dict[TokenizerKind, Tokenizing], kind: TokenizerKind, words: list[str]
) -> None:
    check(words, made[kind])


@every_kind
def test_a_word_that_becomes_nothing_is_outside_and_still_counts(
    made: dict[TokenizerKind, Tokenizing], kind: TokenizerKind
) -> None:
    words = ["Anna", "\u200b", "met", "\u200b", "Oslo"]
    gold = (Span(0, 1, "X"), Span(1, 2, "X"), Span(4, 5, "X"))
    split = split_of(words, made[kind], gold)
    schema = LabelSchema("IOB2", ("X",))
    scores = WordScores(split.encoded, split.windows, schema.unread)
    shape = (len(split.windows), 16, len(schema.tags))
    logits = np.zeros(shape, np.float32)
    logits[:, :, schema.index["B-X"]] = 9.0  # a network that sees an entity in every sub-word
    scores.add(np.arange(len(split.windows)), logits, offset=0)
    (rows,) = scores.by_sentence(split.offsets)
    spans = tuple(schema.decode_ids(rows.argmax(axis=1)))
    seen = [at for at, word in enumerate(words) if ids_of(word, made[kind])]
    assert spans == tuple(Span(at, at + 1, "X") for at in seen)
    counts = count(split.gold, [spans], split.lengths, ("X",))
    assert int((counts.tp + counts.fn).sum()) == len(gold)
    assert counts.words == len(words)


@every_kind
@pytest.mark.parametrize("scheme", ["IOB2", "BIOES", "BILOU"])
def test_an_entity_is_found_across_a_word_that_becomes_nothing(
    made: dict[TokenizerKind, Tokenizing], kind: TokenizerKind, scheme: str
) -> None:
    words, gold = ["Anna", "\u200b", "Oslo", "\u200b", "met"], (Span(0, 3, "X"),)
    split = split_of(words, made[kind], gold)
    schema = LabelSchema(scheme, ("X",))
    scores = WordScores(split.encoded, split.windows, schema.unread)
    wanted = schema.encode_ids(split.gold_parts(0), len(words))
    owner = split.encoded.word
    logits = np.zeros((1, len(owner), len(schema.tags)), np.float32)
    logits[0, np.arange(len(owner)), wanted[owner]] = 9.0
    scores.add(np.arange(1), logits, offset=0)
    transitions = SCHEMES[scheme].transitions(schema.tags)
    (ids,) = decode_tags(scores.by_sentence(split.offsets), transitions)
    assert tuple(schema.decode_ids(ids)) == gold


def test_what_a_normaliser_makes_equal_is_equal_word_by_word(
    made: dict[TokenizerKind, Tokenizing],
) -> None:
    composed, apart = "Zürich", unicodedata.normalize("NFD", "Zürich")
    assert composed != apart
    same = {kind: ids_of(composed, made[kind]) == ids_of(apart, made[kind]) for kind in KINDS}
    assert same == {"wordpiece": False, "uncased": True, "bpe": False, "unigram": True}
    assert ids_of("\uff11\uff12\uff13", made["unigram"]) == ids_of("123", made["unigram"])


def test_a_tokenizer_that_adds_nothing_around_a_text_has_windows_without_ends(
    tmp_path: Path,
) -> None:
    build_tokenizer("bpe", tmp_path, marks=False)
    (tmp_path / "config.json").write_text('{"n_positions": 32}')
    plain = read_tokenizing(tmp_path, name="plain")
    assert (plain.prefix, plain.suffix, plain.room) == ((), (), 32)
    check(["Anna", "flew", "to", "Lisbon"] * 20, plain)


@pytest.mark.parametrize("limit", [int(1e30), 1e30, None, -1])
def test_an_absurd_limit_of_the_tokenizer_is_no_limit(tmp_path: Path, limit: float | None) -> None:
    build_tokenizer("bpe", tmp_path)
    file = tmp_path / "tokenizer_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"model_max_length": limit}))
    (tmp_path / "config.json").write_text('{"max_position_embeddings": 96}')
    assert read_tokenizing(tmp_path, name="odd").max_length == 96
    (tmp_path / "config.json").write_text("{}")
    assert read_tokenizing(tmp_path, name="odd").max_length == 512
