"""What tests of sweeps share: a small file that loads, a bucket, a sweep that has run, one resumed.

The two sweeps are run once a session, for those who ask; each takes a minute.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sweeps.space.space import SearchSpace, load_space
from tests.stores import Bucket, s3_server
from tests.sweeps.run_left import SLOW_LEARNER, Resumed, Sweep
from tests.sweeps.run_made import command, interrupted, make_world, newest
from tests.tiny import tiny_model

Load = Callable[..., SearchSpace]

SENTENCE = "Ada B-PER\nsleeps O\n\n"
TEXT = """\
data:
  source: {source}
model:
  backbone: {backbone}
train:
  learning_rate: 1e-4
"""


@pytest.fixture(scope="session")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model("bert", tmp_path_factory.mktemp("backbones") / "bert")


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    folder = tmp_path / "corpus"
    folder.mkdir()
    for split in ("train", "valid", "test"):
        (folder / f"{split}.txt").write_text(SENTENCE)
    return folder


@pytest.fixture
def load(tmp_path: Path, bert: Path, corpus: Path) -> Load:
    """Load a file called s.yaml; what is not given is a folder that is there."""

    def do(*overrides: str, source: str = "", backbone: str = "", added: str = "") -> SearchSpace:
        path = tmp_path / "s.yaml"
        text = TEXT.format(source=source or corpus, backbone=backbone or bert)
        path.write_text(text + added, encoding="utf-8")
        return load_space(path, overrides)

    return do


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_world(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="session")
def full(world: Path) -> Sweep:
    done = command(world, "s.yaml")
    assert done.code == 0, done.err
    return Sweep(world, newest(world), done)


@pytest.fixture(scope="session")
def resumed(full: Sweep) -> Resumed:
    first = interrupted(
        full.world, "s.yaml", *SLOW_LEARNER, at=lambda line: line.startswith("t002 epoch 2")
    )
    assert first.code == 130, first.err
    run = newest(full.world)
    after_first = Sweep(full.world, run, first).statuses_now()
    arguments = ("s.yaml", *SLOW_LEARNER, "--resume")
    second = interrupted(full.world, *arguments, at=lambda line: line.startswith("bundling"))
    assert second.code == 130, "the interrupt was swallowed and the sweep went on"
    after_second = Sweep(full.world, run, second).statuses_now()
    lose_last_line(run / "ledger.jsonl", '"ended"')
    done = command(full.world, *arguments, "--quiet")
    assert done.code == 0, done.err
    return Resumed(full.world, run, done, first, second, (after_first, after_second))


def lose_last_line(path: Path, event: str) -> None:
    """Leave the ledger as a kill does that comes between an epoch and the trial's end."""
    *kept, last = path.read_text(encoding="utf-8").splitlines(keepends=True)
    assert event in last
    path.write_text("".join(kept), encoding="utf-8")


@pytest.fixture(scope="session")
def bucket(no_network: None) -> Iterator[Bucket]:
    """A bucket of an S3 server on this machine."""
    with s3_server() as served:
        yield served
