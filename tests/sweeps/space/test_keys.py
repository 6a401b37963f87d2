"""The list of keys, in the terminal and in the manual."""

from __future__ import annotations

from pathlib import Path

import pytest

from sweeps.space.config import SECTIONS, SweepConfig
from sweeps.space.key_table import key_table, section_notes
from sweeps.space.keys import keys_markdown, keys_text
from sweeps.space.space import load_space
from tokcls.errors import ConfigError

MANUAL = Path(__file__).parents[3] / "docs" / "yaml.md"


def test_the_manual_holds_exactly_the_tables_made_from_the_code() -> None:
    _, begin, rest = MANUAL.read_text(encoding="utf-8").partition("<!-- keys: begin")
    tables, end, _ = rest.partition("<!-- keys: end -->")
    assert begin
    assert end
    assert tables.partition("-->\n")[2] == keys_markdown()


def test_the_smallest_file_of_the_manual_loads(tmp_path: Path) -> None:
    smallest = MANUAL.read_text(encoding="utf-8").split("```yaml\n")[1].split("```")[0]
    (tmp_path / "smallest.yaml").write_text(smallest)
    assert list(load_space(tmp_path / "smallest.yaml").parameters) == ["train.learning_rate"]


def test_every_key_and_every_section_is_described() -> None:
    assert set(SECTIONS) == set(SweepConfig.model_fields) - {"name"}
    assert tuple(section_notes()) == SECTIONS
    assert all(key.description and key.expects for key in key_table().values())


def test_one_section_lists_its_own_keys_only() -> None:
    text = keys_text("train")
    assert "train.learning_rate = required\n    a number greater than 0\n" in text
    assert "train.epochs = 3\n" in text
    assert "model." not in text


def test_without_a_section_every_key_is_listed() -> None:
    text = keys_text()
    assert all(f"  {path} = " in text for path in key_table())
    assert "  name = the file's name\n" in text


def test_an_unknown_section_names_the_sections() -> None:
    with pytest.raises(ConfigError, match=r"`trian`; did you mean `train`\? sections are data, "):
        keys_text("trian")
