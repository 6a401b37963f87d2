"""A corpus is loaded from wherever `data.source` points, or everything wrong with it is told."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from tokcls.config import Columns, DataConfig, SplitFiles
from tokcls.data.corpus import Corpus
from tokcls.data.source import load_corpus
from tokcls.errors import CorpusError
from tokcls.labels.spans import Span


def load(source: Any, *, seed: int = 1, cached: bool = False, **keys: Any) -> Corpus:
    """Load what a `data` section names; a folder may be a path."""
    place = str(source) if isinstance(source, Path) else source
    return load_corpus(DataConfig(source=place, **keys), seed=seed, cached=cached)


def problems(source: Any, **keys: Any) -> list[str]:
    with pytest.raises(CorpusError) as caught:
        load(source, **keys)
    return [str(problem) for problem in caught.value.problems]


def fill(folder: Path, **files: str) -> Path:
    """Write files; `train_txt` is train.txt, `train` has no suffix."""
    for name, content in files.items():
        (folder / name.replace("_", ".")).write_text(content)
    return folder


FOUR = "".join(f"-DOCSTART-\n\na{n} B-X\n\nb{n} O\n\n" for n in range(4))


def test_a_folder_is_read_split_by_split_with_their_own_schemes(tmp_path: Path) -> None:
    folder = fill(tmp_path, train_txt="a B-X\n", valid_iob="b I-Y\n\nc O\n", test_tsv="d S-X\n")
    corpus = load(folder)
    sizes = {name: len(sentences) for name, sentences in corpus.splits.items()}
    assert sizes == {"train": 1, "validation": 2, "test": 1}
    assert (corpus.name, corpus.types) == (str(tmp_path), ("X", "Y"))
    schemes = {split: found.scheme for split, found in corpus.schemes.items()}
    assert schemes == {"train": "IOB2", "validation": "IOB1", "test": "BIOES"}


def test_the_formats_of_a_folder_may_differ_and_offsets_have_no_scheme(tmp_path: Path) -> None:
    text = '{"text": "Ada", "spans": [{"start": 0, "end": 3, "label": "PER"}]}'
    table = "sentence,word,tag\n1,Ada,B-PER\n"
    corpus = load(fill(tmp_path, train_txt="Ada B-PER\n", dev_jsonl=text, test_csv=table))
    assert corpus.train[0].spans == corpus.validation[0].spans == corpus.test[0].spans
    assert set(corpus.schemes) == {"train", "test"}


def test_the_test_split_may_be_absent(tmp_path: Path) -> None:
    corpus = load(fill(tmp_path, train_txt="a O\n", dev_txt="b O\n", NOTES_md="no data"))
    assert corpus.test == ()
    assert set(corpus.schemes) == {"train", "validation"}


def test_missing_doubtful_and_wrong_files_are_told_together(tmp_path: Path) -> None:
    folder = fill(tmp_path, dev_txt="b\n", val_conll="b O\n", test_txt="c X-\n")
    assert problems(folder) == [
        f"{folder}: no train split; looked for train; the folder has dev.txt, test.txt, val.conll",
        f"{folder}: dev.txt and val.conll could each be the validation split; keep one of them",
        f"{folder}/test.txt:1: 'X-' is not a tag; expected O, or B- I- M- E- S- L- U- and a type, "
        "such as B-PER",
    ]


@pytest.mark.parametrize("source", ["./nowhere", "/no/such/place", "~nobody-at-all/x"])
def test_a_place_that_is_missing_is_a_problem(source: str) -> None:
    assert problems(source) == [f"{source}: no such file or folder; check the path"]


def test_one_file_needs_a_share_for_validation(tmp_path: Path) -> None:
    file = fill(tmp_path, all_txt=FOUR) / "all.txt"
    assert "is one file: set data.validation to a share such as 0.1" in problems(file)[0]
    corpus = load(file, validation=0.5)
    assert (len(corpus.train), len(corpus.validation), len(corpus.test)) == (4, 4, 0)
    assert corpus.notes == (f"{file}: 2 documents of train are the validation split (seed 1)",)


def test_validation_is_cut_from_train_by_document_with_the_seed(tmp_path: Path) -> None:
    folder = fill(tmp_path, train_txt=FOUR, test_txt="t O\n")
    cuts = [load(folder, validation=0.25, seed=seed) for seed in range(6)]
    words = [tuple(s.words[0] for s in cut.validation) for cut in cuts]
    assert {pair[0][1] == pair[1][1] for pair in words} == {True}
    assert len(set(words)) > 1
    assert load(folder, validation=0.25, seed=3) == cuts[3]
    files = SplitFiles(train=str(folder / "train.txt"), test=str(folder / "test.txt"))
    assert load(files, validation=0.25, seed=3).validation == cuts[3].validation


def test_a_share_beside_a_validation_split_is_a_problem(tmp_path: Path) -> None:
    folder = fill(tmp_path, train_txt=FOUR, dev_txt="b O\n")
    expected = "data.validation: there is a validation split already; take the key away"
    assert problems(folder, validation=0.5) == [f"{folder}: {expected}"]
    assert problems("bundled", validation=0.5) == [f"bundled: {expected}"]


def test_a_share_of_one_document_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("-DOCSTART-\n\na O\n\nb O\n")
    assert (
        "train is one document, which is not cut; give a validation file"
        in (problems(tmp_path / "a.txt", validation=0.5)[0])
    )


def test_only_the_first_sentences_are_kept_where_a_limit_is_set(tmp_path: Path) -> None:
    folder = fill(tmp_path, train_txt=FOUR, dev_txt="b O\n")
    corpus = load(folder, limit=3)
    assert "only the first 3 sentences of each split are read (data.limit)" in corpus.remarks
    assert not any("data.limit" in remark for remark in load(folder, limit=10**6).remarks)
    assert [s.words for s in corpus.train] == [("a0",), ("b0",), ("a1",)]
    assert len(corpus.validation) == 1
    (tmp_path / "dev.txt").write_text("b O\n\nc\n")
    assert "dev.txt:3: one column" in problems(folder, limit=1)[0]


def test_rules_hold_for_every_file(tmp_path: Path) -> None:
    folder = fill(tmp_path, train_txt="O a\n", dev_txt="O b\n")
    corpus = load(folder, columns=Columns(word=1, tag=0), scheme="IO")
    assert [s.words[0] for s in (*corpus.train, *corpus.validation)] == ["a", "b"]
    assert {found.evidence for found in corpus.schemes.values()} == {"given as data.scheme"}


def test_a_type_that_train_lacks_is_kept(tmp_path: Path) -> None:
    corpus = load(fill(tmp_path, train_txt="a B-X\n", dev_txt="b B-Y\n", test_txt="c B-Z\n"))
    assert corpus.types == ("X", "Y", "Z")


def test_files_can_be_given_one_by_one(tmp_path: Path) -> None:
    fill(tmp_path, one_txt="a I-X\n", two_txt="b O\n")
    files = SplitFiles(train=str(tmp_path / "one.txt"), validation=str(tmp_path / "two.txt"))
    corpus = load(files)
    assert corpus.train[0].spans == (Span(0, 1, "X"),)
    assert (len(corpus.validation), corpus.test) == (1, ())


def test_all_given_files_are_checked_before_any_complaint(tmp_path: Path) -> None:
    files = SplitFiles(train=str(tmp_path / "a"), validation=str(tmp_path / "b"), test="c-not-here")
    with pytest.raises(CorpusError) as caught:
        load(files)
    assert [problem.file[-1] for problem in caught.value.problems[:2]] == ["a", "b"]
    assert len(caught.value.problems) == 3


def test_the_bundled_corpus_has_three_clean_splits() -> None:
    corpus = load("bundled")
    assert corpus.types == ("LOC", "MISC", "ORG", "PER")
    assert all(found.violations == 0 for found in corpus.schemes.values())
    assert all(corpus.splits.values())
    assert corpus.notes == ()
    assert len(load("bundled", limit=7).train) == 7


def hub_like(names: list[str], **columns: Any) -> Any:
    """One split as `datasets` gives it, with named tags."""
    from datasets import ClassLabel, Dataset, Features, List, Value

    kinds: dict[str, Any] = {column: List(ClassLabel(names=names)) for column in columns}
    kinds["tokens"] = List(Value("string"))
    return Dataset.from_dict(columns, features=Features({name: kinds[name] for name in columns}))


NAMES = ["O", "B-PER", "I-PER"]
ROWS: dict[str, Any] = {"tokens": [["Ada", "Lovelace"], [], ["wrote"]]}
TAGS: list[list[int]] = [[1, 2], [], [0]]
SPLIT_NAMES = ("train", "validation", "test")


def test_a_folder_that_save_to_disk_wrote_is_read(tmp_path: Path) -> None:
    from datasets import DatasetDict

    split = hub_like(NAMES, **ROWS, ner_tags=TAGS)
    DatasetDict({"train": split, "dev": split}).save_to_disk(tmp_path / "many")
    corpus = load(tmp_path / "many")
    assert corpus.validation[0].spans == (Span(0, 2, "PER"),)
    assert corpus.train[0].file == f"{tmp_path}/many [train]"
    split.save_to_disk(tmp_path / "one")
    assert "no validation split" in problems(tmp_path / "one")[0]
    assert len(load(tmp_path / "one", validation=0.5).validation) == 1


def test_the_splits_of_a_data_set_must_be_clear_and_right(tmp_path: Path) -> None:
    from datasets import DatasetDict

    right, wrong = (hub_like(NAMES, **ROWS, ner_tags=tags) for tags in (TAGS, [[1], [], [0]]))
    DatasetDict({"train": wrong, "dev": right, "testa": right}).save_to_disk(tmp_path)
    assert problems(tmp_path) == [
        f"{tmp_path} [train]: row 0: 1 ner_tags for 2 tokens; expected as many words as tags",
        f"{tmp_path}: dev and testa could each be the validation split; keep one of them "
        "(found train, dev, testa)",
    ]


@pytest.fixture
def hub(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that stands for a Hub data set under a relative name, with an empty cache."""
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path_factory.mktemp("cache"))
    folder = tmp_path_factory.mktemp("hub")
    (folder / "org" / "letters").mkdir(parents=True)
    return folder


