"""On a cluster: the answers of one machine, in their order, and nothing is left running."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.sweeps.run_made import Done, command, ended, interrupted, processes_of, start
from tests.tiny import examples
from tokcls.errors import ClusterError
from tokcls.inference.many import chunks
from tokcls.loading import load_model
from tokcls.on_ray import on_ray

TEXTS = [" ".join(words) for words, _ in examples(200)]
LONG, SHORT = 300, 40  # texts and sentences
GONE_WITHIN_S = 10.0


@dataclass(frozen=True)
class World:
    """A bundle, a folder of two files, and what one machine answers to them."""

    folder: Path
    answers: list[dict[str, Any]]

    def arguments(self, output: str) -> tuple[str, ...]:
        return ("--model", "bundle", "--input", "texts", "--output", output)

    def run(self, output: str, *arguments: str) -> Done:
        return command(self.folder, *self.arguments(output), *arguments, module="tokcls.predict")

    def read(self, output: str) -> list[dict[str, Any]]:
        return read(self.folder / output)


def read(path: Path) -> list[dict[str, Any]]:
    """Read answers, with scores as far as they do not depend on what was predicted beside."""
    found = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    for answer in found:
        for one in answer["entities"]:
            one["score"] = round(one["score"], 4)
    return found


@pytest.fixture(scope="module")
def world(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> World:
    top = tmp_path_factory.mktemp("world")
    (top / "bundle").symlink_to(bundle)
    folder = top / "texts"
    folder.mkdir()
    lines = [f"{number} {' '.join(TEXTS[number % 7 : number % 7 + 30])}" for number in range(LONG)]
    (folder / "a.txt").write_text("".join(f"{line}\n\n" for line in lines), encoding="utf-8")
    words = ({"words": [str(at), *TEXTS[at].split()]} for at in range(SHORT))
    (folder / "b.jsonl").write_text("".join(json.dumps(each) + "\n" for each in words))
    assert len([*chunks(sorted(folder.iterdir()), 0)]) > 2, "there is an order to be kept"
    made = World(top, [])
    done = made.run("here.jsonl")
    assert done.code == 0, done.err
    return World(top, made.read("here.jsonl"))


@pytest.mark.alone
def test_a_cluster_answers_as_one_machine_does_and_is_gone_then(world: World) -> None:
    done = world.run("there.jsonl", "--ray")
    assert done.code == 0, done.err
    assert world.read("there.jsonl") == world.answers
    assert done.out == ""
    assert [line for line in done.err.splitlines() if not line.endswith(" bytes")] == [
        "loading bundle",
        f"bundle ({(world.folder / 'bundle').resolve()})",
        "starting Ray (7-15 s)",
        f"{LONG + SHORT} texts in there.jsonl",
    ]
    assert nothing_left(world)
    assert not [*world.folder.glob("there.jsonl.*")]


@pytest.mark.alone
def test_what_is_interrupted_leaves_no_process_and_goes_on_without_a_cluster(world: World) -> None:
    part = world.folder / "cut.jsonl.part"
    arguments = (*world.arguments("cut.jsonl"), "--ray")
    with ended(start(world.folder, *arguments, module="tokcls.predict")) as process:
        until = time.monotonic() + 120
        while not (part.exists() and part.stat().st_size):
            assert time.monotonic() < until
            assert process.poll() is None, process.communicate()
            time.sleep(0.01)
        os.killpg(process.pid, signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert err.splitlines()[-1] == "interrupted; the same command goes on from here"
    assert "Traceback" not in err + out
    assert nothing_left(world)
    before = len(read(part))
    assert 0 < before < LONG + SHORT
    done = world.run("cut.jsonl")
    assert done.code == 0, done.err
    assert world.read("cut.jsonl") == world.answers


@pytest.mark.alone
def test_an_interrupt_while_ray_starts_leaves_no_process(world: World) -> None:
    done = interrupted(
        world.folder,
        *world.arguments("never.jsonl"),
        "--ray",
        at=lambda line: line.startswith("starting Ray"),
        later=2.0,
        module="tokcls.predict",
    )
    assert done.code == 130, done.err
    assert "Traceback" not in done.err
    assert nothing_left(world)


@pytest.mark.alone
def test_what_is_wrong_with_the_input_is_said_at_its_line_and_what_was_before_it_stays(
    world: World, tmp_path: Path
) -> None:
    lines = [json.dumps({"text": text}) for text in (TEXTS * 11)[:2100]]
    (tmp_path / "in.jsonl").write_text("\n".join([*lines, '{"text": 1}']))
    files = ("--input", str(tmp_path / "in.jsonl"), "--output", str(tmp_path / "out.jsonl"))
    done = command(world.folder, "--model", "bundle", *files, "--ray", module="tokcls.predict")
    assert done.code == 2
    assert done.err.endswith("in.jsonl:2101: `text` must be a string\n")
    assert "Traceback" not in done.err
    assert len(read(tmp_path / "out.jsonl.part")) == 2048  # a chunk
    assert nothing_left(world)


@pytest.mark.alone
def test_what_keeps_an_actor_from_its_model_is_said_in_one_line(
    world: World, tmp_path: Path
) -> None:
    shutil.copytree(world.folder / "bundle", tmp_path / "bundle")
    (tmp_path / "in.txt").write_text(TEXTS[0])
    files = ("--input", "in.txt", "--output", "out.jsonl", "--ray")
    arguments = ("--model", "bundle", *files)
    with ended(start(tmp_path, *arguments, module="tokcls.predict")) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith("starting Ray"):
                break
        shutil.rmtree(tmp_path / "bundle")
        _, err = process.communicate(timeout=100)
    assert process.returncode == 2
    said = [line for line in err.splitlines() if "(raylet)" not in line]
    assert len(said) == 1, err
    assert said[0].startswith("error: Ray gave up: tokcls.errors.BundleError: ")
    assert said[0].endswith("the same command goes on from the answers so far")


def nothing_left(world: World) -> bool:
    until = time.monotonic() + GONE_WITHIN_S
    while processes_of(world.folder) and time.monotonic() < until:
        time.sleep(0.1)
    return not processes_of(world.folder)


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("127.0.0.1:1", "Connection refused; check the address, or leave --address and RAY_ADD"),
        ("ray://somewhere:10001", "it must be HOST:PORT or `auto`, of a cluster that this machine"),
        ("http://127.0.0.1:8265", "it must be HOST:PORT or `auto`"),
    ],
)
def test_a_cluster_that_cannot_be_joined_is_refused_at_once(
    bundle: Path, address: str, said: str
) -> None:
    model = load_model(str(bundle))
    heard: list[str] = []
    with (
        pytest.raises(ClusterError, match=f"cannot use Ray at {address}") as refused,
        on_ray(model, address, heard.append),
    ):
        pytest.fail("it was joined")
    assert said in str(refused.value)
    assert heard == [f"joining Ray at {address}"]


def test_without_ray_the_line_that_installs_it_is_given() -> None:
    code = (
        "import sys; sys.modules['ray'] = None\n"
        "from tokcls.on_ray import on_ray\n"
        "try: on_ray(None, None, print).__enter__()\n"
        "except Exception as error: print(type(error).__name__, error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "ClusterError --ray needs Ray: pip install 'ray[data]==2.60.*'\n"


@pytest.mark.parametrize("options", [("--ray", "x"), ("--address", "auto", "x")])
def test_a_cluster_is_for_files(tmp_path: Path, options: tuple[str, ...]) -> None:
    done = command(tmp_path, *options, module="tokcls.predict")
    assert done.code == 2
    assert "--input" in done.err
