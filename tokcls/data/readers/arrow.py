"""Reads tables of records: Parquet files, data sets saved to disk, and data sets from the Hub."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from tokcls.data.readers.records import Keys, Records, find_keys, missing, rivals
from tokcls.data.readers.rules import Rules
from tokcls.data.readers.tagged import Drafts, FileRead, assemble
from tokcls.data.readers.text import read_bytes
from tokcls.errors import CorpusError, Problem

SAVED = ("dataset_dict.json", "dataset_info.json")
"""a folder that `save_to_disk` wrote has one of these"""


def draft_parquet(path: Path, rules: Rules) -> Drafts:
    """Read one Parquet file; of its columns only those that are needed.

    The columns are those that `draft_jsonl` knows; numbers get their names from the ClassLabel
    that `datasets` wrote into this very file.

    Raises:
        CorpusError: the file cannot be read, or columns are missing or there twice.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    records = Records(str(path), rules)
    content = read_bytes(path)
    try:
        file = pq.ParquetFile(pa.BufferReader(content))
        names, metadata = file.schema_arrow.names, file.schema_arrow.metadata or {}
        keys = _keys(names, records)
        table = file.read(columns=keys.all).select(keys.all)
        table.validate(full=True)
        rows = table.to_pylist()
    except CorpusError:
        raise
    except Exception as error:  # The parser has no base class for what damaged files make it raise.
        raise CorpusError([Problem(f"is no readable Parquet file: {error}", str(path))]) from error
    return _fill(records, rows, keys, _features(metadata.get(b"huggingface", b"")))


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
    """Read one `datasets.Dataset`, with the columns of `draft_parquet`.

    Raises:
        CorpusError: columns are missing, or rows make no sense.
    """
    rules = rules or Rules()
    records = Records(place, rules)
    keys = _keys(rows.column_names, records)
    try:
        wanted = rows.select_columns(keys.all).with_format(None)
        # Arrow crashes the process on a damaged file that nobody has validated.
        wanted.data.validate(full=True)
        table = wanted[:]
    except Exception as error:  # As above, for a damaged Arrow file.
        raise CorpusError([Problem(f"cannot be read: {error}", place)]) from error
    found = (dict(zip(table, values, strict=True)) for values in zip(*table.values(), strict=True))
    return assemble([_fill(records, found, keys, rows.features.to_dict())], rules)


def _keys(names: list[str], records: Records) -> Keys:
    if message := rivals(names, records.rules.columns):
        raise CorpusError([Problem(message, records.file)])
    keys = find_keys(names, records.rules.columns)
    if keys is None:
        raise CorpusError([Problem(missing(names, records.rules.columns), records.file)])
    doubles = [key for key in keys.all if names.count(key) > 1]
    if doubles:
        raise CorpusError(
            Problem(f"two columns are called {name!r}; give each its own name", records.file)
            for name in doubles
        )
    return keys


def _fill(records: Records, rows: Iterable[Mapping[str, Any]], keys: Keys, features: Any) -> Drafts:
    kinds = features if isinstance(features, Mapping) else {}
    records.names = _names(kinds.get(keys.tags))
    records.types = _names(kinds.get(keys.entities), "label")
    for number, row in enumerate(rows):
        records.add(row, keys, row=f"row {number}")
    return records.drafts()


def _features(metadata: bytes) -> Any:
    """Take the features out of what `datasets` wrote into a file, as `Features.to_dict` has them.

    `datasets` itself refuses them all where it does not know the kind of a column that is not read.
    """
    try:
        return json.loads(metadata)["info"]["features"]
    except (ValueError, TypeError, KeyError, RecursionError):
        return {}


def _names(feature: Any, key: str = "") -> tuple[str, ...]:
    """Give the names of the ClassLabel inside a list, or under `key` of a map or a list of maps."""
    while isinstance(feature, Mapping):
        if feature.get("_type") == "ClassLabel":
            names = feature.get("names")
            return tuple(names) if isinstance(names, list) else ()
        feature = feature.get("feature", feature.get(key))
    return ()