def store(folder: Path) -> None:
    for split in SPLIT_NAMES:
        hub_like(NAMES, **ROWS, ner_tags=TAGS).to_parquet(folder / f"{split}.parquet")


def test_a_data_set_is_loaded_as_the_hub_stores_it(hub: Path) -> None:
    from tokcls.data.readers.arrow import read_dataset, read_hub

    store(hub / "org" / "letters")
    loaded = read_hub(str(hub / "org" / "letters"))
    assert list(loaded) == list(SPLIT_NAMES)
    assert read_dataset(loaded["test"], "x").sentences[0].spans == (Span(0, 2, "PER"),)


@pytest.mark.parametrize("script", [True, False])
def test_a_data_set_that_cannot_be_loaded_is_a_problem_with_the_reason(
    hub: Path, script: bool
) -> None:
    from tokcls.data.readers.arrow import read_hub

    folder = hub / "org" / "letters"
    if script:
        (folder / "letters.py").touch()
    with pytest.raises(CorpusError, match=r"the Hub data set cannot be loaded: .*(script|contain)"):
        read_hub(str(folder))


def test_a_cached_data_set_is_read_without_asking_the_hub(
    hub: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import datasets

    store(hub / "org" / "letters")
    cache = Path(datasets.config.HF_DATASETS_CACHE)
    datasets.load_dataset(str(hub / "org" / "letters"))
    (cache / "letters").rename(cache / "org___letters")
    monkeypatch.setattr(
        datasets, "load_dataset", lambda *_: pytest.fail("the Hub was asked for the data set")
    )
    started = time.monotonic()
    corpus = load("org/letters", cached=True)
    assert time.monotonic() - started < 5
    assert (corpus.name, len(corpus.train)) == ("org/letters", 2)
    with pytest.raises(CorpusError, match=r"lhoestq/conll2003: .* is not in the local cache: "):
        load("conll2003", cached=True)


def test_which_splits_have_documents_is_told_by_their_files(tmp_path: Path) -> None:
    marked = "-DOCSTART- O\n\na O\n\n-DOCSTART- O\n\nb O\n"
    corpus = load(fill(tmp_path, train_txt=marked, dev_txt="a O\n\nb O\n"))
    assert [sentence.document for sentence in corpus.train] == [0, 1]
    assert [sentence.document for sentence in corpus.validation] == [0, 1]
    assert corpus.undocumented == ("validation",)
