"""What a trial left predicts as that trial did; what would have to be unpickled is never loaded."""

from __future__ import annotations

import argparse
import json
import pickle
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
import torch

from sweeps.search.saving import Saving
from sweeps.search.trial_folder import TrialFolder
from tests.tiny import examples, tiny_model
from tokcls.config import DataConfig, LabelsConfig, ModelConfig, TrainConfig, TrialConfig
from tokcls.data.corpus import Corpus, Sentence
from tokcls.data.prepared import prepare
from tokcls.errors import CheckpointError
from tokcls.inference.bundle import MANIFEST
from tokcls.inference.predictor import Predictor
from tokcls.inference.sources import locate
from tokcls.labels.plan import label_schema
from tokcls.labels.spans import Span
from tokcls.loading import load_model
from tokcls.model.backbones import Backbone
from tokcls.model.loader import load_model as load_network
from tokcls.model.loader import load_tokenizer, tokenizing_of
from tokcls.model.module import TokenClassifier
from tokcls.trained import is_trained

pytestmark = pytest.mark.filterwarnings("ignore:.*isinstance:FutureWarning")

TEXT = "Anna flew from Lisbon to Oslo on Monday ."
SENTENCES = tuple(
    Sentence(tuple(words), tuple(Span(*span) for span in spans), document=0)
    for words, spans in examples(40)
)
QUIET: dict[str, Any] = dict.fromkeys(
    ("enable_checkpointing", "enable_progress_bar", "enable_model_summary", "logger"), False
)


class AsAWorker(pl.Callback):
    """Keeps after each epoch what a worker of a sweep keeps."""

    def __init__(self, saving: Saving) -> None:
        self.saving = saving
        self.found: list[list[list[Span]]] = []

    def on_train_epoch_end(self, trainer: pl.Trainer, module: Any) -> None:
        self.found.append([list(each) for each in module.evaluation.spans])
        metrics = module.evaluation.metrics("val")
        self.saving.keep_best(trainer.current_epoch + 1, metrics, module)
        self.saving.describe(module)
        trainer.save_checkpoint("last.ckpt")


@dataclass(frozen=True)
class Sweep:
    """A sweep's folder with two trials, and what each found in validation after its last epoch."""

    folder: Path
    found: dict[str, list[list[Span]]]

    def trial(self, name: str) -> Path:
        return self.folder / "trials" / name


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Sweep:
    top = tmp_path_factory.mktemp("sweep")
    found = {
        name: train(top, name, scheme, epochs)
        for name, scheme, epochs in (("t001", "IO", 2), ("t002", "BIOES", 10))
    }
    return Sweep(top, found)


def train(top: Path, name: str, scheme: Any, epochs: int) -> list[list[Span]]:
    """Train a trial on half of the sentences, and score it on all, in windows of 16."""
    bert = "bert" if scheme == "IO" else "gpt2"
    backbone = Backbone(bert, tiny_model(bert, top / f"backbone-{name}"))
    corpus = Corpus(SENTENCES[:20], SENTENCES, (), "made", {})
    data = prepare(corpus, tokenizing_of(backbone, load_tokenizer(backbone), 16), stride=4)
    config = TrialConfig(
        data=DataConfig(source="bundled", stride=4, max_length=16),
        labels=LabelsConfig(scheme=scheme, types={"ORG": None}),
        model=ModelConfig(backbone="tiny", dropout=0.1),
        train=TrainConfig(learning_rate=5e-3, epochs=epochs, tokens_per_batch=128),
    )
    pl.seed_everything(3, workers=False, verbose=False)
    schema = label_schema(config.labels, data.types)
    network = load_network(backbone, schema, dropout=0.1, pad_id=data.tokenizing.pad_id)
    kept = AsAWorker(Saving(TrialFolder(top / "trials" / name)))
    trainer = pl.Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        num_sanity_val_steps=0,
        callbacks=[kept],
        plugins=[kept.saving],
        **QUIET,
    )
    trainer.fit(TokenClassifier(network, config, schema, data))
    shutil.rmtree(backbone.folder)  # weights and their description are all there is to be had
    return kept.found[-1]


def found_by(predictor: Predictor) -> list[list[Span]]:
    found = predictor.predict_words([sentence.words for sentence in SENTENCES])
    return [[Span(one.start, one.end, one.entity_group) for one in each] for each in found]


def best_of(trial: Path) -> list[list[Span]]:
    """What the trial's best epoch found, as its worker wrote it."""
    with np.load(trial / "best" / "predictions.npz") as saved:
        types = saved["types"].tolist()
        found: list[list[Span]] = [[] for _ in SENTENCES]
        for sentence, start, end, kind in saved["spans"].tolist():
            found[sentence].append(Span(start, end, types[kind]))
    return found


@pytest.mark.parametrize("name", ["t001", "t002"])
@pytest.mark.parametrize("named", [".", "best", "best/model.safetensors"])
def test_a_trial_finds_what_its_best_epoch_found(sweep: Sweep, name: str, named: str) -> None:
    model = load_model(str(sweep.trial(name) / named))
    assert found_by(model.predictor) == best_of(sweep.trial(name))
    assert model.predictor.manifest.window.max_length == 16
    assert model.predictor.manifest.schema.types == ("LOC", "PER")


def test_a_restart_state_finds_what_the_last_epoch_found(sweep: Sweep) -> None:
    said: list[str] = []
    checkpoint = sweep.trial("t002") / "last.ckpt"
    model = load_model(str(checkpoint), said.append)
    assert found_by(model.predictor) == sweep.found["t002"]
    assert any(sweep.found["t002"])
    assert said == [f"loading {checkpoint}", f"weights of {checkpoint}"]


