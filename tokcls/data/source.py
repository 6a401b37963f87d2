"""Where a corpus comes from: the package, a folder, files, a saved data set, or one on the Hub.

Whether the Hub can be reached at all is decided before; here a data set id is simply loaded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from importlib import resources
from pathlib import Path
from typing import Any

from tokcls.config import DataConfig, SplitFiles
from tokcls.data.corpus import Corpus, Sentence
from tokcls.data.readers.arrow import SAVED, read_dataset, read_hub, read_saved
from tokcls.data.readers.formats import read_split
from tokcls.data.readers.rules import Rules, rules_of
from tokcls.data.readers.tagged import FileRead
from tokcls.data.splits import SPLITS, cut_by_document, find_files, split_of, unclear
from tokcls.errors import CorpusError, Problem

HUB_NAMES: Mapping[str, str] = {"conll2003": "lhoestq/conll2003"}


@dataclass
class _Parts:
    """What was read of each split, and what was wrong."""

    name: str
    read: dict[str, FileRead] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def add(self, split: str, read: Callable[[], FileRead]) -> None:
        """Read a split; keep its problems, so that those of all splits are told together."""
        try:
            self.read[split] = read()
        except CorpusError as error:
            self.problems.extend(error.problems)


def load_corpus(data: DataConfig, *, seed: int, cached: bool = False) -> Corpus:
    """Load the corpus that `data.source` names: `bundled`, a folder, files, or a Hub data set id.

    With `data.validation`, that share of train's documents becomes the validation split, drawn
    with `seed`. `cached` loads a Hub data set from this machine's cache and asks no Hub.

    Raises:
        CorpusError: something is missing or wrong; all problems of all files are in it.
    """
    parts = _open(data, rules_of(data), cached)
    if data.validation is not None and "validation" in parts.read:
        message = "there is a validation split already; take the key away"
        parts.problems.append(Problem(message, parts.name, path="data.validation"))
    if parts.problems:
        raise CorpusError(parts.problems)
    sentences = {split: read.sentences for split, read in parts.read.items()}
    notes = [note for read in parts.read.values() for note in read.notes]
    if data.validation is not None:
        notes.append(_cut(sentences, data.validation, seed, parts.name))
    if data.limit is not None and any(len(each) > data.limit for each in sentences.values()):
        notes.append(f"only the first {data.limit:,} sentences of each split are read (data.limit)")
    return Corpus(
        train=sentences["train"][: data.limit],
        validation=sentences["validation"][: data.limit],
        test=sentences.get("test", ())[: data.limit],
        name=parts.name,
        undocumented=tuple(split for split, read in parts.read.items() if not read.documented),
        schemes={split: read.detected for split, read in parts.read.items() if read.detected},
        notes=tuple(notes),
    )


def _open(data: DataConfig, rules: Rules, cached: bool) -> _Parts:
    """Read all splits of the source, of whichever kind it is."""
    source = data.source
    required = ("train",) if data.validation is not None else ("train", "validation")
    if isinstance(source, SplitFiles):
        named = source.model_dump(exclude_none=True)
        files = {split: (_expand(file),) for split, file in named.items()}
        return _read_files(_Parts(source.train), files, rules)
    if source == "bundled":
        folder = Path(str(resources.files("tokcls.bundled")))
        return _read_files(
            _Parts("bundled"), {split: (folder / f"{split}.txt",) for split in SPLITS}, Rules()
        )
    place = _expand(source)
    if place.is_dir():
        return _read_folder(_Parts(source), place, rules, required)
    if place.is_file():
        return _read_one(_Parts(source), place, rules, data)
    if source.startswith((".", "/", "~")):
        raise CorpusError([Problem("no such file or folder; check the path", source)])
    name = HUB_NAMES.get(source, source)
    return _read_table(_Parts(name), read_hub(name, cached=cached), rules, required)


def _expand(path: str) -> Path:
    """Make a path of what a user wrote; `~` is home, where there is one."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        return Path(path)


def _read_files(parts: _Parts, files: Mapping[str, tuple[Path, ...]], rules: Rules) -> _Parts:
    for split, paths in files.items():
        parts.add(split, partial(read_split, paths, rules))
    return parts


def _read_folder(parts: _Parts, folder: Path, rules: Rules, required: Iterable[str]) -> _Parts:
    if any((folder / name).is_file() for name in SAVED):
        return _read_table(parts, read_saved(folder), rules, required)
    found = find_files(folder, required=required)
    parts.problems.extend(found.problems)
    return _read_files(parts, found.paths, rules)


def _read_one(parts: _Parts, file: Path, rules: Rules, data: DataConfig) -> _Parts:
    if data.validation is None:
        message = (
            "is one file: set data.validation to a share such as 0.1, name its folder, or give "
            "train:, validation: and test: files"
        )
        raise CorpusError([Problem(message, parts.name)])
    return _read_files(parts, {"train": (file,)}, rules)


def _read_table(
    parts: _Parts, loaded: Mapping[str, Any], rules: Rules, required: Iterable[str]
) -> _Parts:
    """Read the splits of a `datasets.DatasetDict`."""
    for split in SPLITS:
        keys = [key for key in loaded if split_of(key) == split]
        if problem := unclear(split, keys, required):
            found = f" (found {', '.join(loaded) or 'none'})"
            parts.problems.append(Problem(problem + found, parts.name))
        elif keys:
            place = f"{parts.name} [{keys[0]}]"
            parts.add(split, partial(read_dataset, loaded[keys[0]], place, rules))
    return parts


def _cut(sentences: dict[str, tuple[Sentence, ...]], share: float, seed: int, name: str) -> str:
    """Cut validation from train, and say so."""
    cut = cut_by_document(sentences["train"], share, seed)
    if cut is None:
        message = "train is one document, which is not cut; give a validation file"
        raise CorpusError([Problem(message, name, path="data.validation")])
    sentences.update(train=cut.train, validation=cut.validation)
    documents = cut.documents
    return f"{name}: {documents} documents of train are the validation split (seed {seed})"
