"""Whether names on the Hugging Face Hub can be reached, found out in seconds, before work starts.

A Hub that does not answer is a case to go on from (the local cache, else stand-ins); a name that
the Hub does not know, or does not hand out, is an error at once. Loads and downloads nothing.
"""

from __future__ import annotations

import difflib
import os
import re
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from huggingface_hub import HfApi, try_to_load_from_cache
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
)

# The base of all transport errors, of whichever HTTP library the client stands on.
from huggingface_hub.errors import HTTPError as TransportError  # type: ignore[attr-defined]

from tokcls.data.source import HUB_NAMES
from tokcls.errors import BackboneError, CorpusError, Problem, TokclsError
from tokcls.model.backbones import ALIASES

Kind = Literal["model", "dataset"]


@dataclass(frozen=True)
class _Words:
    """How messages speak of a kind of repository."""

    noun: str
    key: str
    offline_key: str
    page: str
    local: tuple[str, ...]
    short: Mapping[str, str]


_WORDS: Mapping[Kind, _Words] = {
    "model": _Words("model", "model.backbone", "model.offline", "", tuple(ALIASES), {}),
    "dataset": _Words(
        "data set", "data.source", "data.offline", "datasets/", ("bundled",), HUB_NAMES
    ),
}
_ID = re.compile(r"[\w.-]+(/[\w.-]+)?", re.ASCII)
_ON = frozenset({"1", "ON", "YES", "TRUE"})
_UNWELL = frozenset({408, 429})
_REFUSED = frozenset({401, 403})
# How long a look-up may take beyond its time-out: name look-up and connecting have clocks of
# their own, and the client asks a second address before the first request of a process.
_SLACK = 0.5


@dataclass(frozen=True)
class Lookup:
    """What the Hub said of one id: `sha` is the newest commit, `reason` why there is none."""

    id: str
    state: Literal["reachable", "unreachable"]
    sha: str | None = None
    reason: str = ""


@dataclass(frozen=True)
class Resolution:
    """The names to use: `offline` when they are stand-ins, `cached` when some are read from disk.

    `notes` are lines that a user must see.
    """

    names: tuple[str, ...]
    offline: bool = False
    cached: bool = False
    notes: tuple[str, ...] = ()
    lookups: tuple[Lookup, ...] = ()


def _unknown(name: str, words: _Words, said: str) -> str:
    """Say what a name may be, that is nothing here and cannot be looked up."""
    close = difflib.get_close_matches(name, words.local, n=1)
    meant = f" (did you mean {close[0]}?)" if close else ""
    return (
        f"there is no file or folder {name!r} here{meant}, it is not in the local cache of the "
        f"Hub, and {said}; check the name, connect, or name what is on this machine in "
        f"{words.offline_key}"
    )


def look_up(ids: Iterable[str], kind: Kind, timeout: float = 5.0) -> tuple[Lookup, ...]:
    """Ask the Hub for all ids at once, each once, so that its silence costs one time-out, not many.

    `timeout` is in seconds and half a second is the most that is waited beyond it; HF_ENDPOINT and
    HF_HUB_OFFLINE are read at this call. Raises BackboneError or CorpusError when the Hub answers
    that there is no such repository for us.
    """
    asked = list(dict.fromkeys(ids))
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in _ON:
        return tuple(Lookup(name, "unreachable", reason="HF_HUB_OFFLINE is set") for name in asked)
    endpoint = os.environ.get("HF_ENDPOINT") or None
    deadline = time.monotonic() + timeout + _SLACK
    running = [(name, _start(name, kind, endpoint, timeout)) for name in asked]
    lookups: list[Lookup] = []
    refusals: list[str] = []
    for name, future in running:
        try:
            lookups.append(future.result(max(0.0, deadline - time.monotonic())))
        except TimeoutError:
            lookups.append(Lookup(name, "unreachable", reason=f"no answer within {timeout:g} s"))
        except TokclsError as error:
            refusals.append(str(error))
    if refusals:
        raise _error(kind, "\n".join(refusals))
    return tuple(lookups)


def in_cache(repo_id: str, kind: Kind, *, cache_dir: str | Path | None = None) -> bool:
    """Tell whether a repository can be used without the Hub, from the libraries' own caches.

    A model needs its config and safetensors weights (`cache_dir`: where the Hub client keeps
    files), a data set its prepared tables (`cache_dir`: where `datasets` keeps them).
    """
    if kind == "dataset":
        return _prepared(repo_id, cache_dir)
    config = try_to_load_from_cache(repo_id, "config.json", cache_dir=cache_dir)
    return isinstance(config, str) and any(
        path.exists() for path in Path(config).parent.glob("*.safetensors")
    )


def is_local(name: str, *, kind: Kind = "model") -> bool:
    """Tell whether a name needs no Hub: a short name of ours, an existing folder, or a data file.

    Raises BackboneError or CorpusError for what can be neither that nor a Hub id.
    """
    if name in _WORDS[kind].local or Path(name).expanduser().is_dir():
        return True
    if Path(name).expanduser().is_file():
        if kind == "dataset":
            return True
        raise _error(kind, f"{name} is a file where a folder is wanted")
    if name.startswith(("/", "./", "../", "~")):
        raise _error(kind, f"folder not found: {name}")
    if not _ID.fullmatch(name):
        local = ", ".join(_WORDS[kind].local)
        raise _error(
            kind, f"{name!r} is no folder, no Hub id (`name` or `org/name`), and not {local}"
        )
    return False