def test_a_sweep_that_goes_on_stands_for_its_best_trial(sweep: Sweep) -> None:
    model = load_model(str(sweep.folder))
    assert found_by(model.predictor) == best_of(sweep.trial("t002"))


def test_a_sweep_that_is_over_stands_for_its_bundle(tmp_path: Path) -> None:
    for name in ("trials", "bundle"):
        (tmp_path / name).mkdir()
    assert is_trained(str(tmp_path))
    (tmp_path / "bundle" / MANIFEST).touch()
    assert not is_trained(str(tmp_path))
    assert locate(str(tmp_path)).folder == tmp_path / "bundle"


def test_what_a_model_is_made_of_makes_it_again_elsewhere(sweep: Sweep, tmp_path: Path) -> None:
    model = load_model(str(sweep.trial("t002")))
    for path in model.files:
        copy = tmp_path / path.relative_to(model.top)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, copy)
    again = load_model(str(tmp_path / model.named))
    assert found_by(again.predictor) == found_by(model.predictor)


def test_the_command_line_takes_a_trial(sweep: Sweep) -> None:
    trial = str(sweep.trial("t002"))
    command = [sys.executable, "-m", "tokcls.predict", "--model", trial, "--json", TEXT]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    (expected,) = load_model(trial).predictor.predict_texts([TEXT])
    assert [one["word"] for one in json.loads(done.stdout)] == [one.word for one in expected]
    assert {"Anna", "Lisbon"} & {one.word for one in expected}


class Touches:
    """What makes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


class Elsewhere(pl.LightningModule):
    """A module that keeps its options as many do."""

    def __init__(self, options: argparse.Namespace) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.model = torch.nn.Linear(2, 2)


def pickled(folder: Path) -> None:
    with (folder / "model.ckpt").open("wb") as file:
        pickle.dump({"state_dict": Touches(folder / "unpickled")}, file)


def pickled_by_torch(folder: Path) -> None:
    torch.save({"state_dict": Touches(folder / "unpickled")}, folder / "model.ckpt")


def lightning_with_options(folder: Path) -> None:
    trainer = pl.Trainer(accelerator="cpu", **QUIET)
    trainer.strategy.connect(Elsewhere(argparse.Namespace(rate=1)))
    trainer.save_checkpoint(folder / "model.ckpt")


def other_weights(folder: Path) -> None:
    torch.save({"state_dict": {"model.weight": torch.zeros(2)}}, folder / "model.ckpt")


def no_checkpoint(folder: Path) -> None:
    torch.save([1, 2], folder / "model.ckpt")


def ours_alone(folder: Path) -> None:
    torch.save({"state_dict": {"network.weight": torch.zeros(2)}}, folder / "model.ckpt")


def empty(folder: Path) -> None:
    (folder / "model.ckpt").touch()


@pytest.mark.parametrize(
    ("write", "said"),
    [
        (pickled, ["holds pickled objects", "may execute any code", "save_pretrained()"]),
        (pickled_by_torch, ["holds pickled objects", "save_pretrained()"]),
        (lightning_with_options, ["holds pickled objects", "argparse.Namespace"]),
        (other_weights, ["is no checkpoint of a trial", "model.weight", "save_pretrained()"]),
        (no_checkpoint, ["is no Lightning checkpoint: it has no state_dict"]),
        (ours_alone, ["cannot predict by itself", "model.json", "copy the trial's whole folder"]),
        (empty, ["cannot be read", "copy it again"]),
    ],
)
def test_a_checkpoint_from_elsewhere_is_refused_with_the_remedy(
    tmp_path: Path, write: Any, said: Sequence[str]
) -> None:
    write(tmp_path)
    with pytest.raises(CheckpointError) as refused:
        load_model(str(tmp_path / "model.ckpt"))
    assert all(part in str(refused.value) for part in said), str(refused.value)
    assert str(tmp_path / "model.ckpt") in str(refused.value)
    assert not (tmp_path / "unpickled").exists()


def without_weights(trial: Path) -> None:
    (trial / "best" / "model.safetensors").unlink()


def without_description(trial: Path) -> None:
    (trial / "best" / "model.json").unlink()


def torn_description(trial: Path) -> None:
    (trial / "best" / "model.json").write_text('{"manifest": ')


def torn_weights(trial: Path) -> None:
    (trial / "best" / "model.safetensors").write_bytes(b"half")


def other_network(trial: Path) -> None:
    path = trial / "best" / "model.json"
    found = json.loads(path.read_text())
    found["network"]["n_embd"] = 64
    path.write_text(json.dumps(found))


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (without_weights, "output.keep_top of them; name one of these, or the sweep's bundle"),
        (without_description, "or name the bundle of its sweep"),
        (torn_description, "model.json cannot be read"),
        (torn_weights, "model.safetensors cannot be read"),
        (other_network, "do not fit what it says of its network"),
    ],
)
def test_what_is_missing_or_torn_in_a_trial_is_said(
    sweep: Sweep, tmp_path: Path, spoil: Any, said: str
) -> None:
    trial = tmp_path / "t002"
    shutil.copytree(sweep.trial("t002"), trial)
    spoil(trial)
    with pytest.raises(CheckpointError, match=said):
        load_model(str(trial))


def test_a_sweep_without_weights_and_a_file_of_another_kind_are_refused(tmp_path: Path) -> None:
    (tmp_path / "trials" / "t001").mkdir(parents=True)
    with pytest.raises(CheckpointError, match=r"no trial of .* has come to weights yet"):
        load_model(str(tmp_path))
    (tmp_path / "model.bin").touch()
    with pytest.raises(CheckpointError, match=r"model\.bin is no model: a file must be a trial's"):
        load_model(str(tmp_path / "model.bin"))
