"""What would stop a sweep late is found before it starts, at the line of the key to change."""

from __future__ import annotations

import socket
import time
from pathlib import Path

import pytest

from sweeps import checks
from sweeps.checks import (
    check_gold,
    check_output,
    check_storage,
    check_tracking,
    check_windows,
    room_noted,
)
from sweeps.search.storage import storage_at
from sweeps.space.space import SearchSpace, load_space
from tests.stores import Bucket
from tests.tiny import tiny_model
from tokcls.data.corpus import Corpus, Sentence
from tokcls.errors import ConfigError
from tokcls.labels.spans import Span
from tokcls.model.backbones import Backbone

MINIMAL = """data: {{source: bundled}}
model: {{backbone: minilm-l3}}
train: {{learning_rate: 1e-3}}
{added}
"""


def space_of(folder: Path, added: str = "", *overrides: str) -> SearchSpace:
    path = folder / "s.yaml"
    path.write_text(MINIMAL.format(added=added), encoding="utf-8")
    return load_space(path, overrides)


@pytest.mark.parametrize("place", ["/proc/x", "/sys", "a_file", "a_file/below"])
def test_an_output_folder_that_cannot_be_made_is_refused_at_its_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a_file").write_text("no folder")
    space = space_of(tmp_path, f"output: {{folder: {place}}}")
    with pytest.raises(ConfigError, match=r"s.yaml:4: output.folder: .* cannot be written to \("):
        check_output(space)


def test_looking_at_the_output_folder_leaves_nothing(tmp_path: Path) -> None:
    check_output(space_of(tmp_path, f"output: {{folder: {tmp_path / 'new' / 'runs'}}}"))
    assert [path.name for path in tmp_path.iterdir()] == ["s.yaml"]


@pytest.mark.parametrize("place", ["/proc/x", "a_file/below"])
def test_a_storage_path_that_cannot_be_written_is_refused_at_its_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a_file").write_text("no folder")
    space = space_of(tmp_path, f"output: {{storage: {place}}}")
    with pytest.raises(ConfigError, match=r"s.yaml:4: output.storage: .* cannot be written to \("):
        check_storage(space)


def test_looking_at_a_storage_leaves_nothing(tmp_path: Path, bucket: Bucket) -> None:
    check_storage(space_of(tmp_path))
    check_storage(space_of(tmp_path, f"output: {{storage: {tmp_path / 'new'}}}"))
    assert [path.name for path in tmp_path.iterdir()] == ["s.yaml"]
    uri = bucket.part()
    check_storage(space_of(tmp_path, f"output: {{storage: '{uri}'}}"))
    assert storage_at(uri).files() == {}


def test_a_bucket_that_cannot_be_used_is_refused_at_its_line(
    tmp_path: Path, bucket: Bucket
) -> None:
    space = space_of(tmp_path, f"output: {{storage: 's3://no-such/x?{bucket.options}'}}")
    said = r"s.yaml:4: output.storage: s3://no-such/x cannot be used: .*NO_SUCH_BUCKET.*; check the"
    with pytest.raises(ConfigError, match=said):
        check_storage(space)


def test_a_store_that_does_not_answer_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checks, "STORES_WITHIN_S", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        uri = f"s3://sweeps/x?scheme=http&endpoint_override=127.0.0.1%3A{silent.getsockname()[1]}"
        space = space_of(tmp_path, f"output: {{storage: '{uri}&region=us-east-1'}}")
        began = time.monotonic()
        with pytest.raises(ConfigError, match="s3://sweeps/x cannot be used: no answer in 0 s"):
            check_storage(space)
        assert time.monotonic() - began < 3


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("ftp://host/x", r"must be a path, or begin with s3:// or gs://, got ftp://"),
        ("s3://key:secret@bucket/x", r"keys do not belong here.*AWS_ACCESS_KEY_ID"),
    ],
)
def test_a_storage_that_is_no_place_is_refused_when_the_file_is_read(
    tmp_path: Path, given: str, said: str
) -> None:
    with pytest.raises(ConfigError, match=rf"s.yaml:4: output.storage: .*{said}"):
        space_of(tmp_path, f"output: {{storage: '{given}'}}")


