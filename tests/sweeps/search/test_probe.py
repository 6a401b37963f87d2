"""Two real batches of a real (tiny) network: what is measured, and how failures are told."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from sweeps.estimate import Measured
from sweeps.search.probe import attempt, measure, refused
from sweeps.search.probing import Refused, Share
from tests.sweeps.run_made import make_world
from tokcls.config import DataConfig, LabelsConfig, ModelConfig, TrainConfig, TrialConfig
from tokcls.data.corpus import Corpus, Sentence
from tokcls.data.prepared import Prepared, prepare
from tokcls.data.source import load_corpus
from tokcls.errors import BackboneError
from tokcls.labels.spans import Span
from tokcls.model.backbones import Backbone
from tokcls.model.loader import load_tokenizer, tokenizing_of

ROOM = 300 * 2**20
SHARE = Share(cpus=1, workers=1)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_world(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="module")
def backbone(world: Path) -> Backbone:
    return Backbone("bert", world / "bert")


@pytest.fixture(scope="module")
def data(world: Path, backbone: Backbone) -> Prepared:
    corpus = load_corpus(DataConfig(source=str(world / "corpus")), seed=13)
    tokenizing = tokenizing_of(backbone, load_tokenizer(backbone), None)
    return prepare(corpus, tokenizing, stride=8)


@pytest.fixture(autouse=True)
def threads() -> Iterator[None]:
    """A probe takes its share of threads; the test process gets its own back."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def configured(tokens: int = 128) -> TrialConfig:
    return TrialConfig(
        data=DataConfig(source="corpus"),
        labels=LabelsConfig(),
        model=ModelConfig(backbone="./bert"),
        train=TrainConfig(learning_rate=1e-3, tokens_per_batch=tokens, precision="fp32"),
    )


def test_two_batches_tell_the_time_of_an_epoch(backbone: Backbone, data: Prepared) -> None:
    found = measure(configured(), backbone, data, SHARE)
    batches = sum(data.splits["train"].windows.lengths()) / 128
    assert found.training_seconds > 0.8 * batches * found.typical_seconds
    assert 0 < found.validation_seconds < found.training_seconds
    words = sum(data.splits["train"].lengths)
    assert found.words_per_second == pytest.approx(words / found.training_seconds)
    assert found.parameters > 10_000
    assert found.capacity > 2**30


def test_two_workers_share_an_epoch(backbone: Backbone, data: Prepared) -> None:
    whole = measure(configured(), backbone, data, SHARE)
    half = measure(configured(), backbone, data, Share(cpus=1, workers=2))
    shares = [each.training_seconds / each.typical_seconds for each in (whole, half)]
    assert shares[1] == pytest.approx(shares[0] / 2, rel=0.3)


def test_a_torn_backbone_is_refused_with_the_reason(tmp_path: Path, data: Prepared) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    (tmp_path / "model.safetensors").write_bytes(b"torn")
    answer = attempt(configured(), Backbone("torn", tmp_path), data, SHARE)
    assert isinstance(answer, Refused)
    assert answer.key == "model.backbone"
    assert "cannot be used for token classification" in answer.reason


def test_a_batch_that_does_not_fit_into_memory_is_refused(
    backbone: Backbone, data: Prepared
) -> None:
    """A batch of a million sub-words, in a process that may have little more memory than it has."""
    long = Sentence(("Oslo",) * 150_000, (Span(0, 1, "LOC"),), 0)
    corpus = Corpus((long,), (long,), (), "long", {})
    data = prepare(corpus, data.tokenizing, stride=8)
    before = resource.getrlimit(resource.RLIMIT_AS)
    answer: Measured | Refused
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + ROOM, before[1]))
    try:
        answer = attempt(configured(10**6), backbone, data, SHARE)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)
    assert answer == Refused("a batch does not fit into memory", "train.tokens_per_batch")


def test_failures_name_the_key_to_change() -> None:
    assert refused(MemoryError()).key == "train.tokens_per_batch"
    assert refused(torch.OutOfMemoryError("CUDA out of memory")).key == "train.tokens_per_batch"
    assert refused(BackboneError("no weights")) == Refused("no weights")
    strange = refused(IndexError("index out of range in self\nmore"))
    assert strange == Refused("cannot be trained: IndexError: index out of range in self")
