"""Small files to load; nothing here needs a network or a model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from sweeps.space.space import SearchSpace, load_space
from tokcls.errors import ConfigError

MINIMAL = """\
data: {source: bundled}
model: {backbone: minilm-l6}
train:
  learning_rate: 1e-4
"""

Load = Callable[..., SearchSpace]
Complain = Callable[..., list[str]]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """Load the minimal file, called s.yaml, with lines added below `train:` and overrides."""

    def do(added: str = "", *overrides: str, text: str = MINIMAL) -> SearchSpace:
        path = tmp_path / "s.yaml"
        path.write_text(text + added, encoding="utf-8")
        return load_space(path, overrides)

    return do


@pytest.fixture
def complain(load: Load, tmp_path: Path) -> Complain:
    """Load as `load` does, and give the complaints without the folder's name."""

    def do(added: str = "", *overrides: str, text: str = MINIMAL) -> list[str]:
        with pytest.raises(ConfigError) as caught:
            load(added, *overrides, text=text)
        return [str(p).replace(f"{tmp_path}/", "") for p in caught.value.problems]

    return do
