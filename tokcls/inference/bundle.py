"""A bundle: a folder that predicts. Its manifest, `tokcls.json`, says how, and seals every file.

    config.json model.safetensors tokenizer.json ...   what `transformers` loads
    model.onnx                                         what is served
    tokcls.json                                        the manifest, written last

Knows nothing of how a model runs. Nothing in a bundle can execute code when it is loaded.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError

from tokcls.config import Context
from tokcls.errors import BundleError
from tokcls.labels.schema import LabelSchema

MANIFEST = "tokcls.json"
FORMAT = 1
REQUIRED = ("config.json", "model.onnx", "model.safetensors", "tokenizer.json")
ALLOWED = (".json", ".safetensors", ".onnx", ".txt", ".jinja")
"""what `transformers` saves of a model with a fast tokenizer, and what is served: all of it data"""
LOADS_MORE = ("adapter_config.json",)
"""files of these kinds by which a library loads more than the bundle, from wherever they say"""


@dataclass(frozen=True)
class Window:
    """How texts are cut: sub-words per window (special ids included), overlap, and those ids.

    `context` is what the model learned to see in a window: a sentence, or a document's sentences.
    """

    max_length: int
    stride: int
    prefix: tuple[int, ...]
    suffix: tuple[int, ...]
    pad_id: int
    context: Context = "sentence"

    def __post_init__(self) -> None:
        special = len(self.prefix) + len(self.suffix)
        if self.max_length <= special or self.stride < 0:
            raise ValueError(
                f"max_length must be more than the {special} special ids and stride >= 0, "
                f"got max_length={self.max_length}, stride={self.stride}"
            )


@dataclass(frozen=True)
class Manifest:
    """What a bundle's files do not say by themselves.

    `temperature` is what scores are divided by to be probabilities. `receipt` is what makes
    `metrics` comparable; both are carried as they are given. `files` maps every other file's name
    to its SHA-256; `seal` fills it in.
    """

    schema: LabelSchema
    decoding: Literal["argmax", "viterbi"]
    window: Window
    temperature: float = field(default=1.0, kw_only=True)
    receipt: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)


_MANIFEST = TypeAdapter(Manifest)


def seal(folder: str | Path, manifest: Manifest) -> Manifest:
    """Write the manifest with the SHA-256 of every file; give it back as written.

    It is written last and in one step: a folder with a manifest is a whole bundle.

    Raises:
        BundleError: a required file is missing, or there is one that a bundle must not hold.
    """
    folder = Path(folder)
    names = _names(folder)
    missing = [name for name in REQUIRED if name not in names]
    if missing:
        raise BundleError(f"{folder}: a bundle needs {', '.join(REQUIRED)}; missing: {missing}")
    sums = {name: _sha256(folder / name) for name in names}
    sealed = dataclasses.replace(manifest, files=sums)
    plain = {"format": FORMAT} | dataclasses.asdict(sealed)
    text = json.dumps(plain, indent=2, allow_nan=False, ensure_ascii=False)
    write_whole(folder / MANIFEST, text + "\n")
    return sealed


def read_manifest(folder: str | Path) -> Manifest:
    """Read a bundle's manifest and check every file against it.

    Raises:
        BundleError: the folder is no bundle, was written by a newer version, lacks a file, or holds
            one that was changed, that nobody sealed or that no bundle must hold, sealed or not.
    """
    folder = Path(folder)
    manifest = _parse(folder)
    names = _names(folder)
    for name, expected in manifest.files.items():
        if name not in names:
            raise BundleError(f"{folder}: {name} is missing; copy the whole folder again")
        if _sha256(folder / name) != expected:
            raise BundleError(
                f"{folder / name} is not the file that was sealed (its SHA-256 differs); "
                "copy the bundle again, or write a new one"
            )
    for name in names:
        # Libraries load some files only because they are there.
        if name not in manifest.files:
            raise BundleError(
                f"{folder / name} was not there when the bundle was sealed; "
                "remove it, or copy the bundle again"
            )
    return manifest


def _parse(folder: Path) -> Manifest:
    path = folder / MANIFEST
    if not path.is_file():
        found = "is no folder" if not folder.is_dir() else f"holds no {MANIFEST}"
        raise BundleError(
            f"{folder} is not a bundle: it {found}; give the folder of a bundle, "
            "such as the one a sweep writes for its best trial"
        )
    try:
        plain = json.loads(path.read_bytes())
        version = plain["format"]
        if isinstance(version, int) and version > FORMAT:
            raise BundleError(
                f"{path} has format {version}, and this version reads up to {FORMAT}; upgrade"
            )
        manifest = _MANIFEST.validate_json(path.read_bytes(), strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(step) for step in first["loc"])
        raise BundleError(_damaged(path, f"{place}: {first['msg']}")) from error
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise BundleError(_damaged(path, f"{type(error).__name__}: {error}")) from error
    missing = [name for name in REQUIRED if name not in manifest.files]
    if missing:
        raise BundleError(_damaged(path, f"files: {missing} are not listed"))
    return manifest


def _damaged(path: Path, why: str) -> str:
    return f"{path} is damaged: {why}; copy the bundle again, or write a new one"


def _names(folder: Path) -> list[str]:
    """List the files but the manifest and hidden ones, as relative names with slashes.

    Raises:
        BundleError: one is there that a bundle must not hold.
    """
    names = []
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and name != MANIFEST and not _is_hidden(name):
            _check_kind(path)
            names.append(name)
    return names


def _check_kind(path: Path) -> None:
    if path.suffix.lower() not in ALLOWED:
        raise BundleError(
            f"{path}: a bundle holds {', '.join(ALLOWED)} files alone, since others may execute "
            "code when they are loaded; remove it, or convert weights to safetensors"
        )
    if path.name.lower() in LOADS_MORE:
        raise BundleError(
            f"{path} makes libraries load weights from elsewhere, and a bundle must be whole; "
            "merge the adapter into the weights, and remove it"
        )


def _is_hidden(name: str) -> bool:
    """Whether it is what systems and editors leave in any folder, such as .DS_Store."""
    return any(part.startswith(".") for part in PurePosixPath(name).parts)


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def write_whole(path: Path, text: str) -> None:
    """Replace a file in one step, and not before its content is on the disk."""
    draft = path.with_name(path.name + ".part")
    with draft.open("w", encoding="utf-8") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    draft.replace(path)
