"""Which file, or which part of a data set, is which split; and splits that are cut from others."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

from tokcls.data.corpus import Sentence
from tokcls.data.readers.formats import SUFFIXES
from tokcls.errors import Problem

LISTED = 8
SPLITS: Mapping[str, tuple[str, ...]] = {
    "train": ("train",),
    "validation": ("validation", "valid", "dev", "val", "testa"),
    "test": ("test", "testb"),
}
REQUIRED = ("train", "validation")
# As the Hub cuts large splits: train-00000-of-00002.parquet
_PART = re.compile(r"-(\d{5})-of-(\d{5})$")
_JOINTS = re.compile(r"[._-]")


@dataclass(frozen=True)
class Found:
    """The files of each split that was found, and what is unclear."""

    paths: Mapping[str, tuple[Path, ...]]
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True)
class Cut:
    """Sentences whose documents are all in one of the two parts."""

    train: tuple[Sentence, ...]
    validation: tuple[Sentence, ...]
    documents: int
    """how many of them are in validation"""


def find_files(folder: Path, *, required: Iterable[str] = REQUIRED) -> Found:
    """Find the files of a folder that are splits: by name, or by the end of it (`eng.train`)."""
    named: dict[str, dict[str, list[Path]]] = defaultdict(lambda: defaultdict(list))
    for path in sorted(folder.iterdir()):
        stem = _stem(path.name)
        split = split_of(_JOINTS.split(_PART.sub("", stem))[-1])
        if split and path.is_file() and not path.name.startswith("."):
            named[split][_PART.sub(r"-*-of-\2", stem) + path.name[len(stem) :]].append(path)
    problems: list[Problem] = []
    paths: dict[str, tuple[Path, ...]] = {}
    for split in SPLITS:
        files = named[split]
        if len(files) == 1:
            paths[split] = tuple(*files.values())
        if problem := unclear(split, list(files), required) or _gap(paths.get(split, ())):
            there = "" if files else f"; the folder has {_shown(folder)}"
            problems.append(Problem(problem + there, str(folder)))
    return Found(paths, tuple(problems))


def split_of(name: str) -> str | None:
    """Tell which split a name means, if any."""
    return next((split for split, names in SPLITS.items() if name.lower() in names), None)


def unclear(split: str, found: Sequence[str], required: Iterable[str] = REQUIRED) -> str:
    """Say why it is not clear what the split is; empty if it is."""
    if len(found) > 1:
        return f"{' and '.join(found)} could each be the {split} split; keep one of them"
    if found or split not in required:
        return ""
    remedy = ", or set data.validation to cut it from train" if split == "validation" else ""
    return f"no {split} split; looked for {' or '.join(SPLITS[split])}{remedy}"


def cut_by_document(sentences: Sequence[Sentence], share: float, seed: int) -> Cut | None:
    """Draw a share of the documents, at least one and not all; None where there is only one."""
    documents = list(dict.fromkeys(sentence.document for sentence in sentences))
    if len(documents) < 2:
        return None
    wanted = min(max(1, round(share * len(documents))), len(documents) - 1)
    drawn = set(Random(seed).sample(documents, wanted))
    parts: tuple[list[Sentence], list[Sentence]] = ([], [])
    for sentence in sentences:
        parts[sentence.document in drawn].append(sentence)
    return Cut(tuple(parts[0]), tuple(parts[1]), wanted)


def _shown(folder: Path) -> str:
    names = sorted(path.name for path in folder.iterdir())
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return (", ".join(names[:LISTED]) or "nothing") + more


def _stem(name: str) -> str:
    """Take a known ending off."""
    suffix = Path(name).suffix
    return name.removesuffix(suffix) if suffix.lower() in SUFFIXES else name


def _gap(paths: Sequence[Path]) -> str:
    """Say which parts of a split are missing."""
    parts = [match for path in paths if (match := _PART.search(_stem(path.name)))]
    if not parts or {int(match[1]) for match in parts} == set(range(int(parts[0][2]))):
        return ""
    names = ", ".join(path.name for path in paths)
    return f"expected parts 0 to {int(parts[0][2]) - 1} of a split, found {names}"
