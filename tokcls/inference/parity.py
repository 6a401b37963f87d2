"""Whether a bundle finds on this machine what the trained network found when it was made.

The texts are part of the package, what was found in them is in the bundle's receipt: another
processor or another version of ONNX Runtime that answers differently is noticed before it serves.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

from tokcls.errors import BundleError
from tokcls.inference.engines import TORCH
from tokcls.inference.predictor import Entity, Predictor

KEY = "parity"
ROUNDED = {TORCH: 2}
"""spans that an engine may find otherwise: on a GPU torch counts in bf16, and doubtful ones tip"""
TEXTS = (
    "Ada Lovelace was born in London and worked with Charles Babbage.",
    "The European Commission fined Acme Corp. in Brussels on 3 May 2021, Reuters reported.",
    "Lionel Messi left FC Barcelona for Paris Saint-Germain before he went to Miami.",
    "EU rejects German call to boycott British lamb .",
    "mr. o'brien (of the n.y. office) e-mailed dr. müller-lüdenscheidt in 東京 \U0001f600",
    "Nobody was there, and nothing happened.",
    "New York, New York: the Yankees beat the Red Sox 5-3 at Yankee Stadium on Sunday.",
    " ".join(["Maria Silva met Peter van Dam near the Old Mill in Porto, then flew to Oslo."] * 40),
)


DIGEST = hashlib.sha256("\n".join(TEXTS).encode()).hexdigest()


def record(predictor: Predictor, **others: Predictor) -> dict[str, Any]:
    """Give what a receipt says of the texts: which they were, and what was found in them.

    `others` are engines that need not find the same, by name.
    """
    more = {_key(name): _found(other) for name, other in others.items()}
    return {"texts": DIGEST, "found": _found(predictor), **more}


def _key(engine: str) -> str:
    return f"found_{engine}"


def _found(predictor: Predictor) -> list[list[list[Any]]]:
    found: list[list[Entity]] = predictor.predict_texts(TEXTS)
    return [[[one.entity_group, one.start, one.end] for one in each] for each in found]


def check_parity(predictor: Predictor) -> None:
    """Compare what a bundle finds with its receipt, if that has a record of these very texts.

    Raises:
        BundleError: it finds something else.
    """
    here = _found(predictor)  # without a record too: an engine's first run takes longer
    record_ = predictor.manifest.receipt.get(KEY)
    if not isinstance(record_, dict) or record_.get("texts") != DIGEST:
        return
    expected = record_.get(_key(predictor.engine), record_.get("found"))
    if here == expected:
        return
    pairs = list(zip(here, expected, strict=False)) if isinstance(expected, list) else []
    if len(pairs) == len(TEXTS) and _spans_apart(pairs) <= ROUNDED.get(predictor.engine, 0):
        return
    wrong = sum(a != b for a, b in pairs) or len(TEXTS)
    raise BundleError(
        f"the bundle finds other entities here than when it was made, in {wrong} of "
        f"{len(TEXTS)} texts; use the versions of its receipt, or bundle the trial again"
    )


def _spans_apart(pairs: Sequence[tuple[list[list[Any]], list[list[Any]]]]) -> int:
    """Count the spans that one of two has found and the other has not, whichever has more."""
    more = [sum(span not in b for span in a) for a, b in pairs]
    less = [sum(span not in a for span in b) for a, b in pairs]
    return max(sum(more), sum(less))
