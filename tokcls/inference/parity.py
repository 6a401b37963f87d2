"""Whether a bundle finds on this machine what the trained network found when it was made.

The texts are part of the package, what was found in them is in the bundle's receipt: another
processor or another version of ONNX Runtime that answers differently is noticed before it serves.
"""

from __future__ import annotations

from typing import Any

from tokcls.errors import BundleError
from tokcls.inference.predictor import Entity, Predictor

KEY = "parity"
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


def found(entities: list[list[Entity]]) -> list[list[list[Any]]]:
    """What is compared of entities: type, start and end."""
    return [[[one.entity_group, one.start, one.end] for one in each] for each in entities]


def check_parity(predictor: Predictor) -> None:
    """Compare what a bundle finds with its receipt; one without a record of it is not compared.

    Raises:
        BundleError: it finds something else.
    """
    expected = predictor.manifest.receipt.get(KEY)
    if expected is None or len(expected) != len(TEXTS):
        return
    here = found(predictor.predict_texts(TEXTS))
    wrong = sum(a != b for a, b in zip(here, expected, strict=True))
    if wrong:
        raise BundleError(
            f"the bundle finds other entities here than when it was made, in {wrong} of "
            f"{len(TEXTS)} texts; use the versions of its receipt, or bundle the trial again"
        )
