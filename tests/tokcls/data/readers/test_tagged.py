"""The scheme of a file, and what happens to tags that break it."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokcls.config import DataConfig, FileScheme, Repair
from tokcls.data.readers.formats import read_split
from tokcls.data.readers.rules import Rules, rules_of
from tokcls.data.readers.tagged import FileRead
from tokcls.errors import CorpusError
from tokcls.labels.repair import read_tags
from tokcls.labels.schemes import SCHEMES
from tokcls.labels.spans import Span

BROKEN = "a O\n\nb I-X\nc O\nd B-Y\ne I-Y\nf I-Z\n\ng B-X\nh B-Y\n"


def read(tmp_path: Path, rules: Rules) -> FileRead:
    (tmp_path / "f.txt").write_text(BROKEN)
    return read_split([tmp_path / "f.txt"], rules)


def test_broken_tags_are_read_as_conlleval_does_and_counted(tmp_path: Path) -> None:
    found = read(tmp_path, Rules())
    assert found.sentences[1].spans == (Span(0, 1, "X"), Span(2, 4, "Y"), Span(4, 5, "Z"))
    assert found.detected is not None
    assert (found.detected.scheme, found.detected.violations) == ("IOB2", 2)
    assert found.notes == (
        f"{tmp_path}/f.txt:3: 'I-X' between the start of the sentence and 'O' breaks IOB2; read as "
        "conlleval reads it",
        f"{tmp_path}/f.txt:7: 'I-Z' between 'I-Y' and the end of the sentence breaks IOB2; read as "
        "conlleval reads it",
    )


def test_spans_of_broken_tags_can_be_discarded_and_are_counted(tmp_path: Path) -> None:
    found = read(tmp_path, Rules(repair="discard"))
    assert found.sentences[1].spans == (Span(2, 4, "Y"),)
    assert [note for note in found.notes if "its span is discarded" not in note] == [
        f"{tmp_path}/f.txt: 2 spans discarded, since their tags break IOB2"
    ]


def test_of_many_broken_tags_the_first_are_shown_and_the_others_counted(tmp_path: Path) -> None:
    (tmp_path / "many.txt").write_text("a B-X\n\n" + "b I-X\nc B-X\n\n" * 1200)
    found = read_split([tmp_path / "many.txt"], Rules(scheme="IOB2"))
    assert [note.split(":")[1] for note in found.notes[:3]] == ["3", "6", "9"]
    assert found.notes[3:] == (f"{tmp_path}/many.txt: and 1,197 more such places",)


def test_broken_tags_can_be_refused_and_each_is_named_with_its_line(tmp_path: Path) -> None:
    with pytest.raises(CorpusError) as caught:
        read(tmp_path, Rules(repair="refuse"))
    first, second = (str(problem) for problem in caught.value.problems)
    assert f"{tmp_path}/f.txt:3: 'I-X' between the start of the sentence and 'O'" in first
    assert f"{tmp_path}/f.txt:7: 'I-Z' between 'I-Y' and the end of the sentence" in second
    assert second.endswith("mend the tags, or set data.repair to conlleval or discard")


def test_prefixes_of_different_schemes_are_each_shown_with_their_first_line(tmp_path: Path) -> None:
    (tmp_path / "mixed.txt").write_text("a B-X\nb E-X\n\nc O\nd U-X\ne S-X\nf U-X\n")
    with pytest.raises(CorpusError) as caught:
        read_split([tmp_path / "mixed.txt"], Rules())
    told = [(problem.line, problem.message) for problem in caught.value.problems]
    assert told[0][1].startswith("no scheme has all the prefixes O B E S U; use the tags of one of")
    assert told[1:] == [
        (2, "'E-X' is the first tag with E-, which no scheme has beside U-"),
        (5, "'U-X' is the first tag with U-, which no scheme has beside E- or S-"),
        (6, "'S-X' is the first tag with S-, which no scheme has beside U-"),
    ]


def test_a_given_scheme_is_used_in_place_of_the_one_that_fits_best(tmp_path: Path) -> None:
    found = read(tmp_path, Rules(scheme="IOB1")).detected
    assert found is not None
    assert (found.scheme, found.evidence) == ("IOB1", "given as data.scheme")
    assert found.violations == 3


def test_tags_that_a_given_scheme_lacks_are_named_with_their_lines(tmp_path: Path) -> None:
    with pytest.raises(CorpusError) as caught:
        read(tmp_path, Rules(scheme="IO"))
    assert [problem.line for problem in caught.value.problems] == [5, 9, 10]
    assert "'B-Y' is not a tag of data.scheme = IO, whose prefixes are O I" in str(caught.value)


def test_every_scheme_can_be_given() -> None:
    assert set(get_args(FileScheme)) == {"auto", *SCHEMES}


def test_without_any_wish_a_configuration_leaves_everything_to_be_found() -> None:
    assert rules_of(DataConfig(source="bundled")) == Rules()


TAGS = st.lists(st.sampled_from(["O", "B-X", "I-X", "B-Y", "I-Y"]), min_size=1, max_size=8)


@given(TAGS, st.sampled_from(["conlleval", "discard"]))
def test_repairs_differ_only_in_spans_with_a_violation(tags: list[str], repair: Repair) -> None:
    scheme = SCHEMES["IOB2"]
    reading = read_tags(tags, scheme, repair)
    lost = set(scheme.decode(tags)) - set(reading.spans)
    assert all(any(s.start <= at < s.end for at in reading.violations) for s in lost)
    assert not lost or repair == "discard"
    valid = scheme.encode(scheme.decode(tags), len(tags)) == tags
    assert valid == (not reading.violations)
