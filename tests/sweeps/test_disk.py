"""What a sweep needs on disk, known before it starts; figures against real files."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from safetensors.numpy import save_file

from sweeps.disk import already_held, check_disk, disk_needed, free_disk, parameters_of
from sweeps.search.storage import storage_at
from sweeps.space.sizes import bytes_of, shown_bytes
from sweeps.space.space import SearchSpace
from tests.sweeps.search.made_trials import make_space
from tokcls.errors import ConfigError
from tokcls.model.backbones import Backbone

MILLION = 10**6


def backbone(folder: Path, parameters: int = 12) -> Backbone:
    folder.mkdir()
    shapes = {"a": (parameters // 4, 3), "b": (parameters // 4,)}
    tensors = {name: np.zeros(shape, np.float16) for name, shape in shapes.items()}
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    return Backbone("b", folder)


def test_parameters_are_counted_whatever_their_type(tmp_path: Path) -> None:
    assert parameters_of(backbone(tmp_path / "b", 4000)) == 4000


@pytest.mark.parametrize("content", [b"", b"abc", b"\xff" * 100, b"\x02" + b"\0" * 7 + b"[]"])
def test_weights_that_cannot_be_read_count_by_their_size(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "model.safetensors").write_bytes(content)
    assert parameters_of(Backbone("b", tmp_path)) == len(content) // 4


def test_the_need_grows_with_slots_and_with_what_is_kept() -> None:
    one = disk_needed(100 * MILLION, 1, 1)
    assert disk_needed(100 * MILLION, 2, 1) - one == 28 * 100 * MILLION
    assert disk_needed(100 * MILLION, 1, 4) - one == 3 * 4 * 100 * MILLION
    assert disk_needed(0, 8, 3) == 0


def test_free_disk_is_that_of_the_next_folder_that_is_there(tmp_path: Path) -> None:
    free = free_disk(tmp_path / "not" / "yet")
    assert free == pytest.approx(shutil.disk_usage(tmp_path).free, rel=0.2)


def problem(space: SearchSpace, *backbones: Backbone, slots: int = 2) -> str:
    with pytest.raises(ConfigError) as caught:
        check_disk(space, backbones, slots)
    (found,) = caught.value.problems
    return f"{found.path or found.file}: {found.message}"


@pytest.fixture
def a_full_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    usage = SimpleNamespace(free=5 * MILLION)
    monkeypatch.setattr("sweeps.disk.shutil.disk_usage", lambda _: usage)


@pytest.mark.usefixtures("a_full_disk")
def test_a_disk_that_is_too_full_is_named_with_both_sizes(tmp_path: Path) -> None:
    space = make_space(tmp_path, text=TEXT.format(output="{folder: out}"))
    said = problem(space, backbone(tmp_path / "b", 100_000))
    assert said.startswith(
        "output.folder: trials at once (2) and kept (3) need 8.8 MB, but 5 MB are"
    )
    check_disk(space, [backbone(tmp_path / "small", 1000)], 2)


@pytest.mark.usefixtures("a_full_disk")
def test_what_a_resumed_run_holds_already_is_not_asked_for_again(tmp_path: Path) -> None:
    space = make_space(tmp_path, text=TEXT.format(output="{folder: out}"))
    run = tmp_path / "out" / "run"
    sizes = {"trials/t001/last.ckpt": 3 * MILLION, "bundle/model.onnx": MILLION, "ray.log": MILLION}
    for name, size in sizes.items():
        (run / name).parent.mkdir(parents=True, exist_ok=True)
        (run / name).write_bytes(bytes(size))
    assert already_held(storage_at(run)) == 4 * MILLION
    assert already_held(storage_at(tmp_path / "none")) == already_held(storage_at("s3://b/x")) == 0
    large = [backbone(tmp_path / "b", 100_000)]
    check_disk(space, large, 2, held=4 * MILLION)
    with pytest.raises(ConfigError, match=r"need 5\.8 MB more, but 5 MB are free there"):
        check_disk(space, large, 2, held=3 * MILLION)


@pytest.mark.usefixtures("a_full_disk")
def test_the_disk_that_counts_is_the_one_that_trials_are_kept_on(tmp_path: Path) -> None:
    space = make_space(tmp_path, text=TEXT.format(output=f"{{storage: {tmp_path / 'there'}}}"))
    assert problem(space, backbone(tmp_path / "b", 100_000)).startswith("output.storage: trials at")
    space = make_space(tmp_path, text=TEXT.format(output="{storage: 's3://bucket/x'}"))
    check_disk(space, [Backbone("b", tmp_path / "b")], 2)


@pytest.mark.usefixtures("a_full_disk")
def test_a_budget_below_the_free_disk_is_enough(tmp_path: Path) -> None:
    space = make_space(tmp_path, text=TEXT.format(output="{disk_budget: 4 MB, keep_top: 90}"))
    check_disk(space, [backbone(tmp_path / "b", 40_000)], 2)


def test_a_budget_that_no_trial_fits_in_is_refused(tmp_path: Path) -> None:
    space = make_space(tmp_path, text=TEXT.format(output="{disk_budget: 2 MB}"))
    said = problem(space, backbone(tmp_path / "b", 100_000))
    assert said.startswith(
        "output.disk_budget: trials at once (2) need 6.4 MB, got 2 MB; allow more"
    )


TEXT = """\
data: {{source: bundled}}
model: {{backbone: minilm-l6}}
train: {{learning_rate: 1e-4}}
output: {output}
"""


@pytest.mark.parametrize(
    ("text", "count"), [("500 MB", 500 * MILLION), ("1.5GB", 1500 * MILLION), ("2 TB", 2 * 10**12)]
)
def test_sizes_are_read_as_people_write_them(tmp_path: Path, text: str, count: int) -> None:
    assert bytes_of(text) == count
    assert bytes_of(shown_bytes(count)) == count
    space = make_space(tmp_path, text=TEXT.format(output=f"{{disk_budget: {text}}}"))
    assert space.sweep.output.disk_budget == text


@pytest.mark.parametrize("text", ["20", "20 gb", "GB", "-1 GB", "1e3 GB", "20 GB "])
def test_a_size_that_is_none_says_how_to_write_one(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError, match="must be a size such as `20 GB` or null, got"):
        make_space(tmp_path, f"output.disk_budget='{text}'")
