"""From the best epoch of the chosen trial to a bundle: scored on test once, exported, sealed.

Runs as one Ray task, so that the driver needs no torch.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sweeps.outcome.admission import Words, add_int8, has_int8, judge
from sweeps.search.mailbox import Assignment
from sweeps.search.shipping import here
from sweeps.search.trial_folder import TrialFolder
from tokcls.data.prepared import Prepared
from tokcls.errors import BundleError
from tokcls.inference.bundle import Manifest, seal
from tokcls.inference.engines import FP32
from tokcls.inference.parity import KEY, check_parity, record
from tokcls.inference.predictor import Decoded, Predictor
from tokcls.labels.calibration import Evidence, expected_calibration_error, fit_temperature
from tokcls.labels.plan import TypePlan, label_schema, type_plan
from tokcls.labels.schema import LabelSchema
from tokcls.labels.spans import Span
from tokcls.model.evaluation import Evaluation
from tokcls.trained import manifest_of

if TYPE_CHECKING:
    from transformers import PreTrainedModel

PREFIXES = {"validation": "val", "test": "test"}
Found = Sequence[tuple[Decoded, Mapping[Span, Span]]]
Served = Mapping[str, Sequence[Sequence[Span]]]
VERSIONS = ("torch", "transformers", "pytorch-lightning", "ray", "onnxruntime")


@dataclass(frozen=True)
class Finished:
    """A sealed bundle's folder and what it scored: `test_*` where there is a test split."""

    folder: Path
    metrics: dict[str, float]


def finish(
    assignment: Assignment,
    data: Prepared,
    words: Words,
    folder: Path,
    receipt: Mapping[str, Any],
    *,
    int8: bool = False,
) -> Finished:
    """Make the bundle of a trial's best epoch in `folder`, whole or not at all.

    `words` are the corpus's, by split. `int8` adds an engine of 8 bit if it is admitted. Raises
    BundleError if the exported model does not find exactly the spans that torch finds.
    """
    assignment = replace(assignment, backbone=here(assignment.backbone))
    trial = TrialFolder(assignment.folder)
    best = trial.best()
    if best is None:
        raise BundleError(f"{trial} holds no best epoch")
    network = _best_network(assignment, data, trial)
    evaluations = {
        name: _evaluate(network, assignment, data, name)
        for name in PREFIXES
        if data.splits[name].gold
    }
    metrics = dict(best.metrics)
    for name, evaluation in evaluations.items():  # in 32 bit, as it will be served
        metrics |= evaluation.metrics(PREFIXES[name])
    facts = dict(receipt) | _receipt(assignment, data, best.number)
    manifest = manifest_of(
        assignment.config,
        _schema(assignment, data),
        data.tokenizing,
        receipt=facts,
        metrics=metrics,
    )
    building = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(building, ignore_errors=True)
    building.mkdir(parents=True)
    _export(network, assignment, data, building)
    manifest = seal(building, manifest)
    plan = type_plan(assignment.config.labels, data.types)
    manifest = _admitted(building, manifest, words, data, evaluations, plan, int8=int8)
    seal(building, _with_parity(manifest, building, network))
    check_parity(Predictor.from_bundle(building))
    shutil.rmtree(folder, ignore_errors=True)
    building.replace(folder)
    return Finished(folder, metrics)


def _admitted(
    building: Path,
    manifest: Manifest,
    words: Words,
    data: Prepared,
    evaluations: Mapping[str, Evaluation],
    plan: TypePlan,
    *,
    int8: bool,
) -> Manifest:
    """Hold the engines to what torch finds; their temperature and figures are noted."""
    found = _found(building, words, data, evaluations)
    evidence = {name: _evidence(each, data.splits[name].gold, plan) for name, each in found.items()}
    manifest = _calibrated(manifest, evidence)
    served = {name: _judged_spans(each, plan) for name, each in found.items()}
    _check_parity(building, served, evaluations)
    if "validation" not in evaluations:
        return manifest
    exact = evaluations["validation"]
    gold = [plan.scored.apply(spans) for spans in data.splits["validation"].gold]
    judged = {FP32: judge(gold, exact.spans, served["validation"])}
    if int8:
        judged["int8"] = add_int8(building, words, data, exact, plan)
    return replace(manifest, receipt={**manifest.receipt, **judged})


def _schema(assignment: Assignment, data: Prepared) -> LabelSchema:
    return label_schema(assignment.config.labels, data.types)


def _best_network(assignment: Assignment, data: Prepared, trial: TrialFolder) -> PreTrainedModel:
    from safetensors.torch import load_file

    from tokcls.model.loader import load_model

    network = load_model(
        assignment.backbone,
        _schema(assignment, data),
        dropout=assignment.config.model.dropout,
        pad_id=data.tokenizing.pad_id,
    )
    with trial.weights() as path:
        if path is None:
            raise BundleError(f"{trial} holds no weights")
        network.load_state_dict(load_file(path))
    network.train(False)
    return network


