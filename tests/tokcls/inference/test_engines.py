"""A bundle answers with the engine that is named, if it has it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.tiny import examples
from tests.tokcls.inference.made import resealed
from tokcls.data.batches import Padded
from tokcls.errors import BundleError
from tokcls.inference.bundle import read_manifest, seal
from tokcls.inference.engines import FILES, Onnx, open_engine
from tokcls.inference.follow import load
from tokcls.inference.parity import KEY, check_parity, record
from tokcls.inference.predictor import Predictor
from tokcls.inference.sources import Located
from tokcls.loading import load_model

SENTENCES = [words for words, _ in examples()][:60]


@pytest.fixture(scope="module")
def both(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundle with an engine of 8 bit in it."""
    from tokcls.model.export import quantize

    folder = tmp_path_factory.mktemp("int8") / "bundle"
    shutil.copytree(bundle, folder)
    quantize(folder / FILES["fp32"], folder / FILES["int8"])
    seal(folder, read_manifest(bundle))
    return folder


def test_torch_finds_what_onnx_runtime_finds(bundle: Path) -> None:
    ours, torch = (Predictor.from_bundle(bundle, engine=name) for name in ("fp32", "torch"))
    assert torch.engine == "torch"
    found = torch.predict_words(SENTENCES)
    assert any(found)
    places = [[(e.start, e.end, e.entity_group) for e in each] for each in found]
    assert places == [
        [(e.start, e.end, e.entity_group) for e in each] for each in ours.predict_words(SENTENCES)
    ]


def test_eight_bits_find_nearly_all_of_it_in_a_smaller_file(bundle: Path, both: Path) -> None:
    assert (both / FILES["int8"]).stat().st_size < (both / FILES["fp32"]).stat().st_size
    ours, quick = (Predictor.from_bundle(both, engine=name) for name in ("fp32", "int8"))
    one, other = (
        {(n, e.start, e.end, e.entity_group) for n, each in enumerate(found) for e in each}
        for found in (ours.predict_words(SENTENCES), quick.predict_words(SENTENCES))
    )
    assert len(one & other) > 0.8 * len(one | other)


def test_eight_bits_find_the_same_whatever_else_is_asked(both: Path) -> None:
    quick = Predictor.from_bundle(both, engine="int8", threads=2)
    together = quick.predict_words(SENTENCES)
    assert together == [quick.predict_words([words])[0] for words in SENTENCES]


def test_an_engine_that_is_not_in_the_bundle_is_refused_with_what_to_do(bundle: Path) -> None:
    with pytest.raises(BundleError, match=r"has no model\.int8\.onnx.*fp32"):
        Predictor.from_bundle(bundle, engine="int8")
    with pytest.raises(BundleError, match=r"no engine 'fast'; there are fp32, int8, torch"):
        Predictor.from_bundle(bundle, engine="fast")


def test_a_model_is_loaded_with_the_engine_that_was_asked_for(both: Path) -> None:
    assert load_model(str(both), engine="int8").predictor.engine == "int8"
    assert load_model(str(both)).predictor.engine == "fp32"
    with pytest.raises(BundleError, match="is no bundle, and runs in torch"):
        load_model("dslim/bert-base-NER", engine="int8")


def test_each_engine_is_held_to_its_own_record(both: Path) -> None:
    exact, quick = (Predictor.from_bundle(both, engine=name) for name in ("fp32", "int8"))
    receipt = record(exact, int8=quick)
    receipt["found_int8"] = [[] for _ in receipt["found"]]
    manifest = read_manifest(both)
    seal(both, type(manifest)(**{**vars(manifest), "receipt": {KEY: receipt}}))
    check_parity(Predictor.from_bundle(both, engine="fp32"))
    with pytest.raises(BundleError, match="finds other entities here"):
        check_parity(Predictor.from_bundle(both, engine="int8"))


def test_torch_in_bf16_may_find_two_spans_otherwise(bundle: Path, tmp_path: Path) -> None:
    found = record(Predictor.from_bundle(bundle, engine="torch"))

    def recorded(name: str, *wrong: list[object]) -> Path:
        """A copy of the bundle, in whose record the first text has these spans too."""
        first, *others = found["found"]
        receipt = found | {"found": [[*first, *wrong], *others]}
        return resealed(bundle, tmp_path / name, **{KEY: receipt})

    tipped = recorded("two", ["LOC", 0, 1], ["LOC", 1, 2])
    check_parity(Predictor.from_bundle(tipped, engine="torch"))
    with pytest.raises(BundleError, match="finds other entities here"):
        check_parity(Predictor.from_bundle(tipped, engine="fp32"))
    more = recorded("three", ["LOC", 0, 1], ["LOC", 1, 2], ["LOC", 2, 3])
    with pytest.raises(BundleError, match="finds other entities here"):
        check_parity(Predictor.from_bundle(more, engine="torch"))


@pytest.mark.gpu
def test_on_a_gpu_torch_counts_in_bf16_and_finds_nearly_the_same(bundle: Path) -> None:
    import torch

    if not torch.cuda.is_available():
        pytest.skip("there is no GPU on this machine")
    gpu = Predictor.from_bundle(bundle, engine="torch")
    check_parity(gpu)
    ours, theirs = (
        {(n, e.start, e.end, e.entity_group) for n, each in enumerate(found) for e in each}
        for found in (
            Predictor.from_bundle(bundle).predict_words(SENTENCES),
            gpu.predict_words(SENTENCES),
        )
    )
    assert len(ours & theirs) > 0.9 * len(ours | theirs)


@pytest.mark.parametrize("threads", [1, 2])
def test_an_engine_has_as_many_threads_as_its_replica_has_cpus(bundle: Path, threads: int) -> None:
    exact: Any = open_engine(bundle, "fp32", threads=threads)
    assert exact._session.get_session_options().intra_op_num_threads == threads
    assert exact.batching.at_once == threads
    code = (
        "import sys, torch; from tokcls.inference.engines import open_engine;"
        f"open_engine(sys.argv[1], 'torch', threads={threads}); print(torch.get_num_threads())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(bundle)], capture_output=True, text=True, check=True
    )
    assert int(done.stdout) == threads


def test_an_engine_has_run_before_a_replica_is_ready(
    bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs, run = [], Onnx.run

    def counted(self: Onnx, padded: Padded) -> Any:
        runs.append(padded.input_ids.shape)
        return run(self, padded)

    monkeypatch.setattr(Onnx, "run", counted)
    load(Located(bundle, "ner", ""), 1)
    assert len(runs) > 3
    assert max(rows for rows, _ in runs) > 1
