"""What would stop a sweep late is found before it starts, at the line of the key to change."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from sweeps.checks import check_gold, check_output, check_tracking, check_windows, room_noted
from sweeps.space.space import SearchSpace, load_space
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


def test_a_tracking_server_that_is_not_there_is_refused_with_the_remedy(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        uri = f"http://127.0.0.1:{listener.getsockname()[1]}"
        space = space_of(tmp_path, f"tracking: {{uri: '{uri}'}}")
        check_tracking(space, uri)
    with pytest.raises(ConfigError, match=rf"s.yaml:4: tracking.uri: MLflow at {uri} cannot be "):
        check_tracking(space, uri)
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
