"""Whether a faster engine may answer: by what it does to the scores on validation, and no more."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tokcls.data.prepared import Prepared
from tokcls.inference.bundle import read_manifest, seal
from tokcls.inference.engines import FILES
from tokcls.inference.predictor import Predictor
from tokcls.labels.plan import TypePlan
from tokcls.labels.significance import f1, p_value
from tokcls.labels.spans import Span
from tokcls.model.evaluation import Evaluation

Spans = Sequence[Sequence[Span]]
Words = Mapping[str, Sequence[Sequence[str]]]
LOSS = 0.002
"""of F1 (0 to 1) that a faster engine may lose ..."""
SPANS = 2
"""... or so many spans that were right, if that is more"""
ROUNDING = 1e-9
SURE = 0.05
"""a loss with a smaller p-value than this is a real one, and refused"""


def add_int8(
    folder: Path, words: Words, data: Prepared, exact: Evaluation, plan: TypePlan
) -> dict[str, Any]:
    """Write a bundle's model in 8 bit; it stays if it is admitted. Gives what was measured."""
    from tokcls.model.export import quantize

    path, manifest = folder / FILES["int8"], read_manifest(folder)
    quantize(folder / FILES["fp32"], path)
    seal(folder, manifest)
    predictor, split = Predictor.from_bundle(folder, engine="int8"), data.splits["validation"]
    found = predictor.decode_words(words["validation"], documents=split.text.tolist())
    faster = [plan.judged.apply([*over_parts.values()]) for _, over_parts in found]
    judged = judge([plan.scored.apply(spans) for spans in split.gold], exact.spans, faster)
    if not judged["admitted"]:
        path.unlink()
        seal(folder, manifest)
    return judged


def has_int8(folder: Path) -> bool:
    """Whether a bundle has an engine of 8 bit."""
    return (folder / FILES["int8"]).is_file()


def judge(gold: Spans, exact: Spans, faster: Spans) -> dict[str, Any]:
    """Compare what an engine finds with what the exact one finds; the receipt's words.

    `admitted` says whether it may answer. `agreement` is the F1 of the one against the other,
    `f1_difference` what the faster one gains; all from 0 to 1.
    """
    before, after = f1(gold, exact), f1(gold, faster)
    # A span that is now wrong leaves the number of spans, F1's divisor, as it is.
    allowed = max(LOSS, 2 * SPANS / max(1, _size(gold) + _size(exact)))
    chance = p_value(gold, exact, faster)
    lost = before - after
    return {
        "admitted": lost <= allowed + ROUNDING and (lost <= 0 or chance >= SURE),
        "f1": after,
        "f1_difference": after - before,
        "f1_loss_allowed": allowed,
        "p_value": chance,
        "agreement": f1(exact, faster),
        "sentences": len(gold),
        "sentences_that_differ": sum({*a} != {*b} for a, b in zip(exact, faster, strict=True)),
    }


def _size(spans: Spans) -> int:
    return sum(len({*each}) for each in spans)
