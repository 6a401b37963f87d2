"""A bundle answers with the engine that is named, if it has it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.tiny import examples
from tokcls.errors import BundleError
from tokcls.inference.bundle import read_manifest, seal
from tokcls.inference.engines import FILES
from tokcls.inference.parity import KEY, check_parity, record
from tokcls.inference.predictor import Predictor
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
