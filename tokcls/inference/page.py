"""The page at `/`: one file, whose script and style are all that a browser may run of it."""

from __future__ import annotations

import base64
import hashlib
import re
from functools import cache
from importlib.resources import files

NAME = "page.html"


@cache
def page() -> str:
    """The page's HTML."""
    return files(__package__).joinpath(NAME).read_text(encoding="utf-8")


@cache
def headers() -> dict[str, str]:
    """Headers that let the page run its own script, ask its own server, and nothing else."""
    policy = {
        "default-src": "'none'",
        "connect-src": "'self'",
        "img-src": "data:",  # an empty icon, so that none is asked for
        "script-src": _hashes("script"),
        # The colours of types are set on elements, which a hash cannot permit.
        "style-src": "'unsafe-inline'",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
    }
    return {
        "Content-Security-Policy": "; ".join(f"{key} {value}" for key, value in policy.items()),
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
    }


def _hashes(tag: str) -> str:
    found = re.findall(rf"<{tag}>(.*?)</{tag}>", page(), re.DOTALL)
    sums = (base64.b64encode(hashlib.sha256(each.encode()).digest()).decode() for each in found)
    return " ".join(f"'sha256-{each}'" for each in sums)
