"""What would stop a sweep late, found out before it starts; each check names the key to change."""

from __future__ import annotations

import os
import secrets
import socket
import tempfile
import threading
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import urlsplit

from sweeps.search.storage import Folder, Storage, storage_at, write_json
from sweeps.space.space import SearchSpace
from tokcls.data.corpus import Corpus
from tokcls.data.tokenizer import TOKENIZER, read_tokenizing
from tokcls.errors import BackboneError, ConfigError, without_keys
from tokcls.model.backbones import Backbone

ANSWERS_WITHIN_S = 5.0
STORES_WITHIN_S = 10.0
STORE_REMEDY = "check the name, the region and the keys (AWS_* or GOOGLE_* in the environment)"
PORTS = {"http": 80, "https": 443}


def check_output(space: SearchSpace) -> None:
    """Find out whether a folder can be made where `output.folder` says; leaves nothing there.

    Raises ConfigError.
    """
    _check_folder(space, "folder", space.sweep.output.folder)


def _check_folder(space: SearchSpace, key: str, given: str) -> None:
    folder = Path(given).expanduser().absolute()
    there = next(path for path in (folder, *folder.parents) if os.path.lexists(path))
    try:
        with tempfile.TemporaryDirectory(prefix=".writable-", dir=there):
            return
    except OSError as error:
        message = f"{there} cannot be written to ({error.strerror}); name another folder"
        raise ConfigError([space.places.problem(("output", key), message)]) from error


def check_storage(space: SearchSpace) -> None:
    """Find out whether `output.storage` can be written and read; leaves nothing there.

    Raises ConfigError, also if a bucket does not answer in time.
    """
    given = space.sweep.output.storage
    if given is None:
        return
    storage = storage_at(given)
    if isinstance(storage, Folder):
        return _check_folder(space, "storage", given)
    problem = [f"no answer in {STORES_WITHIN_S:.0f} s"]

    def try_it() -> None:
        try:
            _use(storage)
            problem.clear()
        except OSError as error:
            problem[:] = [error.strerror or str(error)]

    trying = threading.Thread(target=try_it, daemon=True)  # no store has a time limit of its own
    trying.start()
    trying.join(STORES_WITHIN_S)
    if problem:
        message = f"{storage} cannot be used: {problem[0]}; {STORE_REMEDY}"
        raise ConfigError([space.places.problem(("output", "storage"), message)])


def _use(storage: Storage) -> None:
    name = f".writable-{secrets.token_hex(8)}"
    write_json(storage, name, name)
    try:
        if storage.read(name) is None:
            raise OSError("what was written there cannot be read")
    finally:
        storage.delete(name)


def check_tracking(space: SearchSpace, uri: str) -> None:
    """Find out whether a tracking server listens at `uri`; databases and files are not looked at.

    Raises ConfigError.
    """
    address = urlsplit(uri)
    if address.scheme not in PORTS:
        return
    try:
        place = (address.hostname or "", address.port or PORTS[address.scheme])
        socket.create_connection(place, ANSWERS_WITHIN_S).close()
    except (OSError, ValueError) as error:
        message = (
            f"MLflow at {without_keys(uri)} cannot be used: {error}; start it, or take "
            "MLFLOW_TRACKING_URI and tracking.uri away to record in a file here"
        )
        raise ConfigError([space.places.problem(("tracking", "uri"), message)]) from error


def check_gold(space: SearchSpace, corpus: Corpus) -> None:
    """Refuse a corpus that nothing can be learned from or compared on; raises ConfigError."""
    share = space.data.validation
    for name in ("train", "validation"):
        if any(sentence.spans for sentence in corpus.splits[name]):
            continue
        key, remedy = "source", "check which column holds the tags (data.columns)"
        if share is not None and any(
            each.spans for part in corpus.splits.values() for each in part
        ):
            key, remedy = "validation", f"a share other than {share:g}, or another train.seed"
            remedy = f"they are cut from train's documents by chance: take {remedy}"
        message = (
            f"the {name} split of {corpus.name} has {len(corpus.splits[name]):,} sentences and "
            f"not one entity; {remedy}"
        )
        raise ConfigError([space.places.problem(("data", key), message)])


def check_windows(space: SearchSpace, backbones: Iterable[Backbone]) -> None:
    """Refuse windows that are longer than a backbone reads; raises ConfigError."""
    for backbone in backbones:
        try:
            if (backbone.folder / TOKENIZER).is_file():
                read_tokenizing(
                    backbone.folder, name=backbone.name, max_length=space.data.max_length
                )
        except BackboneError as error:
            asked_too_much = "data.max_length" in str(error)
            key = ("data", "max_length") if asked_too_much else ("model", "backbone")
            raise ConfigError([space.places.problem(key, str(error))]) from error


def room_noted(space: SearchSpace, slots: int) -> list[str]:
    """Say so if fewer trials run at once than the file asks for."""
    wanted = space.sweep.resources.concurrent_trials
    if wanted == "auto" or wanted <= slots:
        return []
    return [f"resources.concurrent_trials is {wanted}, but there is room for {slots}"]
