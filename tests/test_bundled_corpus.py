"""What the bundled corpus promises: its size, that no text repeats, that its labels are sound."""

from __future__ import annotations

import tomllib
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from fnmatch import fnmatch
from importlib import resources
from pathlib import Path

import pytest

from tokcls.config import DataConfig
from tokcls.data.corpus import Corpus, Sentence
from tokcls.data.source import load_corpus

ROOT = Path(__file__).resolve().parent.parent
AT_LEAST = {"train": 900, "validation": 200, "test": 200}
LONG_RUN = 7
"""words in a row that two splits share only if one was copied from the other"""


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    """Read the corpus as a sweep does."""
    return load_corpus(DataConfig(source="bundled"), seed=13)


def everything(corpus: Corpus) -> list[Sentence]:
    """List the sentences of all splits."""
    return [sentence for sentences in corpus.splits.values() for sentence in sentences]


def documents(sentences: Sequence[Sentence]) -> list[list[Sentence]]:
    """Group the sentences of a split by the text they stand in."""
    found: dict[int, list[Sentence]] = defaultdict(list)
    for sentence in sentences:
        found[sentence.document].append(sentence)
    return list(found.values())


def runs(sentence: Sentence, length: int) -> Iterator[tuple[str, ...]]:
    """Yield every run of so many words, in small letters."""
    words = [word.lower() for word in sentence.words]
    return zip(*(words[start:] for start in range(length)), strict=False)


def names(sentences: Sequence[Sentence]) -> set[str]:
    """Collect the different entity strings."""
    return {
        " ".join(sentence.words[span.start : span.end])
        for sentence in sentences
        for span in sentence.spans
    }


def place(sentence: Sentence) -> str:
    """Say where a sentence is, and what it says."""
    return f"{Path(sentence.file).name}:{sentence.line}: {' '.join(sentence.words)}"


@pytest.mark.parametrize("split", AT_LEAST)
def test_a_split_has_enough_sentences(corpus: Corpus, split: str) -> None:
    assert len(corpus.splits[split]) >= AT_LEAST[split]


@pytest.mark.parametrize("split", AT_LEAST)
def test_a_document_has_6_to_20_sentences(corpus: Corpus, split: str) -> None:
    wrong = [place(d[0]) for d in documents(corpus.splits[split]) if not 6 <= len(d) <= 20]
    assert not wrong


def test_no_sentence_occurs_twice(corpus: Corpus) -> None:
    places: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for sentence in everything(corpus):
        places[sentence.words].append(place(sentence))
    assert not [found for found in places.values() if len(found) > 1]


def test_splits_share_no_document(corpus: Corpus) -> None:
    seen: dict[tuple[str, ...], str] = {}
    shared = []
    for split, sentences in corpus.splits.items():
        for sentence in sentences:
            for run in runs(sentence, LONG_RUN):
                if seen.setdefault(run, split) != split:
                    shared.append(f"{place(sentence)}: `{' '.join(run)}` is in {seen[run]} too")
    assert not shared


@pytest.mark.parametrize("split", ["validation", "test"])
def test_half_of_the_names_do_not_occur_in_train(corpus: Corpus, split: str) -> None:
    here = names(corpus.splits[split])
    assert len(here - names(corpus.train)) >= 0.5 * len(here)


def test_words_are_not_combined_the_same_way_again_and_again(corpus: Corpus) -> None:
    trigrams = Counter(run for sentence in everything(corpus) for run in runs(sentence, 3))
    assert len(trigrams) >= 0.8 * trigrams.total(), trigrams.most_common(10)


def test_the_types_are_those_of_the_guideline(corpus: Corpus) -> None:
    assert corpus.types == ("LOC", "MISC", "ORG", "PER")
    for sentences in corpus.splits.values():
        assert {span.type for sentence in sentences for span in sentence.spans} == {*corpus.types}


@pytest.mark.parametrize("split", AT_LEAST)
def test_a_tenth_of_the_sentences_have_no_name(corpus: Corpus, split: str) -> None:
    sentences = corpus.splits[split]
    assert sum(not sentence.spans for sentence in sentences) >= 0.1 * len(sentences)


@pytest.mark.parametrize("split", AT_LEAST)
def test_the_tags_are_valid_iob2(corpus: Corpus, split: str) -> None:
    assert corpus.schemes[split].scheme == "IOB2"
    assert corpus.schemes[split].violations == 0
    previous, wrong = "O", []
    text = (resources.files("tokcls.bundled") / f"{split}.txt").read_text(encoding="utf-8")
    for number, line in enumerate(text.splitlines(), start=1):
        tag = line.rpartition(" ")[2] or "O"
        prefix, _, kind = tag.partition("-")
        if prefix == "I" and previous not in (f"B-{kind}", f"I-{kind}"):
            wrong.append(f"{split}.txt:{number}: {tag} after {previous}")
        previous = tag
    assert not wrong


def test_the_corpus_and_its_guideline_ship_with_the_package() -> None:
    table = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    patterns = table["tool"]["setuptools"]["package-data"]["tokcls"]
    folder = resources.files("tokcls.bundled")
    for name in ("GUIDELINES.md", *(f"{split}.txt" for split in AT_LEAST)):
        assert (folder / name).is_file()
        assert any(fnmatch(f"bundled/{name}", pattern) for pattern in patterns), name


def test_the_guideline_explains_every_type_and_says_how_the_text_may_be_used(
    corpus: Corpus,
) -> None:
    text = (resources.files("tokcls.bundled") / "GUIDELINES.md").read_text(encoding="utf-8")
    assert all(f"| {kind} |" in text for kind in corpus.types)
    assert "CC0" in text
