"""Reads tables of records: Parquet files, data sets saved to disk, and data sets from the Hub."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from reprlib import repr as short
from typing import Any

from tokcls.data.readers.records import EXPECTED, Keys, Records, find_keys
from tokcls.data.readers.rules import Rules
from tokcls.data.readers.tagged import FileRead
from tokcls.data.readers.text import read_bytes
from tokcls.errors import CorpusError, Problem

SAVED = ("dataset_dict.json", "dataset_info.json")
"""a folder that `save_to_disk` wrote has one of these"""


def read_parquet(paths: Sequence[Path], rules: Rules | None = None) -> FileRead:
    """Read the Parquet file of a split, or the several files that it was cut into.

    The columns are those that `read_jsonl` knows; numbers get their names from a ClassLabel.

    Raises:
        CorpusError: a file cannot be read, columns are missing, or rows make no sense; it holds all
            problems of the split.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq
    from datasets import Features

    rules, file = rules or Rules(), str(paths[0])
    contents = [read_bytes(path) for path in paths]
    try:
        parts = [pq.ParquetFile(pa.BufferReader(content)) for content in contents]
        features = Features.from_arrow_schema(parts[0].schema_arrow)
        keys = _keys(parts[0].schema_arrow.names, features, rules, file)
        tables = [part.read(columns=keys.all) for part in parts]
        for table in tables:
            table.validate(full=True)
        rows = [row for table in tables for row in table.to_pylist()]
    except CorpusError:
        raise
    except Exception as error:  # The parser has no base class for what damaged files make it raise.
        raise CorpusError([Problem(f"is no readable Parquet file: {error}", file)]) from error
    return _read(rows, keys, features, rules, file)


def read_saved(folder: Path) -> Mapping[str, Any]:
    """Open a data set that `save_to_disk` wrote, as its splits; a single one is called train.

    Raises:
        CorpusError: it cannot be opened.
    """
    import datasets

    try:
        loaded = datasets.load_from_disk(str(folder))
    except Exception as error:  # As above: JSON, Arrow and file errors, and KeyError.
        message = f"the saved data set cannot be loaded: {error}"
        raise CorpusError([Problem(message, str(folder))]) from error
    return loaded if isinstance(loaded, datasets.DatasetDict) else {"train": loaded}


def read_hub(name: str, *, cached: bool = False) -> Mapping[str, Any]:
    """Load a data set from the Hub, as its splits; `cached` asks this machine's cache only.

    Without `cached`, an unreachable Hub is waited for, for half a minute.

    Raises:
        CorpusError: it cannot be loaded.
    """
    import datasets
    from datasets.packaged_modules.cache.cache import Cache

    try:
        if cached:
            stem = name.rpartition("/")[2]
            builder = Cache(repo_id=name, dataset_name=stem, version="auto", hash="auto")
            found: Mapping[str, Any] = builder.as_dataset()
        else:
            found = datasets.load_dataset(name)
    except Exception as error:  # As above, and the Hub client's errors.
        where = "is not in the local cache" if cached else "cannot be loaded"
        raise CorpusError([Problem(f"the Hub data set {where}: {error}", name)]) from error
    return found


def read_dataset(rows: Any, place: str, rules: Rules | None = None) -> FileRead:
    """Read one `datasets.Dataset`, with the columns of `read_parquet`.

    Raises:
        CorpusError: columns are missing, or rows make no sense.
    """
    rules = rules or Rules()
    keys = _keys(rows.column_names, rows.features, rules, place)
    try:
        wanted = rows.select_columns(keys.all).with_format(None)
        # Arrow crashes the process on a damaged file that nobody has validated.
        wanted.data.validate(full=True)
        table = wanted[:]
    except Exception as error:  # As above, for a damaged Arrow file.
        raise CorpusError([Problem(f"cannot be read: {error}", place)]) from error
    records = (
        dict(zip(table, values, strict=True)) for values in zip(*table.values(), strict=True)
    )
    return _read(records, keys, rows.features, rules, place)


def _keys(names: Iterable[str], features: Mapping[str, Any], rules: Rules, place: str) -> Keys:
    keys = find_keys(names, rules.columns)
    if keys is not None:
        return keys
    found = ", ".join(f"{column}: {feature}" for column, feature in features.items())
    given = rules.columns.model_dump(exclude_none=True)
    expected = f"the keys of data.columns, {given}" if given else EXPECTED
    raise CorpusError([Problem(f"needs the columns {expected}; found {short(found)}", place)])


def _read(
    rows: Iterable[Mapping[str, Any]],
    keys: Keys,
    features: Mapping[str, Any],
    rules: Rules,
    place: str,
) -> FileRead:
    names = getattr(getattr(features.get(keys.tags), "feature", None), "names", None)
    records = Records(place, rules, tuple(names or ()))
    for number, row in enumerate(rows):
        records.add(row, keys, row=f"row {number}")
    return records.read()
