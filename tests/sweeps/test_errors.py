"""What an error says is one line, without keys."""

from __future__ import annotations

import pytest

from sweeps.errors import first_line
from tokcls.errors import without_keys


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("http://ada:secret@host:5000/a", "http://host:5000/a"),
        ("postgresql://ada:p@ss@host/db", "postgresql://host/db"),
        ("API request to https://ada@host/api failed", "API request to https://host/api failed"),
        ("http://a:b@one and http://c:d@two", "http://one and http://two"),
        ("sqlite:///a@b/mlflow.db", "sqlite:///a@b/mlflow.db"),
        ("http://host/a@b, ask ada@host", "http://host/a@b, ask ada@host"),
    ],
)
def test_keys_in_uris_are_left_out(text: str, shown: str) -> None:
    assert without_keys(text) == shown
    assert first_line(OSError(f"{text}\nmore")) == shown


def test_an_error_that_says_nothing_is_called_by_its_name() -> None:
    assert first_line(KeyError()) == "KeyError"
