"""The command line prints what the server would answer."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tokcls.inference.many import RECORDS

TEXT = "Anna flew from Lisbon to Oslo on Monday ."


def run(
    *arguments: str, stdin: bytes = b"", folder: Path | None = None
) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "tokcls.predict", *arguments]
    return subprocess.run(command, input=stdin, capture_output=True, cwd=folder, timeout=60)


def test_a_line_per_entity_says_type_score_place_and_word(bundle: Path) -> None:
    done = run("--model", str(bundle), TEXT, "", "Ingrid met Tomas .")
    assert done.returncode == 0
    rows = [line.split() for line in done.stdout.decode().splitlines()]
    assert [(row[0], row[1], row[3], row[4]) for row in rows] == [
        ("1", "PER", "0-4", "Anna"),
        ("1", "LOC", "15-21", "Lisbon"),
        ("1", "LOC", "25-29", "Oslo"),
        ("3", "PER", "0-6", "Ingrid"),
        ("3", "PER", "11-16", "Tomas"),
    ]
    assert done.stderr.decode().startswith(f"loading {bundle}")


def test_json_gives_one_list_per_line_of_stdin(bundle: Path) -> None:
    done = run("--model", str(bundle), "--json", "-", stdin=f"{TEXT}\r\n\nOslo".encode())
    assert done.returncode == 0
    lists = [json.loads(line) for line in done.stdout.splitlines()]
    assert [len(each) for each in lists][:2] == [3, 0]
    assert len(lists) == 3
    assert all(TEXT[one["start"] : one["end"]] == one["word"] for one in lists[0])


@pytest.mark.parametrize(
    ("arguments", "stdin", "code", "message"),
    [
        (("--model", "nowhere", "x"), b"", 2, "'nowhere' is not a bundle"),
        (("x",), b"", 1, "no MLflow database"),
        (("--model", "{bundle}", "-"), b"ok\n\xff\n", 2, "stdin, line 2: not UTF-8"),
        (("--unknown",), b"", 2, "No such option"),
    ],
)
def test_wrong_input_is_said_with_its_exit_code(
    bundle: Path, tmp_path: Path, arguments: tuple[str, ...], stdin: bytes, code: int, message: str
) -> None:
    filled = [each.replace("{bundle}", str(bundle)) for each in arguments]
    done = run(*filled, stdin=stdin, folder=tmp_path)
    assert done.returncode == code
    assert message in done.stderr.decode()
    assert b"Traceback" not in done.stderr
    assert not list(tmp_path.iterdir())


def test_predicting_loads_neither_torch_nor_ray_nor_mlflow(bundle: Path) -> None:
    code = (
        "import sys\nfrom tokcls.inference.predictor import Predictor\n"
        f"Predictor.from_bundle({str(bundle)!r}).predict_texts(['a'])\n"
        "heavy = {'torch', 'transformers', 'ray', 'mlflow', 'sentence_transformers'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_file_is_predicted_into_a_file(bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "in.txt").write_text(f"{TEXT}\n\nIngrid met Tomas .\n", encoding="utf-8")
    files = ("--input", "in.txt", "--output", "out.jsonl")
    done = run("--model", str(bundle), *files, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout == b""
    assert done.stderr.decode().endswith("2 texts in out.jsonl\n")
    answers = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [answer["source"] for answer in answers] == ["in.txt:1", "in.txt:3"]
    assert [one["word"] for one in answers[1]["entities"]] == ["Ingrid", "Tomas"]
    again = run("--model", str(bundle), *files, folder=tmp_path)
    assert again.returncode == 2
    assert b"out.jsonl is there already; remove it" in again.stderr


def test_an_output_that_cannot_be_written_is_said_without_a_traceback(
    bundle: Path, tmp_path: Path
) -> None:
    (tmp_path / "in.txt").write_text(TEXT, encoding="utf-8")
    (tmp_path / "out.jsonl.part").symlink_to("/dev/full")
    files = ("--input", "in.txt", "--output", "out.jsonl")
    done = run("--model", str(bundle), *files, folder=tmp_path)
    assert done.returncode == 2
    assert done.stderr.decode().splitlines()[-1] == (
        "error: out.jsonl: answers cannot be written there (No space left on device); make room "
        "or mend it, and the same command goes on from the answers so far, or name another output"
    )
    (tmp_path / "out.jsonl.part").unlink()
    assert run("--model", str(bundle), *files, folder=tmp_path).returncode == 0


@pytest.mark.parametrize(
    "arguments",
    [("--input", "a.txt"), ("--output", "b.jsonl"), ("--input", "a", "--output", "b.jsonl", "x")],
)
def test_options_that_do_not_go_together_are_refused(arguments: tuple[str, ...]) -> None:
    done = run(*arguments)
    assert done.returncode == 2
    assert b"--input" in done.stderr


def test_a_folder_of_transformers_is_a_model_too(bundle: Path, tmp_path: Path) -> None:
    folder = tmp_path / "tagger"
    shutil.copytree(bundle, folder)
    (folder / "tokcls.json").unlink()
    done = run("--model", str(folder), TEXT)
    assert done.returncode == 0, done.stderr
    assert [line.split()[-1] for line in done.stdout.decode().splitlines()] == [
        "Anna",
        "Lisbon",
        "Oslo",
    ]


def test_answers_of_two_taggers_are_not_mixed(bundle: Path, tmp_path: Path) -> None:
    # One chunk is answered before the line that is refused is read.
    lines = '{"text": "Oslo"}\n' * (RECORDS + 1) + '{"text": 1}\n'
    (tmp_path / "in.jsonl").write_text(lines, encoding="utf-8")
    said = []
    for name in ("one", "other"):
        shutil.copytree(bundle, tmp_path / name)
        (tmp_path / name / "tokcls.json").unlink()
        files = ("--input", "in.jsonl", "--output", "out.jsonl")
        said.append(run("--model", f"./{name}", *files, folder=tmp_path).stderr)
    assert f"in.jsonl:{RECORDS + 2}: `text` must be a string".encode() in said[0]
    assert b"has answers of another model" in said[1]


def test_without_a_champion_the_default_is_tried_and_both_are_said(tmp_path: Path) -> None:
    done = run(TEXT, folder=tmp_path)
    assert done.returncode == 1
    said = done.stderr.decode()
    assert "no MLflow database" in said
    assert "taking dslim/bert-base-NER of the Hub instead" in said
    assert "cannot be reached" in said


def test_without_mlflow_the_default_is_tried_too(tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").touch()
    code = (
        f"import sys; sys.modules['mlflow'] = None\nfrom tokcls.predict import app\napp([{TEXT!r}])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True)
    assert done.returncode == 1
    said = done.stderr.decode()
    assert "registered models need MLflow: pip install" in said
    assert "taking dslim/bert-base-NER of the Hub instead" in said