def test_a_tracking_server_that_is_not_there_is_refused_with_the_remedy(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        uri = f"http://127.0.0.1:{listener.getsockname()[1]}"
        space = space_of(tmp_path, f"tracking: {{uri: '{uri}'}}")
        check_tracking(space, uri)
    with pytest.raises(ConfigError, match=rf"s.yaml:4: tracking.uri: MLflow at {uri} cannot be "):
        check_tracking(space, uri)
    with pytest.raises(ConfigError, match=rf"MLflow at {uri} cannot be "):
        check_tracking(space, uri.replace("://", "://ada:secret@"))
    check_tracking(space, "sqlite:///mlflow.db")


def test_a_corpus_without_an_entity_is_refused(tmp_path: Path) -> None:
    some, none = Sentence(("Ada",), (Span(0, 1, "PER"),), 0), Sentence(("the",), (), 0)
    space = space_of(tmp_path)
    check_gold(space, Corpus((some,), (some, none), (), "c", {}))
    for split, corpus in (
        ("train", Corpus((none,), (some,), (), "c", {})),
        ("validation", Corpus((some,), (none,), (), "c", {})),
    ):
        said = f"s.yaml:1: data.source: the {split} split of c has 1 sentences and not one entity"
        with pytest.raises(ConfigError, match=said):
            check_gold(space, corpus)


def test_a_cut_that_leaves_validation_without_an_entity_is_not_blamed_on_columns(
    tmp_path: Path,
) -> None:
    some, none = Sentence(("Ada",), (Span(0, 1, "PER"),), 0), Sentence(("the",), (), 0)
    space = space_of(tmp_path, "", "data.validation=0.1")
    with pytest.raises(
        ConfigError, match=r"data.validation=0.1.*: take a share other than 0.1, or"
    ):
        check_gold(space, Corpus((some,), (none,), (), "c", {}))
    with pytest.raises(ConfigError, match=r"data.source: .*\(data.columns\)"):
        check_gold(space, Corpus((none,), (none,), (), "c", {}))


def test_windows_longer_than_the_backbone_reads_are_refused_at_their_line(tmp_path: Path) -> None:
    backbone = Backbone("tiny", tiny_model("bert", tmp_path / "bert"))
    check_windows(space_of(tmp_path), [backbone])
    space = space_of(tmp_path, "", "data.max_length=100000")
    with pytest.raises(ConfigError, match=r"data.max_length is 100000, but 'tiny' reads at"):
        check_windows(space, [backbone])


def test_a_stride_that_leaves_no_room_is_refused(tmp_path: Path) -> None:
    assert space_of(tmp_path, "", "data.max_length=32").data.stride == 32
    with pytest.raises(
        ConfigError, match=r"data.stride=40: must be at most half of max_length = 64"
    ):
        space_of(tmp_path, "", "data.max_length=64", "data.stride=40")


def test_a_wish_for_more_slots_than_there_is_room_for_is_noted(tmp_path: Path) -> None:
    space = space_of(tmp_path, "resources: {concurrent_trials: 99}")
    assert room_noted(space, 2) == ["resources.concurrent_trials is 99, but there is room for 2"]
    assert room_noted(space, 99) == room_noted(space_of(tmp_path), 2) == []


def test_a_sweep_without_a_name_is_called_after_its_file_whatever_that_is(tmp_path: Path) -> None:
    path = tmp_path / "my own space (2).yaml"
    path.write_text(MINIMAL.format(added=""))
    assert load_space(path).name == "my-own-space-2-"


def test_a_stand_in_is_not_read_by_the_rules_of_what_it_stands_in_for(tmp_path: Path) -> None:
    keys = ("data.format=jsonl", "data.validation=0.2", "data.max_length=64")
    stand_in = space_of(tmp_path, "", "data.source=org/x", *keys).with_source("bundled", ["NOTE"])
    assert (stand_in.data.source, stand_in.data.format) == ("bundled", "auto")
    assert (stand_in.data.validation, stand_in.data.max_length) == (None, 64)
