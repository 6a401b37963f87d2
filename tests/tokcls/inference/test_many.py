"""Files of texts: every format in, every format out, in order, and on from where it was cut off."""

from __future__ import annotations

import json
import resource
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from copy import copy
from pathlib import Path
from typing import Any

import pyarrow
import pytest
from pyarrow import parquet

from tests.tiny import examples
from tokcls.errors import InputError
from tokcls.inference import many
from tokcls.inference.many import predict_files
from tokcls.inference.predictor import Predictor

LINES = [" ".join(words) for words, _ in examples(60)]


def write(folder: Path, kind: str, lines: list[str] = LINES) -> Path:
    path = folder / f"in.{kind}"
    if kind == "txt":
        path.write_text("\ufeff" + "\n\n".join(lines) + "\r\n", encoding="utf-8")
    elif kind == "jsonl":
        path.write_text("".join(json.dumps({"text": each, "id": 1}) + "\n" for each in lines))
    elif kind == "conll":
        blocks = ("".join(f"{w}\tX\tO\n" for w in each.split()) for each in lines)
        path.write_text("-DOCSTART- O\n\n# id 1\n" + "\n".join(blocks), encoding="utf-8")
    else:
        rows = [{"tokens": each.split()} for each in lines]
        parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    return path


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def expected(predictor: Predictor, kind: str) -> list[list[dict[str, Any]]]:
    if kind in ("txt", "jsonl"):
        found = predictor.predict_texts(LINES)
    else:
        found = predictor.predict_words([line.split() for line in LINES])
    return [[one.as_dict() for one in each] for each in found]


def bare(entities: list[dict[str, Any]]) -> list[tuple[str, int, int]]:
    return [(one["entity_group"], one["start"], one["end"]) for one in entities]


@pytest.mark.parametrize("kind", ["txt", "jsonl", "conll", "parquet"])
def test_every_format_is_read_in_order(predictor: Predictor, tmp_path: Path, kind: str) -> None:
    count = predict_files(predictor, write(tmp_path, kind), tmp_path / "out.jsonl")
    answers = read(tmp_path / "out.jsonl")
    assert count == len(answers) == len(LINES)
    for answer, line, wanted in zip(answers, LINES, expected(predictor, kind), strict=True):
        assert answer.get("text", " ".join(answer.get("words", ()))) == line
        assert bare(answer["entities"]) == bare(wanted)
    numbers = [int(answer["source"].split(":")[1]) for answer in answers]
    assert numbers == sorted(set(numbers))
    assert {path.name for path in tmp_path.iterdir()} == {f"in.{kind}", "out.jsonl"}


def test_every_format_is_written(predictor: Predictor, tmp_path: Path) -> None:
    source = write(tmp_path, "txt")
    for kind in ("jsonl", "conll", "parquet"):
        predict_files(predictor, source, tmp_path / f"out.{kind}")
    answers = read(tmp_path / "out.jsonl")
    assert parquet.read_table(tmp_path / "out.parquet").to_pylist() == [
        {"words": None} | answer for answer in answers
    ]
    blocks = (tmp_path / "out.conll").read_text(encoding="utf-8").strip("\n").split("\n\n")
    assert len(blocks) == len(answers)
    for block, answer in zip(blocks, answers, strict=True):
        rows = [line.split("\t") for line in block.splitlines()]
        assert [word for word, _ in rows] == answer["text"].split()
        tags = [tag for _, tag in rows]
        assert [tag[2:] for tag in tags if tag.startswith("B-")] == [
            one["entity_group"] for one in answer["entities"]
        ]
        assert sum(tag != "O" for tag in tags) == sum(
            len(one["word"].split()) for one in answer["entities"]
        )


def test_a_folder_is_read_file_by_file(predictor: Predictor, tmp_path: Path) -> None:
    folder = tmp_path / "texts"
    folder.mkdir()
    for kind in ("txt", "conll"):
        write(folder, kind, LINES[:3])
    told: list[tuple[int, int]] = []
    predict_files(predictor, folder, tmp_path / "out.jsonl", told=lambda *each: told.append(each))
    sources = [answer["source"].split(":")[0] for answer in read(tmp_path / "out.jsonl")]
    assert sources == ["in.conll"] * 3 + ["in.txt"] * 3
    assert told[-1][0] == told[-1][1] == sum(path.stat().st_size for path in folder.iterdir())


