"""Reading YAML: values as YAML 1.2 means them, lines, and everything that is refused."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from sweeps.space.verbs import LogUniform
from sweeps.space.yaml_nodes import parse, read_text, scalar
from sweeps.space.yaml_text import block, inline, shown
from tokcls.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-5", 1e-5), ("1E3", 1000.0), (".5", 0.5), ("5.", 5.0), ("-1.5e+3", -1500.0),
        ("12", 12), ("-3", -3), ("+4", 4), ("010", 10),
        ("true", True), ("false", False), ("null", None), ("~", None), ("", None),
        ("NO", "NO"), ("yes", "yes"), ("on", "on"), ("True", "True"),
        ("1_000", "1_000"), ("0x1F", "0x1F"), ("1:30", "1:30"), ("e5", "e5"), (".", "."),
        ("2024-01-01", "2024-01-01"), ("9" * 5000, "9" * 5000),
    ],
)  # fmt: skip
def test_plain_scalars_are_read_as_yaml_1_2_means_them(text: str, value: Any) -> None:
    assert scalar(text) == value
    assert type(scalar(text)) is type(value)


def test_infinity_and_nan_are_numbers_for_later_rules_to_refuse() -> None:
    assert scalar("-.inf") == -math.inf
    assert math.isnan(scalar(".nan"))


def test_quotes_make_text() -> None:
    assert parse("a: '1e-5'\nb: \"true\"\nc: |\n  3\n").data == {
        "a": "1e-5",
        "b": "true",
        "c": "3\n",
    }


def test_every_key_and_item_has_its_line() -> None:
    document = parse("a:\n  b: 1\n\n  c:\n    - x\n    - {d: 2}\n")
    assert document.data == {"a": {"b": 1, "c": ["x", {"d": 2}]}}
    assert document.lines[("a", "b")] == 2
    assert document.lines[("a", "c", 0)] == 5
    assert document.lines[("a", "c", 1, "d")] == 6


def test_a_key_given_twice_is_a_problem_with_both_lines() -> None:
    document = parse("a:\n  b: 1\n  c: 2\n  b: 3\n", "f.yaml")
    assert [str(p) for p in document.problems] == [
        "f.yaml:4: a.b: is given twice, first on line 2; keep one"
    ]
    assert document.data == {"a": {"b": 1, "c": 2}}


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("a:\n\tb: 1", 2, "indent with spaces"),
        ("a: [1, 2", 1, "not valid YAML"),
        ("a: 1\nb: 'x", 2, "not valid YAML"),
        ("a: &x 1", 1, "anchor &x is not read"),
        ("a: 1\nb: *x", 2, r"alias \*x is not read"),
        ("a: !!python/object:os.system x", 1, "tag !!python/object:os.system is not read"),
        ("a: 1\n--- \nb: 2", 2, "a second document"),
        ("? [a]\n: 1", 1, "a key must be plain text"),
        ("a: \x07", 1, r"character '\\x07' is not allowed"),
        ("[" * 100_000, 1, "nested deeper than 20 levels"),
        ("a: [" * 400, 1, "nested deeper than 20 levels"),
    ],
)
def test_what_is_no_plain_yaml_is_a_problem_with_its_line(
    text: str, line: int, message: str
) -> None:
    problems = parse(text, "f.yaml").problems
    assert problems[0].line == line
    with pytest.raises(ConfigError, match=message):
        raise ConfigError(problems)


@given(st.text(alphabet="ab1e.-~: \n\t{}[],#&*!|>'\"%@\\\u2028é", max_size=60))
def test_any_text_is_read_or_refused_in_words(text: str) -> None:
    document = parse(text)
    assert document.problems or document.data is None or document.lines


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**17), 10**17) | st.text()
    | st.floats(allow_nan=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip


@given(st.dictionaries(st.text(max_size=5), _VALUES, max_size=4))
def test_what_is_written_reads_back_as_the_same_values(data: dict[str, Any]) -> None:
    if any(0xD800 <= ord(letter) <= 0xDFFF for letter in repr(data)):
        return
    read = parse(block(data))
    assert not read.problems
    assert read.data == (data or None)


def test_small_numbers_are_numbers_for_stock_yaml_readers_too() -> None:
    assert yaml.safe_load(inline(1e-05)) == 1e-05


def test_a_verb_is_written_as_in_the_file() -> None:
    assert inline(LogUniform(1e-5, 0.1)) == "{loguniform: [1.0e-05, 0.1]}"


def test_long_values_are_cut_in_messages() -> None:
    assert shown("x" * 500).endswith("x...")
    assert len(shown(list(range(900)))) < 70


def test_a_missing_file_a_folder_and_a_binary_file_are_problems(tmp_path: Path) -> None:
    (tmp_path / "raw.yaml").write_bytes(b"a: 1\nb: \xff\n")
    (tmp_path / "big.yaml").write_bytes(b"#" * (1024 * 1024 + 1))
    for name, message in [
        ("none.yaml", "there is no such file"),
        (".", "is a folder"),
        ("raw.yaml", "raw.yaml:2: is not UTF-8"),
        ("big.yaml", "larger than 1 MiB"),
    ]:
        with pytest.raises(ConfigError, match=message):
            read_text(tmp_path / name)


def test_a_byte_order_mark_is_tolerated(tmp_path: Path) -> None:
    (tmp_path / "bom.yaml").write_bytes(b"\xef\xbb\xbfa: 1\r\nb: 2\r\n")
    assert parse(read_text(tmp_path / "bom.yaml")).data == {"a": 1, "b": 2}
