"""Sizes on disk as people write them: `500 MB`, `20 GB`, `1.5 TB`, in powers of a thousand."""

from __future__ import annotations

UNITS = {"MB": 10**6, "GB": 10**9, "TB": 10**12}
PATTERN = r"^[0-9]+(\.[0-9]+)? ?(MB|GB|TB)\z"


def bytes_of(text: str) -> int:
    """Read a size that PATTERN matches."""
    return round(float(text[:-2]) * UNITS[text[-2:]])


def shown_bytes(count: int) -> str:
    """Write a size with three digits."""
    unit = next((name for name in reversed(UNITS) if count >= UNITS[name]), "MB")
    return f"{count / UNITS[unit]:.3g} {unit}"
