"""From the best epoch of the chosen trial to a bundle: scored on test once, exported, checked, sealed.

Runs as one Ray task, so that the driver needs no torch.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from sweeps.search.mailbox import Assignment
from sweeps.search.trial_folder import TrialFolder
from tokcls.data.prepared import Prepared
from tokcls.errors import BundleError
from tokcls.inference.bundle import Manifest, Window, seal

VERSIONS = ("torch", "transformers", "pytorch-lightning", "ray", "onnxruntime")


@dataclass(frozen=True)
class Finished:
    """A sealed bundle's folder and what it scored: `test_*` where there is a test split."""

    folder: Path
    metrics: dict[str, float]


def finish(
    assignment: Assignment,
    data: Prepared,
    words: Mapping[str, Sequence[Sequence[str]]],
    folder: Path,
    receipt: Mapping[str, Any],
) -> Finished:
    """Make the bundle of a trial's best epoch in `folder` (which must not exist, or is replaced).

    Raises BundleError if the exported model does not find exactly the spans that torch finds.
    """
    from safetensors.torch import load_file

    from tokcls.labels.schema import LabelSchema
    from tokcls.model.export import export_onnx, save_hf
    from tokcls.model.loader import load_model, load_tokenizer

    trial = TrialFolder(assignment.folder)
    best = trial.best()
    if best is None:
        raise BundleError(f"{trial.folder} holds no best epoch")
    config = assignment.config
    schema = LabelSchema(config.labels.scheme, data.types, config.labels.subwords)
    network = load_model(
        assignment.backbone, schema, dropout=config.model.dropout, pad_id=data.tokenizing.pad_id
    )
    network.load_state_dict(load_file(trial.weights))
    network.eval()
    evaluations = {
        name: evaluate_split(network, assignment, data, name)
        for name in ("validation", "test")
        if data.splits[name].gold
    }
    building = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(building, ignore_errors=True)
    building.mkdir(parents=True)
    save_hf(network, load_tokenizer(assignment.backbone), schema, building)
    export_onnx(network, building / "model.onnx")
    metrics = dict(best.metrics)
    for name, evaluation in evaluations.items():
        if name == "test":
            metrics |= evaluation.metrics("test")
    manifest = Manifest(
        schema=schema,
        decoding=config.model.decoding,
        window=Window(
            max_length=data.tokenizing.max_length,
            stride=config.data.stride,
            prefix=data.tokenizing.prefix,
            suffix=data.tokenizing.suffix,
            pad_id=data.tokenizing.pad_id,
        ),
        receipt=dict(receipt) | _receipt(assignment, data, best.number),
        metrics=metrics,
    )
    seal(building, manifest)
    _check_parity(building, words, evaluations)
    shutil.rmtree(folder, ignore_errors=True)
    building.replace(folder)
    return Finished(folder, metrics)


def evaluate_split(network: Any, assignment: Assignment, data: Prepared, name: str) -> Any:
    """Score one split in this process, in 32 bit, as training scored validation."""
    import pytorch_lightning as pl

    from tokcls.labels.schema import LabelSchema
    from tokcls.model.module import TokenClassifier

    config = assignment.config
    schema = LabelSchema(config.labels.scheme, data.types, config.labels.subwords)
    module = TokenClassifier(network, config, schema, data, evaluated=name)
    trainer = pl.Trainer(
        accelerator="auto",
        devices=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.validate(module, verbose=False)
    return module.evaluation


def _receipt(assignment: Assignment, data: Prepared, epoch: int) -> dict[str, Any]:
    """What makes the bundle's scores comparable with others."""
    return {
        "scorer": "spans, micro average, conlleval semantics",
        "gold_spans": {name: sum(map(len, split.gold)) for name, split in data.splits.items()},
        "data_hash": data.fingerprint,
        "backbone": assignment.backbone.name,
        "trial": assignment.trial_id,
        "epoch": epoch,
        "config": assignment.config.model_dump(mode="json"),
        "config_hash": assignment.config.config_hash,
        "seed": assignment.config.train.seed,
        "versions": {name: version(name) for name in VERSIONS},
    }


def _check_parity(
    folder: Path, words: Mapping[str, Sequence[Sequence[str]]], evaluations: Mapping[str, Any]
) -> None:
    """Predict the evaluated splits with the bundle's own engine; its spans must be torch's spans."""
    from tokcls.inference.predictor import Predictor

    predictor = Predictor.from_bundle(folder)
    for name, evaluation in evaluations.items():
        served = [
            tuple((entity.start, entity.end, entity.entity_group) for entity in entities)
            for entities in predictor.predict_words(words[name])
        ]
        wrong = sum(a != b for a, b in zip(served, evaluation.spans, strict=True))
        if wrong:
            raise BundleError(
                f"{folder}: ONNX Runtime and torch differ in {wrong} of {len(served)} sentences of "
                f"the {name} split; the bundle is not used"
            )
