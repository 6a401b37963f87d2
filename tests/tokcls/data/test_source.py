from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tokcls.config import SplitFiles
from tokcls.data.source import (
    _from_dataset_dict,
    from_hub,
    load_corpus,
    read_bundled,
    read_folder,
)
from tokcls.errors import CorpusError
from tokcls.labels.spans import Span


def fill(folder: Path, **files: str) -> Path:
    """Write files; `train_txt` is train.txt, `train` has no suffix."""
    for name, content in files.items():
        (folder / name.replace("_", ".")).write_text(content)
    return folder


@pytest.mark.parametrize(
    "names",
    [
        ("train_txt", "valid_txt", "test_txt"),
        ("train_conll", "dev_conll", "test_conll"),
        ("train_iob", "validation_iob2", "test_bio"),
        ("train", "val", "test_tsv"),
    ],
)
def test_the_usual_file_names_of_a_folder_are_found(
    tmp_path: Path, names: tuple[str, str, str]
) -> None:
    contents = ("a B-X\n", "b O\n\nc O\n", "d O\n")
    corpus = load_corpus(str(fill(tmp_path, **dict(zip(names, contents, strict=True)))))
    sizes = {name: len(sentences) for name, sentences in corpus.splits.items()}
    assert sizes == {"train": 1, "validation": 2, "test": 1}
    assert (corpus.name, corpus.types) == (str(tmp_path), ("X",))
    assert set(corpus.schemes) == {"train", "validation", "test"}


def test_the_test_split_may_be_absent(tmp_path: Path) -> None:
    corpus = read_folder(fill(tmp_path, train_txt="a O\n", dev_txt="b O\n", NOTES_md="no data"))
    assert corpus.test == ()
    assert set(corpus.schemes) == {"train", "validation"}


def test_missing_doubtful_and_wrong_files_are_told_together(tmp_path: Path) -> None:
    folder = fill(tmp_path, dev_txt="b\n", val_conll="b O\n", test_txt="c X-\n")
    with pytest.raises(CorpusError) as caught:
        read_folder(folder)
    text = str(caught.value)
    assert "no file for the train split; looked for train with .txt, .conll" in text
    assert "dev.txt and val.conll could each be the validation split; keep one" in text
    assert f"{folder}/dev.txt:1: one column" in text
    assert f"{folder}/test.txt:1: 'X-' is not a tag" in text


def test_a_folder_that_is_missing_or_a_file_is_a_problem(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="no such folder; check the path"):
        load_corpus(str(tmp_path / "nowhere"))
    file = fill(tmp_path, train_txt="a O\n") / "train.txt"
    with pytest.raises(CorpusError, match="is a file; name its folder, or give train:"):
        load_corpus(str(file))


def test_files_can_be_given_one_by_one(tmp_path: Path) -> None:
    fill(tmp_path, one_txt="a I-X\n", two_txt="b O\n")
    files = SplitFiles(train=str(tmp_path / "one.txt"), validation=str(tmp_path / "two.txt"))
    corpus = load_corpus(files)
    assert corpus.train[0].spans == (Span(0, 1, "X"),)
    assert (len(corpus.validation), corpus.test) == (1, ())


def test_all_given_files_are_checked_before_any_complaint(tmp_path: Path) -> None:
    files = SplitFiles(train=str(tmp_path / "a"), validation=str(tmp_path / "b"), test="c-not-here")
    with pytest.raises(CorpusError) as caught:
        load_corpus(files)
    assert [problem.file[-1] for problem in caught.value.problems[:2]] == ["a", "b"]
    assert len(caught.value.problems) == 3


def test_the_bundled_corpus_has_three_clean_splits() -> None:
    try:
        corpus = read_bundled()
    except CorpusError as error:
        pytest.skip(f"the bundled corpus is not complete: {error}")
    assert corpus == load_corpus("bundled")
    assert corpus.types == ("LOC", "MISC", "ORG", "PER")
    assert all(found.violations == 0 for found in corpus.schemes.values())
    assert all(corpus.splits.values())


def hub_like(names: list[str], **columns: Any) -> Any:
    """One split as `datasets` gives it, with named tags."""
    from datasets import ClassLabel, Dataset, Features, List, Value

    kinds: dict[str, Any] = {column: List(ClassLabel(names=names)) for column in columns}
    kinds["tokens"] = List(Value("string"))
    return Dataset.from_dict(columns, features=Features({name: kinds[name] for name in columns}))


