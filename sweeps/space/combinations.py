"""The different configurations of a space whose values can be counted: listed, if not too many."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from sweeps.space.verbs import Verb, canonical
from tokcls.config import TrialConfig
from tokcls.errors import ConfigError

LISTED = 10_000  # at most, in about half a second


def count(verbs: Mapping[str, Verb]) -> int | None:
    """Count the combinations of values; None where they cannot be counted."""
    sizes = [verb.size() for verb in verbs.values()]
    counted = [size for size in sizes if size is not None]
    return math.prod(counted) if len(counted) == len(sizes) else None


def product(verbs: Mapping[str, Verb]) -> Iterator[dict[str, Any]]:
    """Give every combination in canonical form; ValueError where they cannot be counted."""
    for values in itertools.product(*(verb.every() for verb in verbs.values())):
        yield dict(zip(verbs, map(canonical, values), strict=True))


def distinct(
    verbs: Mapping[str, Verb], trial: Callable[[Mapping[str, Any]], TrialConfig]
) -> list[dict[str, Any]]:
    """List the combinations that make a valid trial, one for each configuration."""
    found: dict[str, dict[str, Any]] = {}
    for values in product(verbs):
        try:
            found.setdefault(trial(values).config_hash, values)
        except ConfigError:  # a rule between keys forbids this one
            continue
    return list(found.values())
