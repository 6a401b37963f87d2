"""Places in a text in the units that other languages count: UTF-16 code units, or UTF-8 bytes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

Longs = npt.NDArray[np.int64]


def _utf16(points: npt.NDArray[np.uint32]) -> Longs:
    return np.where(points > 0xFFFF, 2, 1).astype(np.int64)


def _utf8(points: npt.NDArray[np.uint32]) -> Longs:
    return 1 + (points > 0x7F) + (points > 0x7FF).astype(np.int64) + (points > 0xFFFF)


SIZES: dict[str, Callable[[npt.NDArray[np.uint32]], Longs]] = {"utf16": _utf16, "byte": _utf8}


def places(text: str, unit: str) -> Callable[[int], int]:
    """Give a function from code points of `text` to `unit`: codepoint, utf16 or byte."""
    if unit == "codepoint" or text.isascii():
        return int
    points = np.frombuffer(text.encode("utf-32-le"), np.uint32)
    before = np.concatenate([np.zeros(1, np.int64), np.cumsum(SIZES[unit](points))])
    return lambda at: int(before[at])