NAMES = ["O", "B-PER", "I-PER"]
ROWS: dict[str, Any] = {"tokens": [["Ada", "Lovelace"], [], ["wrote"]]}
TAGS: list[list[int]] = [[1, 2], [], [0]]


@pytest.mark.parametrize("column", ["ner_tags", "tags", "labels"])
@pytest.mark.parametrize("validation", ["validation", "valid", "dev"])
def test_a_hub_data_set_is_read_with_its_tag_names(column: str, validation: str) -> None:
    split = hub_like(NAMES, **ROWS, **{column: TAGS})
    corpus = _from_dataset_dict({"train": split, validation: split}, "org/letters")
    assert [sentence.words for sentence in corpus.train] == [("Ada", "Lovelace"), ("wrote",)]
    assert corpus.validation[0].spans == (Span(0, 2, "PER"),)
    assert [sentence.document for sentence in corpus.train] == [0, 1]
    assert (corpus.name, corpus.test) == ("org/letters", ())


@pytest.fixture
def datasets_cache(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path_factory.mktemp("cache"))


@pytest.mark.usefixtures("datasets_cache")
def test_a_data_set_is_loaded_as_the_hub_stores_it(tmp_path: Path) -> None:
    for split in ("train", "validation", "test"):
        hub_like(NAMES, **ROWS, ner_tags=TAGS).to_parquet(tmp_path / f"{split}.parquet")
    corpus = from_hub(str(tmp_path))
    assert [len(sentences) for sentences in corpus.splits.values()] == [2, 2, 2]
    assert corpus.test[0].spans == (Span(0, 2, "PER"),)


@pytest.mark.usefixtures("datasets_cache")
def test_a_data_set_that_cannot_be_loaded_is_a_problem_with_the_reason(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"the Hub data set cannot be loaded: .*contain"):
        from_hub(str(tmp_path))


def test_a_hub_data_set_without_the_columns_is_told_what_was_found() -> None:
    split = hub_like(NAMES, **ROWS, pos_tags=TAGS)
    with pytest.raises(CorpusError) as caught:
        _from_dataset_dict({"train": split, "test": split}, "org/letters")
    found = [str(problem) for problem in caught.value.problems]
    assert found[0].startswith(
        "org/letters [train]: needs the columns `tokens` and one of ner_tags"
    )
    assert "found tokens: List(Value('string')), pos_tags: " in found[0]
    assert found[1] == (
        "org/letters: no validation split; looked for validation or valid or dev or val, "
        "found train, test"
    )


@pytest.mark.parametrize(
    ("names", "tags", "message"),
    [
        (NAMES, [[1], [], [0]], "row 0: expected as many words as tags"),
        (NAMES, [[1, -1], [], [0]], "tags from 0 to 2, got tokens"),
        (["O", "PERSON", "X"], TAGS, "'PERSON' is not a tag"),
        (NAMES, [[1, None], [], [0]], "tags from 0 to 2"),
    ],
)
def test_rows_of_a_hub_data_set_that_make_no_sense_are_problems(
    names: list[str], tags: Any, message: str
) -> None:
    split = hub_like(names, **ROWS, ner_tags=tags)
    with pytest.raises(CorpusError) as caught:
        _from_dataset_dict({"train": split, "validation": split}, "org/letters")
    assert message in str(caught.value)
    assert len(caught.value.problems) == 2


@pytest.mark.parametrize(
    ("name", "sizes"),
    [
        ("wnut17", (3394, 1009, 1287)),
        ("ncbi-disease", (5424, 923, 940)),
        ("sec-filings", (1032, 132, 303)),
        ("litbank-longdoc", (80, 10, 10)),
        ("wikigold", (1234, 284, 178)),
        ("uner-danish-ddt", (4383, 564, 565)),
    ],
)
def test_real_corpora_are_read_whole(
    real_data: Path, name: str, sizes: tuple[int, int, int]
) -> None:
    corpus = read_folder(real_data / name)
    assert tuple(len(sentences) for sentences in corpus.splits.values()) == sizes


def test_real_schemes_and_violations_are_found(real_data: Path) -> None:
    wikigold = read_folder(real_data / "wikigold").schemes
    assert {found.scheme for found in wikigold.values()} == {"IOB1"}
    danish = read_folder(real_data / "uner-danish-ddt").schemes
    assert {found.scheme for found in danish.values()} == {"IOB2"}
    assert [found.violations for found in danish.values()] == [6, 0, 1]
