"""Where a corpus comes from: the package itself, a folder, three files, or a data set on the Hub.

Whether the Hub can be reached at all is decided before; here a data set id is simply loaded.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from reprlib import repr as short
from typing import Any

from tokcls.config import SplitFiles
from tokcls.data.corpus import Corpus, Sentence
from tokcls.data.readers import FileRead, read_conll
from tokcls.errors import CorpusError, Problem
from tokcls.labels.schemes import SCHEMES, detect

SPLITS: Mapping[str, tuple[str, ...]] = {
    "train": ("train",),
    "validation": ("validation", "valid", "dev", "val"),
    "test": ("test",),
}
REQUIRED = ("train", "validation")
SUFFIXES = (".txt", ".conll", ".iob", ".iob2", ".tsv", ".bio", "")
TAG_COLUMNS = ("ner_tags", "tags", "labels")
HUB_NAMES: Mapping[str, str] = {"conll2003": "lhoestq/conll2003"}


def load_corpus(source: str | SplitFiles) -> Corpus:
    """Load `bundled`, a folder, three files, or else a Hub data set id.

    Raises:
        CorpusError: something is missing or wrong; all problems of all files are in it.
    """
    if isinstance(source, SplitFiles):
        return read_files(source)
    if source == "bundled":
        return read_bundled()
    if Path(source).expanduser().exists() or source.startswith((".", "/", "~")):
        return read_folder(source)
    return from_hub(source)


def read_folder(folder: str | Path) -> Corpus:
    """Read a folder's CoNLL files `train`, `valid` (or validation, dev, val) and perhaps `test`.

    Raises:
        CorpusError: the folder or a needed file is missing, two files could be the same split, or a
            file is wrong.
    """
    place = Path(folder).expanduser()
    if not place.is_dir():
        what = "is a file; name its folder, or give train:, validation: and test: files"
        message = what if place.exists() else "no such folder; check the path"
        raise CorpusError([Problem(message, file=str(folder))])
    paths: dict[str, Path] = {}
    problems: list[Problem] = []
    for split, stems in SPLITS.items():
        found = [path for path in _candidates(place, stems) if path.is_file()]
        if found:
            paths[split] = found[0]
        if len(found) > 1 or (not found and split in REQUIRED):
            problems.append(Problem(_unclear(split, stems, found), file=str(folder)))
    return _read(paths, name=str(folder), problems=problems)


def read_files(files: SplitFiles) -> Corpus:
    """Read CoNLL files that are given one by one.

    Raises:
        CorpusError: a file is missing or wrong.
    """
    named = {"train": files.train, "validation": files.validation, "test": files.test}
    paths = {split: Path(file).expanduser() for split, file in named.items() if file is not None}
    return _read(paths, name=str(paths["train"]))


def read_bundled() -> Corpus:
    """Read the small corpus that ships with the package.

    Raises:
        CorpusError: the installation lacks a file.
    """
    folder = Path(str(resources.files("tokcls.bundled")))
    return _read({split: folder / f"{split}.txt" for split in SPLITS}, name="bundled")


def from_hub(dataset_id: str) -> Corpus:
    """Download a data set with `tokens` and named tags; `conll2003` means `lhoestq/conll2003`.

    Raises:
        CorpusError: it cannot be loaded, or lacks a split or a column.
    """
    import datasets

    name = HUB_NAMES.get(dataset_id, dataset_id)
    try:
        loaded = datasets.load_dataset(name)
    except (OSError, ValueError, datasets.exceptions.DatasetsError) as error:
        message = f"the Hub data set cannot be loaded: {error}"
        raise CorpusError([Problem(message, file=name)]) from error
    return _from_dataset_dict(loaded, name)


def _candidates(folder: Path, stems: Sequence[str]) -> list[Path]:
    return [folder / f"{stem}{suffix}" for stem in stems for suffix in SUFFIXES]


def _unclear(split: str, stems: Sequence[str], found: Sequence[Path]) -> str:
    if found:
        names = " and ".join(path.name for path in found)
        return f"{names} could each be the {split} split; keep one of them"
    endings = ", ".join(suffix or "no suffix" for suffix in SUFFIXES)
    return f"no file for the {split} split; looked for {' or '.join(stems)} with {endings}"


def _read(paths: Mapping[str, Path], *, name: str, problems: Sequence[Problem] = ()) -> Corpus:
    """Read one file a split; tell the problems of all of them together."""
    collected = list(problems)
    read: dict[str, FileRead] = {}
    for split, path in paths.items():
        try:
            read[split] = read_conll(path)
        except CorpusError as error:
            collected.extend(error.problems)
    return _corpus(read, name, collected)


def _corpus(read: Mapping[str, FileRead], name: str, problems: Sequence[Problem]) -> Corpus:
    if problems:
        raise CorpusError(problems)
    return Corpus(
        train=read["train"].sentences,
        validation=read["validation"].sentences,
        test=read["test"].sentences if "test" in read else (),
        name=name,
        schemes={split: part.detected for split, part in read.items()},
    )


def _from_dataset_dict(loaded: Mapping[str, Any], name: str) -> Corpus:
    """Read the splits of a `datasets.DatasetDict`."""
    read: dict[str, FileRead] = {}
    problems: list[Problem] = []
    for split, names in SPLITS.items():
        key = next((key for key in names if key in loaded), None)
        if key is not None:
            try:
                read[split] = _read_dataset(loaded[key], f"{name} [{key}]")
            except CorpusError as error:
                problems.extend(error.problems)
        elif split in REQUIRED:
            wanted = f"looked for {' or '.join(names)}, found {', '.join(loaded) or 'none'}"
            problems.append(Problem(f"no {split} split; {wanted}", file=name))
    return _corpus(read, name, problems)


def _read_dataset(rows: Any, place: str) -> FileRead:
    """Read one `datasets.Dataset`; it knows no documents, so each sentence is its own."""
    column, names = _tag_column(rows.features, place)
    table = rows.select_columns(["tokens", column])[:]
    problems: list[Problem] = []
    kept: list[tuple[tuple[str, ...], list[str]]] = []
    for number, (words, numbers) in enumerate(zip(table["tokens"], table[column], strict=True)):
        if not _fits(words, numbers, len(names)):
            message = (
                f"row {number}: expected as many words as tags, and tags from 0 to "
                f"{len(names) - 1}, got tokens {short(words)} and {column} {short(numbers)}"
            )
            problems.append(Problem(message, file=place))
        elif words:
            kept.append((tuple(words), [names[tag] for tag in numbers]))
    if not kept and not problems:
        problems.append(Problem("the split has no sentence", file=place))
    if problems:
        raise CorpusError(problems)
    try:
        detected = detect(tags for _, tags in kept)
    except ValueError as error:
        raise CorpusError([Problem(str(error), file=place, path=column)]) from error
    scheme = SCHEMES[detected.scheme]
    sentences = (
        Sentence(words, tuple(scheme.decode(tags)), number, place)
        for number, (words, tags) in enumerate(kept)
    )
    return FileRead(tuple(sentences), detected)


def _fits(words: Any, numbers: Any, names: int) -> bool:
    if words is None or numbers is None or len(words) != len(numbers):
        return False
    known = all(tag is not None and 0 <= tag < names for tag in numbers)
    return known and all(isinstance(word, str) for word in words)


def _tag_column(features: Mapping[str, Any], place: str) -> tuple[str, Sequence[str]]:
    """Find the column of tags and the names of its numbers."""
    for column in TAG_COLUMNS if "tokens" in features else ():
        names = getattr(getattr(features.get(column), "feature", None), "names", None)
        if names:
            return column, names
    found = ", ".join(f"{column}: {feature}" for column, feature in features.items())
    wanted = f"`tokens` and one of {', '.join(TAG_COLUMNS)}, a list of ClassLabel"
    raise CorpusError([Problem(f"needs the columns {wanted}; found {found}", file=place)])
