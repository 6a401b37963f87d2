"""Which file is which split, and validation cut from train by document."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokcls.data.corpus import Sentence
from tokcls.data.splits import cut_by_document, find_files


def found(folder: Path, *names: str) -> tuple[dict[str, list[str]], list[str]]:
    for name in names:
        (folder / name).touch()
    result = find_files(folder)
    paths = {split: [path.name for path in files] for split, files in result.paths.items()}
    return paths, [problem.message for problem in result.problems]


@pytest.mark.parametrize(
    ("train", "validation", "test"),
    [
        ("train.txt", "valid.txt", "test.txt"),
        ("train.conll", "dev.conll", "test.conll"),
        ("train.iob", "validation.iob2", "test.bio"),
        ("train", "val", "test.tsv"),
        ("eng.train", "eng.testa", "eng.testb"),
        ("Train.csv", "testa.csv", "testb.csv"),
        ("da_ddt-ud-train.iob2", "da_ddt-ud-dev.iob2", "da_ddt-ud-test.iob2"),
        ("ner_train.jsonl", "ner_valid.json", "ner_test.parquet"),
    ],
)
def test_the_usual_names_are_found(tmp_path: Path, train: str, validation: str, test: str) -> None:
    others = ("README.md", "train.md", "training.txt", ".test.txt", "test.txt~", "contest.txt")
    paths, problems = found(tmp_path, train, validation, test, *others)
    assert problems == []
    assert paths == {"train": [train], "validation": [validation], "test": [test]}


def test_two_files_for_one_split_and_none_for_another_are_problems(tmp_path: Path) -> None:
    paths, problems = found(tmp_path, "dev.txt", "eng.testa", "test.txt", "test.csv")
    assert paths == {}
    assert problems == [
        "no train split; looked for train; the folder has dev.txt, eng.testa, test.csv, test.txt",
        "dev.txt and eng.testa could each be the validation split; keep one of them",
        "test.csv and test.txt could each be the test split; keep one of them",
    ]


def test_a_missing_validation_split_is_told_with_the_other_way_to_have_one(tmp_path: Path) -> None:
    assert found(tmp_path, "train.txt")[1] == [
        "no validation split; looked for validation or valid or dev or val or testa, or set "
        "data.validation to cut it from train; the folder has train.txt"
    ]


def test_the_parts_of_a_split_belong_together_and_must_all_be_there(tmp_path: Path) -> None:
    parts = [f"train-0000{n}-of-00003.parquet" for n in range(3)]
    assert found(tmp_path, *parts, "dev.parquet")[0]["train"] == parts
    (tmp_path / parts[1]).unlink()
    assert (
        "expected parts 0 to 2 of a split, found train-00000-of-00003.parquet, train-00002"
        in (found(tmp_path)[1][0])
    )
    assert "could each be the train split" in found(tmp_path, "train.parquet")[1][0]


def sentences(documents: list[int]) -> tuple[Sentence, ...]:
    return tuple(Sentence((f"w{n}",), (), document) for n, document in enumerate(documents))


@given(
    st.lists(st.integers(0, 9), min_size=2, max_size=40).filter(lambda all_: len({*all_}) > 1),
    st.floats(0.001, 0.999),
    st.integers(0, 99),
)
def test_a_cut_keeps_every_sentence_once_and_parts_no_document(
    documents: list[int], share: float, seed: int
) -> None:
    whole = sentences(documents)
    cut = cut_by_document(whole, share, seed)
    assert cut is not None
    assert sorted(cut.train + cut.validation, key=whole.index) == list(whole)
    train, validation = ({s.document for s in part} for part in (cut.train, cut.validation))
    assert train
    assert not train & validation
    assert len(validation) == cut.documents
    assert abs(cut.documents - share * len({*documents})) <= 1
    assert list(cut.train) == sorted(cut.train, key=whole.index)


def test_the_seed_decides_which_documents_are_cut() -> None:
    whole = sentences(list(range(50)))
    cuts = [cut_by_document(whole, 0.1, seed) for seed in (1, 1, 2)]
    assert cuts[0] == cuts[1] != cuts[2]


def test_one_document_is_not_cut() -> None:
    assert cut_by_document(sentences([0, 0, 0]), 0.5, 1) is None
