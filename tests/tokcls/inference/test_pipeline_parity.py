"""`transformers.pipeline` loads a bundle as it is, and finds what we find, for every scheme.

Compared are the texts whose best tags, word by word, already form a sequence that the scheme
allows. On the others the two must differ: the pipeline knows nothing of what may follow what.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.tiny import examples
from tests.tokcls.inference.made import make_bundle
from tokcls.data.batches import pad
from tokcls.data.windows import cut, encode, tokenizing
from tokcls.data.word_scores import WordScores
from tokcls.data.words import split
from tokcls.inference.bundle import read_manifest
from tokcls.inference.engines import open_engine
from tokcls.inference.predictor import Predictor
from tokcls.labels.decoding import decode_tags
from tokcls.labels.schemes import SCHEMES

pytestmark = pytest.mark.slow


def texts() -> list[str]:
    """Write sentences as running text; every fifth begins with a word the model has never seen."""
    lines = []
    for number, (words, _) in enumerate(examples(160)[100:]):
        line = " ".join(words).replace(" .", ".").replace(" ,", ",").replace("( ", "(")
        odd = ("Müller", "Oslo-Kyoto", "McDonald's", "東京", "NASA", "e-mail")[number // 5 % 6]
        lines.append(line if number % 5 else f"{odd} {line}")
    return lines


def allowed(bundle: Path, lines: list[str]) -> list[bool]:
    """Tell for each text whether its best tags form an allowed sequence."""
    manifest, engine = read_manifest(bundle), open_engine(bundle, "fp32")
    window, schema = manifest.window, manifest.schema
    from tokenizers import Tokenizer

    rule = tokenizing(
        Tokenizer.from_file(str(bundle / "tokenizer.json")),
        prefix=window.prefix,
        suffix=window.suffix,
        pad_id=window.pad_id,
        max_length=window.max_length,
    )
    encoded = encode([[word.text for word in split(line)] for line in lines], rule)
    windows = cut(encoded, room=rule.room, stride=0)
    assert len(windows) == len(lines), "every text must fit one window: the pipeline truncates"
    scores = WordScores(encoded, windows, schema.unread)
    rows = np.arange(len(windows))
    scores.add(rows, engine.run(pad(encoded, windows, rows, rule)), offset=len(window.prefix))
    best = scores.by_sentence()
    steps = SCHEMES[schema.scheme].transitions(schema.tags)
    return [
        bool((free == kept).all())
        for free, kept in zip(decode_tags(best, None), decode_tags(best, steps), strict=True)
    ]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("scheme", ["IO", "IOB1", "IOB2", "IOE2", "BIOES", "BILOU"])
def test_the_pipeline_finds_the_same_entities(scheme: str, tmp_path: Path) -> None:
    from transformers import pipeline

    bundle = make_bundle(tmp_path, scheme, steps=120)
    theirs: Any = pipeline("token-classification", str(bundle), aggregation_strategy="first")
    ours = Predictor.from_bundle(bundle)
    lines = texts()
    compared, entities = 0, 0
    for line, clean, found in zip(
        lines, allowed(bundle, lines), ours.predict_texts(lines), strict=True
    ):
        if not clean:
            continue
        expected = [(one["entity_group"], one["start"], one["end"]) for one in theirs(line)]
        assert [(one.entity_group, one.start, one.end) for one in found] == expected, line
        compared, entities = compared + 1, entities + len(found)
    assert compared > 0.7 * len(lines)
    assert entities > compared
