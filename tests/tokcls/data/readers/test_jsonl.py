"""JSON lines: tokens with tags, or texts with offsets; every bad line is named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tokcls.config import Columns
from tokcls.data.readers.formats import read_split
from tokcls.data.readers.rules import Rules
from tokcls.data.readers.tagged import FileRead
from tokcls.errors import CorpusError
from tokcls.labels.spans import Span

TAGGED = {"tokens": ["Ada", "Lovelace"], "ner_tags": ["B-PER", "I-PER"]}
TEXT = {"text": "Ada sleeps.", "entities": [{"start": 0, "end": 3, "label": "PER"}]}


def read(tmp_path: Path, *lines: Any, rules: Rules | None = None) -> FileRead:
    texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    (tmp_path / "a.jsonl").write_text("\n".join(texts), encoding="utf-8")
    return read_split([tmp_path / "a.jsonl"], rules or Rules())


def problems(tmp_path: Path, *lines: Any, rules: Rules | None = None) -> list[str]:
    with pytest.raises(CorpusError) as caught:
        read(tmp_path, *lines, rules=rules)
    return [str(problem).removeprefix(f"{tmp_path}/a.jsonl") for problem in caught.value.problems]


@pytest.mark.parametrize("key", ["ner_tags", "tags", "label_tags", "labels"])
@pytest.mark.parametrize("words", ["tokens", "words"])
def test_tokens_with_tags_are_read(tmp_path: Path, words: str, key: str) -> None:
    found = read(tmp_path, {words: ["Ada"], key: ["B-PER"]}, "", {words: ["x"], key: ["O"]})
    assert [s.words for s in found.sentences] == [("Ada",), ("x",)]
    assert [s.line for s in found.sentences] == [1, 3]
    assert found.sentences[0].spans == (Span(0, 1, "PER"),)
    assert found.detected is not None


def test_numbers_have_the_names_of_their_line_or_of_one_before(tmp_path: Path) -> None:
    names = ["O", "B-X", "I-X"]
    same = {"tokens": ["a", "b"], "tags": [1, 2], "label_names": names}
    found = read(tmp_path, same, {"tokens": ["c"], "tags": [1]})
    assert [s.spans for s in found.sentences] == [(Span(0, 2, "X"),), (Span(0, 1, "X"),)]
    alone = read(tmp_path, {"label_names": names}, {"tokens": ["c"], "tags": [1]})
    assert alone.sentences[0].spans == (Span(0, 1, "X"),)


@pytest.mark.parametrize("key", ["entities", "spans"])
def test_texts_with_offsets_are_read_and_have_no_scheme(tmp_path: Path, key: str) -> None:
    found = read(tmp_path, {"text": TEXT["text"], key: TEXT["entities"]})
    assert found.sentences[0].words == ("Ada", "sleeps", ".")
    assert found.sentences[0].spans == (Span(0, 1, "PER"),)
    assert found.detected is None


GOLD = {"text": "a", "tokens": ["a"], "entities": [], "spans": [], "ner_tags": ["O"], "tags": ["O"]}


@pytest.mark.parametrize(
    "keys",
    [
        ("text", "entities", "spans"),
        ("tokens", "ner_tags", "tags"),
        ("text", "tokens", "ner_tags", "entities"),
    ],
)
def test_gold_that_would_be_passed_over_is_a_problem(tmp_path: Path, keys: tuple[str, ...]) -> None:
    line = {key: GOLD[key] for key in keys}
    (problem,) = problems(tmp_path, line)
    assert problem.startswith(":1: ")
    assert "could each hold the entities; " in problem
    if "ner_tags" in keys:
        assert "name the one to read in data.columns.tag" in problem
        assert read(tmp_path, line, rules=Rules(columns=Columns(tag="ner_tags"))).sentences


def test_both_forms_may_stand_in_one_file(tmp_path: Path) -> None:
    found = read(tmp_path, TEXT, TAGGED)
    assert [s.words for s in found.sentences] == [("Ada", "sleeps", "."), ("Ada", "Lovelace")]
    assert found.detected is not None


def test_lines_with_one_document_key_are_one_document(tmp_path: Path) -> None:
    lines = [{**TAGGED, "document": key} for key in ("x", "x", 7, None, None)]
    assert [s.document for s in read(tmp_path, *lines).sentences] == [0, 0, 1, 2, 3]


def test_keys_can_be_named(tmp_path: Path) -> None:
    rules = Rules(columns=Columns(word="form", tag="ne", document="book"))
    line = {"form": ["a"], "ne": ["B-X"], "book": 1, "tokens": ["no"], "tags": ["O"]}
    assert read(tmp_path, line, rules=rules).sentences[0].words == ("a",)
    (found,) = problems(tmp_path, TAGGED, rules=rules)
    assert found == (
        ":1: expected the keys of data.columns, {'word': 'form', 'tag': 'ne', 'document': 'book'}; "
        "found 'tokens', 'ner_tags'"
    )


def test_numbered_columns_make_no_sense_and_are_refused(tmp_path: Path) -> None:
    rules = Rules(columns=Columns(word=0, sentence="s"))
    first, second = problems(tmp_path, TAGGED, rules=rules)
    assert "data.columns.word: records with keys need a name, got 0" in first
    assert "data.columns.sentence: records with keys have no such column, got 's'" in second


def test_records_without_words_are_left_out_and_counted(tmp_path: Path) -> None:
    found = read(tmp_path, {"tokens": [], "tags": []}, {"text": " ", "spans": []}, TAGGED)
    assert len(found.sentences) == 1
    assert found.notes == (f"{tmp_path}/a.jsonl: 2 records have no word",)


def test_overlapping_entities_are_counted_or_refused(tmp_path: Path) -> None:
    line = {"text": "a b", "spans": [{"start": 0, "end": n, "label": "X"} for n in (1, 3)]}
    found = read(tmp_path, line)
    assert found.sentences[0].spans == (Span(0, 2, "X"),)
    assert "1 overlapping spans left out, the longest are kept" in found.notes[0]
    assert found.notes[1].endswith(":1: X at 0 to 1 is left out")
    (problem,) = problems(tmp_path, line, rules=Rules(overlaps="refuse"))
    assert problem.startswith(":1: X at 0 to 3 and X at 0 to 1 overlap; keep one")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"tokens": ["a"], "tags": ["O"', "is not JSON at character 31: Expecting ',' delimiter"),
        ('{"tokens": ["a"], "tags": ["O"', "is the line cut off?"),
        ('{"tokens": ["a"], "tags": ["O', "Unterminated string starting at; is the line cut off?"),
        ('{"tokens": ["}', "Unterminated string starting at; is the line cut off?"),
        ('{"tokens": ["a"], "tags": nul', "Expecting value; is the line cut off?"),
        ("[1]", "is [1]; expected one JSON object a line"),
        ("nothing", "is not JSON at character 1: Expecting value"),
        ('{"tokens": ["a"], "tokens": ["b"], "tags": ["O"]}', "the key 'tokens' is given twice"),
        ('{"tokens": ["a"], "tags": [NaN]}', "NaN is no JSON number"),
        ('{"tokens": ["a"], "tags": [1' + "0" * 5000 + "]}", "is not JSON: "),
        ("[" * 100_000, "is nested too deeply to be read"),
        ('{"tokens": ["\\ud800"], "tags": ["O"]}', "has half a surrogate pair"),
        ('{"tokens": ["a"], "tags": ["B-\\ud800"]}', "has half a surrogate pair"),
        ('{"text": "\\ud800", "spans": []}', "is half a surrogate pair"),
        ({"tokens": ["x"] * 39, "tags": ["O"] * 40}, "40 tags for 39 tokens; expected as many"),
        ({"tokens": ["a"], "tags": ["PERSON"]}, "tags: 'PERSON' is not a tag"),
        ({"tokens": ["a"], "tags": [True]}, "True is not a tag; expected a name or a number"),
        ({"tokens": ["a"], "tags": [None]}, "None is not a tag; expected a name or a number"),
        ({"tokens": ["a"], "tags": [1]}, "1 is a number, and nothing names it"),
        ({"tokens": ["a"], "tags": [-1], "label_names": ["O"]}, "-1 has no name"),
        ({"tokens": ["a"], "tags": [1], "label_names": ["O"]}, "expected tags from 0 to 0"),
        ({"label_names": "O"}, "label_names is 'O'; expected a list of tags"),
        ({"label_names": ["O", "PER"]}, "label_names: 'PER' is not a tag"),
        ({"tokens": ["a", ""], "tags": ["O", "O"]}, "word 2 is empty; expected a word"),
        ({"tokens": ["a", 3], "tags": ["O", "O"]}, "word 2 is 3; expected text"),
        ({"tokens": "ab", "tags": ["O", "O"]}, "tokens is 'ab'; expected a list"),
        ({"tokens": ["a"], "tags": {"0": "O"}}, "tags is {'0': 'O'}; expected a list"),
        ({**TAGGED, "document": [1]}, "document is [1]; expected text or a number"),
        ({"tokens": ["a"]}, "expected `tokens` and one of `ner_tags`, `tags`"),
        ({}, "found none"),
        ({"text": 3, "spans": []}, "the text is 3; expected a string"),
        (
            {"text": "ab", "entities": [{"start": 0, "end": 3, "label": "X"}]},
            "entity 1: expected 0 <= start < end <= 2 (the characters of the text)",
        ),
    ],
)
def test_a_line_that_makes_no_sense_is_named_with_its_number(
    tmp_path: Path, line: Any, message: str
) -> None:
    (found,) = problems(tmp_path, TAGGED, line, TAGGED)
    assert found.startswith(":2: ")
    assert message in found


def test_all_wrong_lines_are_told_together(tmp_path: Path) -> None:
    bad = {"text": "ab", "spans": [{"start": 1, "end": 2, "label": "X"}, {"start": 0}]}
    found = problems(tmp_path, "{", TAGGED, bad, "7")
    assert [line[:3] for line in found] == [":1:", ":3:", ":3:", ":4:"]


def test_all_wrong_words_and_tags_of_a_record_are_told(tmp_path: Path) -> None:
    found = problems(tmp_path, {"tokens": ["", "b", 3], "tags": ["PER", "O", None, "LOC"]})
    assert [message.partition("; ")[0] for message in found] == [
        ":1: 4 tags for 3 tokens",
        ":1: tags: 'PER' is not a tag",
        ":1: tags: None is not a tag",
        ":1: tags: 'LOC' is not a tag",
        ":1: word 1 is empty",
        ":1: word 3 is 3",
    ]
    assert found[3].endswith("(word 4)")


def test_numbers_without_names_are_one_problem_a_record(tmp_path: Path) -> None:
    record = {"tokens": ["a", "b"], "tags": [1, 2]}
    assert len(problems(tmp_path, record, record)) == 2


def test_a_line_that_is_whole_but_wrong_is_not_said_to_be_cut_off(tmp_path: Path) -> None:
    for line in ("nothing", '{"tokens": [a]}', '{"tokens": ["a"], "tags": [NaN]}'):
        assert "cut off" not in problems(tmp_path, line)[0]


@pytest.mark.parametrize(
    "text", ['[{"tokens": ["a"], "tags": ["O"]}]', '\n[\n {"tokens": ["a"],\n  "tags": ["O"]}\n]\n']
)
def test_a_file_that_is_one_list_is_refused_once_with_the_remedy(tmp_path: Path, text: str) -> None:
    (found,) = problems(tmp_path, text)
    line = 1 + text.index("[")
    assert found == f":{line}: is a JSON list; write one object a line, as `jq -c '.[]'` does"


def test_entities_may_be_a_map_of_lists(tmp_path: Path) -> None:
    lists = {"start": [0, 4], "end": [3, 9], "label": ["PER", "LOC"]}
    found = read(tmp_path, {"text": "Ada Paris", "entities": lists})
    assert found.sentences[0].spans == (Span(0, 1, "PER"), Span(1, 2, "LOC"))
    uneven = {"text": "Ada Paris", "entities": {**lists, "end": [3]}}
    assert "the entities are {" in problems(tmp_path, uneven)[0]


def test_a_file_tells_of_documents_only_where_every_line_does(tmp_path: Path) -> None:
    told = {**TAGGED, "document": 1}
    assert read(tmp_path, told, told).documented
    assert not read(tmp_path, told, TAGGED).documented


def test_a_file_without_sentences_is_a_problem(tmp_path: Path) -> None:
    assert problems(tmp_path, "") == [": the file has no sentence; expected words with their tags"]
