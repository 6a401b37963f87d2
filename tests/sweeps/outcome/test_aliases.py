"""Aliases are moved so that a failure between two of them loses as little as it can."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from sweeps.errors import RegistryError
from sweeps.outcome.aliases import crown, roll_back


class Registry:
    """A registry of one model that stops answering after so many moves."""

    def __init__(self, moves: int = 9, **aliases: str) -> None:
        self.aliases, self._moves = aliases, moves

    def get_registered_model(self, name: str) -> SimpleNamespace:
        return SimpleNamespace(aliases=dict(self.aliases))

    def set_registered_model_alias(self, name: str, alias: str, version: str) -> None:
        if self._moves == 0:
            raise OSError("http://ada:secret@host is gone")
        self._moves -= 1
        self.aliases[alias] = version


def test_a_champion_that_cannot_be_set_leaves_the_one_before_it_known() -> None:
    registry = Registry(moves=0, champion="2", previous="1")
    with pytest.raises(OSError, match="is gone"):
        crown(registry, "ner", "3")
    assert registry.aliases == {"champion": "2", "previous": "1"}


def test_a_move_of_which_half_was_done_says_what_is_champion_and_how_to_go_back() -> None:
    registry = Registry(moves=1, champion="2", previous="1")
    with pytest.raises(RegistryError, match=r"version 3 is champion now, .* models:/ner/2") as said:
        crown(registry, "ner", "3")
    assert registry.aliases == {"champion": "3", "previous": "1"}
    assert "secret" not in str(said.value)


def test_a_second_rollback_goes_forth_again() -> None:
    registry = Registry(champion="2", previous="1")
    assert roll_back(registry, "ner", lambda version: None) == ("1", "2")
    assert roll_back(registry, "ner", lambda version: None) == ("2", "1")


@pytest.mark.parametrize("aliases", [{}, {"champion": "1"}, {"champion": "1", "previous": "1"}])
def test_there_is_no_rollback_without_a_champion_before(aliases: dict[str, str]) -> None:
    with pytest.raises(RegistryError, match=r"ner has no earlier champion .* models:/ner/VERSION"):
        roll_back(Registry(**aliases), "ner", lambda version: None)