def resolve_backbones(
    names: Sequence[str],
    offline_names: Sequence[str] = (),
    *,
    timeout: float = 5.0,
    cache_dir: str | Path | None = None,
) -> Resolution:
    """Decide which backbones a run uses: `names`, or all of `offline_names` together.

    Raises BackboneError when a name does not exist, or cannot be reached and nothing stands in.
    """
    return _resolve(names, offline_names, "model", timeout, cache_dir)


def resolve_source(
    source: str,
    offline: str | None = None,
    *,
    timeout: float = 5.0,
    cache_dir: str | Path | None = None,
) -> Resolution:
    """Decide which corpus a run uses, as `resolve_backbones` does; the one name is in `names`.

    Raises CorpusError when it does not exist, or cannot be reached and nothing stands in.
    """
    return _resolve([source], [offline] if offline else [], "dataset", timeout, cache_dir)


def _resolve(
    names: Sequence[str],
    offline_names: Sequence[str],
    kind: Kind,
    timeout: float,
    cache_dir: str | Path | None,
) -> Resolution:
    words = _WORDS[kind]
    if not_local := [name for name in offline_names if not is_local(name, kind=kind)]:
        here = ", ".join(words.local)
        raise _error(
            kind,
            f"{words.offline_key} must name what is on this machine (a folder, {here}), "
            f"got {', '.join(not_local)}",
        )
    remote = [words.short.get(name, name) for name in names if not is_local(name, kind=kind)]
    lookups = look_up(remote, kind, timeout)
    silent = [lookup for lookup in lookups if lookup.state == "unreachable"]
    if not silent:
        return Resolution(tuple(names), lookups=lookups)
    ids = ", ".join(lookup.id for lookup in silent)
    said = f"the Hub cannot be reached ({silent[0].reason})"
    if all(in_cache(lookup.id, kind, cache_dir=cache_dir) for lookup in silent):
        note = f"{said}; read from the local cache: {ids}"
        return Resolution(tuple(names), cached=True, notes=(note,), lookups=lookups)
    if not offline_names:
        raise _error(kind, "\n".join(_unknown(lookup.id, words, said) for lookup in silent))
    note = (
        f"{said}; OFFLINE: {words.key} = {', '.join(offline_names)} instead of {', '.join(names)}"
    )
    return Resolution(tuple(offline_names), offline=True, notes=(note,), lookups=lookups)


def _start(name: str, kind: Kind, endpoint: str | None, timeout: float) -> Future[Lookup]:
    """Run one look-up in a daemon thread, which a dead resolver cannot keep the process in."""
    future: Future[Lookup] = Future()

    def work() -> None:
        try:
            future.set_result(_ask(name, kind, endpoint, timeout))
        except Exception as error:
            future.set_exception(error)

    threading.Thread(target=work, name=f"look up {name}", daemon=True).start()
    return future


def _ask(name: str, kind: Kind, endpoint: str | None, timeout: float) -> Lookup:
    try:
        info: Any = HfApi(endpoint=endpoint).repo_info(name, repo_type=kind, timeout=timeout)
    except HfHubHTTPError as error:
        status = error.response.status_code
        if status >= 500 or status in _UNWELL:
            return Lookup(name, "unreachable", reason=f"it answers {status}")
        raise _error(kind, _refusal(name, kind, error, status)) from error
    except OfflineModeIsEnabled:
        return Lookup(name, "unreachable", reason="HF_HUB_OFFLINE is set")
    except (TransportError, OSError) as error:
        return Lookup(name, "unreachable", reason=str(error) or type(error).__name__)
    except HFValidationError as error:
        raise _error(kind, f"{name!r} is no Hub id: {error}") from error
    except ValueError:
        return Lookup(name, "unreachable", reason="what answers in its place is not the Hub")
    return Lookup(name, "reachable", sha=info.sha)


def _refusal(name: str, kind: Kind, error: HfHubHTTPError, status: int) -> str:
    words = _WORDS[kind]
    page = f"https://huggingface.co/{words.page}{name}"
    if isinstance(error, GatedRepoError):
        return (
            f"{name!r} is gated: accept its licence on {page}, then log in with `hf auth login`, "
            "or use another"
        )
    if isinstance(error, RepositoryNotFoundError) or status in {404, *_REFUSED}:
        return (
            f"{name!r} is no folder here, and no {words.noun} on the Hub that you may read (answer "
            f"{status}): check the spelling; if it is private, log in with `hf auth login`"
        )
    return f"{name!r} is refused by the Hub (answer {status}): {error.server_message or error}"


def _prepared(repo_id: str, cache_dir: str | Path | None) -> bool:
    from datasets import config
    from datasets.naming import camelcase_to_snakecase

    *namespace, name = repo_id.split("/")
    folder = "___".join([*namespace, camelcase_to_snakecase(name)])
    root = Path(cache_dir or config.HF_DATASETS_CACHE).expanduser()
    return any(path.is_dir() for path in root.joinpath(folder).glob("*/*/*"))


def _error(kind: Kind, message: str) -> TokclsError:
    return BackboneError(message) if kind == "model" else CorpusError([Problem(message)])