def test_hidden_files_of_a_folder_are_not_read(predictor: Predictor, tmp_path: Path) -> None:
    folder = tmp_path / "texts"
    folder.mkdir()
    for name in (".DS_Store", "._in.txt", ".hidden.txt"):
        (folder / name).write_bytes(b"\x00\xff")
    with pytest.raises(InputError, match="no folder with files"):
        predict_files(predictor, folder, tmp_path / "out.jsonl")
    write(folder, "txt", LINES[:3])
    assert predict_files(predictor, folder, tmp_path / "out.jsonl") == 3


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """Let no file of this process grow beyond so many bytes, as on a disk that is full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("kind", ["jsonl", "conll", "parquet"])
def test_a_disk_that_is_full_keeps_the_answers_so_far(
    predictor: Predictor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr(many, "RECORDS", 7)
    source, output = write(tmp_path, "txt"), tmp_path / f"out.{kind}"
    said = r"out\.\w+: answers cannot be written there \(File too large\); make room"
    with files_of_at_most(8_000), pytest.raises(InputError, match=said):
        predict_files(predictor, source, output)
    asked: list[int] = []
    predict_files(predictor, source, output, told=lambda done, total: asked.append(done))
    assert 0 < len(asked) < len(LINES) / 7
    predict_files(predictor, source, tmp_path / f"whole.{kind}")
    assert places(output) == places(tmp_path / f"whole.{kind}")


def places(path: Path) -> list[Any]:
    """Give what an output says but for scores, which depend on what was in a batch."""
    if path.suffix == ".conll":
        return path.read_text(encoding="utf-8").splitlines()
    rows = parquet.read_table(path).to_pylist() if path.suffix == ".parquet" else read(path)
    return [(row["source"], bare(row["entities"])) for row in rows]


def test_a_result_that_does_not_fit_the_disk_is_made_of_the_answers_later(
    predictor: Predictor, tmp_path: Path
) -> None:
    source, output = write(tmp_path, "txt", LINES[:1]), tmp_path / "out.conll"
    (tmp_path / "out.conll.part.made").symlink_to("/dev/full")
    with pytest.raises(InputError, match=r"No space left on device.*make room or mend it"):
        predict_files(predictor, source, output)
    (tmp_path / "out.conll.part.made").unlink()
    asked: list[int] = []
    assert predict_files(predictor, source, output, told=lambda *each: asked.append(1)) == 1
    assert asked == []


def test_what_was_cut_off_goes_on_and_is_the_same(
    predictor: Predictor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(many, "RECORDS", 7)
    source, whole, cut = write(tmp_path, "txt"), tmp_path / "whole.jsonl", tmp_path / "cut.jsonl"
    predict_files(predictor, source, whole)
    asked: list[int] = []

    def stop(done: int, total: int) -> None:
        asked.append(done)
        if len(asked) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        predict_files(predictor, source, cut, told=stop)
    part = tmp_path / "cut.jsonl.part"
    with part.open("ab") as stream:
        stream.write(b'{"source": "in.txt:99", "te')  # a kill while a line is written
    assert not cut.exists()
    assert predict_files(predictor, source, cut, told=stop) == len(LINES)
    assert len(asked) == 3 + 6  # 39 of 60 texts were left, seven at once
    places = [[(one["source"], bare(one["entities"])) for one in read(p)] for p in (whole, cut)]
    assert places[0] == places[1]
    assert not part.exists()


def test_an_input_that_failed_before_any_answer_may_be_mended(
    predictor: Predictor, tmp_path: Path
) -> None:
    source, output = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_text("{nonsense\n")
    with pytest.raises(InputError):
        predict_files(predictor, source, output)
    assert [*tmp_path.iterdir()] == [source], "nothing is left of what answered nothing"
    source.write_text('{"text": "Anna"}\n')
    assert predict_files(predictor, source, output) == 1


def test_answers_to_something_else_are_not_mixed_in(predictor: Predictor, tmp_path: Path) -> None:
    source, output = write(tmp_path, "txt"), tmp_path / "out.jsonl"

    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        predict_files(predictor, source, output, told=stop)
    faster = copy(predictor)
    faster.engine = "int8"
    with pytest.raises(InputError, match=r"answers of another model or to other files; remove"):
        predict_files(faster, source, output)
    source.write_text("another text\n")
    with pytest.raises(InputError, match=r"answers of another model or to other files; remove"):
        predict_files(predictor, source, output)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("in.txt", b"a\n\xff\n", r"in\.txt:2: not UTF-8"),
        ("in.jsonl", b'{"text": "a"}\n{"text": 1}\n', r"in\.jsonl:2: `text` must be a string"),
        ("in.jsonl", b'{"text": "a"}\n["a"]\n', r"in\.jsonl:2: not a JSON object"),
        ("in.jsonl", b'{"words": "a"}\n', r"in\.jsonl:1: there must be a `text`, or a list"),
        ("in.jsonl", b'{"text": "\\ud800"}\n', r"in\.jsonl:1: character 0 is half a surrogate"),
        ("in.parquet", b"no parquet", r"in\.parquet: not a Parquet file"),
        ("in.pdf", b"", r"in\.pdf: a file must end in one of \.txt"),
        ("in.conll", b"a O\n\tO\n", r"in\.conll:2: the first column has no word"),
        ("in.jsonl", b'{"words": ["a", "\\ud800"]}\n', r"in\.jsonl:1: words\[1\]: character 0"),
    ],
)
def test_what_cannot_be_read_is_refused_at_its_line(
    predictor: Predictor, tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=message):
        predict_files(predictor, tmp_path / name, tmp_path / "out.jsonl")
    assert not (tmp_path / "out.jsonl").exists()


def test_a_word_that_begins_with_a_hash_is_a_word(predictor: Predictor, tmp_path: Path) -> None:
    (tmp_path / "in.conll").write_text("# id 1\n#Romney O\nwins O\n\n#1\tO\nhit\tO\n")
    predict_files(predictor, tmp_path / "in.conll", tmp_path / "out.jsonl")
    words = [answer["words"] for answer in read(tmp_path / "out.jsonl")]
    assert words == [["#Romney", "wins"], ["#1", "hit"]]


def test_what_was_written_as_parquet_can_be_read_again(
    predictor: Predictor, tmp_path: Path
) -> None:
    (tmp_path / "in.jsonl").write_text('{"words": ["Oslo"]}\n{"text": "Anna flew to Oslo ."}\n')
    predict_files(predictor, tmp_path / "in.jsonl", tmp_path / "once.parquet")
    assert predict_files(predictor, tmp_path / "once.parquet", tmp_path / "twice.parquet") == 2
    once, twice = (
        parquet.read_table(tmp_path / f"{name}.parquet", columns=["text", "words"])
        for name in ("once", "twice")
    )
    assert once == twice


@pytest.mark.parametrize("left", ["", ".part", ".part.json"])
def test_a_kill_while_it_begins_leaves_nothing_that_stands_in_the_way(
    predictor: Predictor, tmp_path: Path, left: str
) -> None:
    if left:
        (tmp_path / f"out.jsonl{left}").write_text("")
    assert predict_files(predictor, write(tmp_path, "txt"), tmp_path / "out.jsonl") == len(LINES)
    assert {path.name for path in tmp_path.iterdir()} == {"in.txt", "out.jsonl"}


def test_an_output_among_the_files_to_be_read_is_refused(
    predictor: Predictor, tmp_path: Path
) -> None:
    write(tmp_path, "txt")
    with pytest.raises(InputError, match="would be among the files to be read"):
        predict_files(predictor, tmp_path, tmp_path / "out.jsonl")


@pytest.mark.parametrize("word", ["a b", "x\ny", ""])
def test_words_that_conll_cannot_hold_are_refused(
    predictor: Predictor, tmp_path: Path, word: str
) -> None:
    (tmp_path / "in.jsonl").write_text(json.dumps({"words": ["a", word]}))
    with pytest.raises(InputError, match=r"in\.jsonl:1: the word .* name an output that ends in"):
        predict_files(predictor, tmp_path / "in.jsonl", tmp_path / "out.conll")
    assert not (tmp_path / "out.conll").exists()


@pytest.mark.parametrize(
    ("output", "message"),
    [
        ("in.txt", "must end in one of .jsonl"),
        ("there.jsonl", "is there already"),
        ("nowhere/out.jsonl", "there is no folder"),
        ("in.txt/out.jsonl", "there is no folder"),
        ("x" * 252 + ".jsonl", "File name too long.*or name another output"),
        ("x" * 246 + ".jsonl", "File name too long.*or name another output"),
    ],
)
def test_an_output_that_cannot_be_is_refused(
    predictor: Predictor, tmp_path: Path, output: str, message: str
) -> None:
    source = write(tmp_path, "txt")
    (tmp_path / "there.jsonl").write_text("")
    with pytest.raises(InputError, match=message):
        predict_files(predictor, source, tmp_path / output)
    with pytest.raises(InputError, match="no such file"):
        predict_files(predictor, tmp_path / "nothing", tmp_path / "new.jsonl")


@pytest.mark.slow
def test_memory_does_not_grow_with_the_file(
    predictor: Predictor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(many, "RECORDS", 50)
    peaks = []
    for copies in (2, 20):
        source = write(tmp_path, "txt", LINES * copies)
        tracemalloc.start()
        predict_files(predictor, source, tmp_path / f"out-{copies}.jsonl")
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.3 * peaks[0]
