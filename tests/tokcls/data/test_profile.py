"""The report of `--check`: sizes, schemes, leaks, what truncation and schemes would lose."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from tests.tiny import tiny_model
from tokcls.config import DataConfig, LabelsConfig
from tokcls.data.corpus import Corpus, Sentence
from tokcls.data.profile import Profile, profile
from tokcls.data.source import load_corpus
from tokcls.errors import BackboneError
from tokcls.labels.schemes import Detected
from tokcls.labels.spans import Span

PARIS = Sentence(("Paris", "is", "old"), (Span(0, 1, "LOC"),), 0)
ADA = Sentence(("Ada", "Lovelace"), (Span(0, 1, "PER"), Span(1, 2, "PER")), 1)
LONG = Sentence(("the",) * 60 + ("Expo",), (Span(60, 61, "EVENT"),), 0)
LABELS = (LabelsConfig(scheme="IO"), LabelsConfig())
DIRTY = Detected("IOB2", "prefixes O B I", 6)
CORPUS = Corpus((PARIS, ADA), (ADA, PARIS), (LONG, ADA), "letters", {"train": DIRTY})


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model("bert", tmp_path_factory.mktemp("profile") / "bert")


def profiled(bert: Path, corpus: Corpus = CORPUS, max_length: int = 32) -> Profile:
    data = DataConfig(source="letters", max_length=max_length, stride=4)
    return profile(corpus, {"tiny": bert, "twin": bert}, data, LABELS)


def test_sizes_and_what_was_found_in_the_files_are_told_by_split(bert: Path) -> None:
    lines = profiled(bert).lines()
    assert lines[:3] == [
        "corpus letters",
        "  train      2 sentences, 5 words, 3 spans (LOC 1, PER 2); longest sentence 3 words",
        "             scheme IOB2 (prefixes O B I); 6 violations",
    ]
    noted = profiled(bert, replace(CORPUS, notes=("3 comments",))).lines()
    assert "  note: 3 comments" in noted


def test_sentences_that_stand_in_an_earlier_split_are_counted_by_split(bert: Path) -> None:
    splits = profiled(bert).splits
    assert splits["train"].repeated == {}
    assert splits["validation"].repeated == {"train": 2}
    assert splits["test"].repeated == {"train": 1, "validation": 1}


def test_types_that_train_lacks_are_named(bert: Path) -> None:
    found = profiled(bert)
    assert found.not_in_train == ("EVENT",)
    assert "  not in train: EVENT; nothing can learn it, so it is scored as missed" in found.lines()


def test_a_type_that_is_merged_into_one_that_train_has_is_learned(bert: Path) -> None:
    merged = LabelsConfig(types={"EVENT": "LOC"})
    assert profile(CORPUS, {}, DataConfig(source="letters"), (merged,)).not_in_train == ()
    dropped = LabelsConfig(types={"EVENT": None})
    assert profile(CORPUS, {}, DataConfig(source="letters"), (dropped,)).not_in_train == ()
    both = (LabelsConfig(), merged)
    assert profile(CORPUS, {}, DataConfig(source="letters"), both).not_in_train == ("EVENT",)


def test_what_truncation_would_lose_is_counted_and_windows_lose_nothing(bert: Path) -> None:
    found = profiled(bert)
    assert found.backbones["tiny"] == found.backbones["twin"]
    assert found.backbones["tiny"].max_length == 32
    assert (found.backbones["tiny"].lost_by_truncation, found.backbones["tiny"].lost) == (1, 0)
    assert found.backbones["tiny"].windows["test"] > 2
    roomy = profiled(bert, max_length=64).backbones["tiny"]
    assert (roomy.windows["test"], roomy.lost_by_truncation) == (2, 0)


def test_what_a_scheme_cannot_write_is_told(bert: Path) -> None:
    found = profiled(bert)
    assert (found.ceilings["IO"].lost, found.ceilings["IOB2"].lost) == (2, 0)
    assert [line for line in found.lines() if "cannot write" in line] == [
        "  scheme IO cannot write 2 of 3 validation spans: no model that learns it reaches more "
        "than F1 0.400"
    ]


def test_what_a_scheme_cannot_write_once_types_are_merged_is_told(bert: Path) -> None:
    pair = Sentence(("Ada", "Paris"), (Span(0, 1, "PER"), Span(1, 2, "LOC")), 0)
    corpus = Corpus((pair,), (pair,), (), "c", {})
    data = DataConfig(source="c")
    apart, merged = LabelsConfig(scheme="IO"), LabelsConfig(scheme="IO", types={"LOC": "PER"})
    assert profile(corpus, {}, data, (apart,)).ceilings["IO"].lost == 0
    assert profile(corpus, {}, data, (apart, merged)).ceilings["IO"].lost == 2


def test_entities_that_the_tokenizer_turns_into_nothing_are_counted_as_lost(bert: Path) -> None:
    nothing = Sentence(("\u200b", "Ada", "\u200b"), (Span(0, 1, "PER"), Span(1, 3, "PER")), 0)
    corpus = Corpus((nothing,), (PARIS,), (), "c", {})
    assert profiled(bert, corpus).backbones["tiny"].lost == 1


def test_the_same_is_one_json_object(bert: Path) -> None:
    plain = json.loads(json.dumps(profiled(bert).to_json()))
    sizes = ("sentences", "words", "spans")
    assert [plain["splits"]["test"][key] for key in sizes] == [2, 63, 3]
    assert plain["splits"]["test"]["spans_by_type"] == {"EVENT": 1, "PER": 2}
    keys = ("scheme", "violations", "lost_by_truncation", "lost")
    assert [plain[key] for key in keys] == ["IOB2", 6, 1, 0]


def test_a_tokenizer_that_only_transformers_can_read_is_a_note(tmp_path: Path) -> None:
    data = DataConfig(source="letters")
    found = profile(CORPUS, {"old": tmp_path}, data, LABELS)
    assert found.backbones == {}
    assert "old has no tokenizer.json" in found.notes[0]


def test_windows_longer_than_the_backbone_reads_are_refused(bert: Path) -> None:
    with pytest.raises(BackboneError, match="reads at most"):
        profiled(bert, max_length=100_000)


def test_the_bundled_corpus_leaks_nothing_and_fits(bert: Path) -> None:
    corpus = load_corpus(DataConfig(source="bundled"), seed=1)
    found = profiled(bert, corpus, max_length=64)
    assert found.not_in_train == ()
    assert all(not any(split.repeated.values()) for split in found.splits.values())
    assert found.backbones["tiny"].lost == 0