def _evaluate(
    network: PreTrainedModel, assignment: Assignment, data: Prepared, name: str
) -> Evaluation:
    """Score one split in this process, with the code that scored validation in training."""
    import pytorch_lightning as pl

    from tokcls.model.module import TokenClassifier

    module = TokenClassifier(
        network, assignment.config, _schema(assignment, data), data, evaluated=name
    )
    trainer = pl.Trainer(
        accelerator="cpu",
        devices=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.validate(module, verbose=False)
    assert module.evaluation is not None
    return module.evaluation


def _export(network: PreTrainedModel, assignment: Assignment, data: Prepared, folder: Path) -> None:
    from tokcls.model.export import export_onnx, save_hf
    from tokcls.model.loader import load_tokenizer

    save_hf(network, load_tokenizer(assignment.backbone), _schema(assignment, data), folder)
    export_onnx(network, folder / "model.onnx")


def _receipt(assignment: Assignment, data: Prepared, epoch: int) -> dict[str, Any]:
    """What makes the bundle's scores comparable with others; gold is counted as it is scored."""
    plan = type_plan(assignment.config.labels, data.types)
    return {
        "scorer": "spans, micro average, conlleval semantics",
        "gold_spans": {
            name: sum(len(plan.scored.apply(spans)) for spans in split.gold)
            for name, split in data.splits.items()
        },
        "dropped_spans": {name: plan.dropped(split.in_file) for name, split in data.splits.items()},
        "data_hash": data.fingerprint,
        "backbone": assignment.backbone.name,
        "trial": assignment.trial_id,
        "epoch": epoch,
        "config": assignment.config.model_dump(mode="json"),
        "config_hash": assignment.config.config_hash,
        "seed": assignment.config.train.seed,
        "versions": {name: version(name) for name in VERSIONS},
    }


def _found(
    folder: Path, words: Words, data: Prepared, evaluations: Mapping[str, Evaluation]
) -> dict[str, Found]:
    """Predict the evaluated splits with the bundle's engine."""
    predictor = Predictor.from_bundle(folder)
    return {
        name: predictor.decode_words(words[name], documents=data.splits[name].text.tolist())
        for name in evaluations
    }


def _judged_spans(found: Found, plan: TypePlan) -> list[Sequence[Span]]:
    """Make scored types of the bundle's types."""
    return [plan.judged.apply([*over_parts.values()]) for _, over_parts in found]


def _check_parity(folder: Path, served: Served, evaluations: Mapping[str, Evaluation]) -> None:
    """Refuse an engine whose spans are not torch's spans."""
    for name, evaluation in evaluations.items():
        wrong = sum(a != b for a, b in zip(served[name], evaluation.spans, strict=True))
        if wrong:
            raise BundleError(
                f"{folder}: ONNX Runtime and torch differ in {wrong} of {len(served[name])} "
                f"sentences of the {name} split; the bundle is not used"
            )


def _evidence(found: Found, gold: Sequence[Sequence[Span]], plan: TypePlan) -> Evidence:
    """Tell of each predicted span whether it is right, as it is scored."""
    evidence = Evidence()
    for (decoded, over_parts), spans in zip(found, gold, strict=True):
        wanted = {*plan.scored.apply(spans)}
        for part, span in over_parts.items():
            for judged in plan.judged.apply([span]):
                words = slice(part.start, part.end)
                evidence.add(decoded.rows[words], decoded.ids[words], right=judged in wanted)
    return evidence


def _calibrated(manifest: Manifest, found: Mapping[str, Evidence]) -> Manifest:
    """Choose the temperature on validation; the receipt says how well scores hold, before and then.

    Expected calibration errors are of spans' scores, between 0 and 1.
    """
    temperature = fit_temperature(found["validation"]) if "validation" in found else 1.0
    errors = {
        name: {
            "spans": len(evidence.right),
            "error_uncalibrated": _error(evidence, 1.0),
            "error": _error(evidence, temperature),
        }
        for name, evidence in found.items()
    }
    receipt = {**manifest.receipt, "calibration": {"temperature": temperature, **errors}}
    return replace(manifest, temperature=temperature, receipt=receipt)


def _with_parity(manifest: Manifest, folder: Path, network: PreTrainedModel) -> Manifest:
    """Record what the network itself finds in texts of ours, for those who load the bundle."""
    from tokenizers import Tokenizer

    from tokcls.model.engine import Torch

    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    engine = Torch(network, len(manifest.schema.tags), device="cpu")
    predictor = Predictor(engine, manifest, tokenizer)
    others = {"int8": Predictor.from_bundle(folder, engine="int8")} if has_int8(folder) else {}
    return replace(manifest, receipt={**manifest.receipt, KEY: record(predictor, **others)})


def _error(evidence: Evidence, temperature: float) -> float:
    return expected_calibration_error(evidence.scores(temperature), evidence.right)
