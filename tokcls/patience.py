"""How long MLflow's client tries: by itself it tries for minutes, and who waits is told nothing."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager


@contextmanager
def patience(settings: Mapping[str, str]) -> Iterator[None]:
    """Let MLflow's client wait as `settings` say, which it reads off the environment at each call.

    What the user has set counts more; the environment is put back, as processes inherit it.
    """
    added = [name for name in settings if name not in os.environ]
    os.environ.update({name: settings[name] for name in added})
    try:
        yield
    finally:
        for name in added:
            os.environ.pop(name, None)
