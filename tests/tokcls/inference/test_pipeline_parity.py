"""`transformers.pipeline` loads a bundle as it is, and finds what we find, for every scheme.

Compared are the texts whose best tags, word by word, already form a sequence that the scheme
allows. On the others the two must differ: the pipeline knows nothing of what may follow what. And
what it reads, B- and I-, must say the same: of IOE2, which marks ends, it joins neighbours.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks._made import places
from tests.tiny import examples
from tests.tokcls.inference.made import make_bundle
from tokcls.data.batches import pad
from tokcls.data.windows import cut, encode, tokenizing
from tokcls.data.word_scores import WordScores
from tokcls.data.words import split
from tokcls.inference.answer import answer
from tokcls.inference.bundle import read_manifest
from tokcls.inference.contract import Parameters
from tokcls.inference.engines import open_engine
from tokcls.inference.predictor import Predictor
from tokcls.inference.request import Request
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
    """Tell for each text whether its best tags are an allowed sequence that B- and I- can say."""
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
    scheme, read = SCHEMES[schema.scheme], SCHEMES["IOB2"]
    names = scheme.pipeline_names(schema.tags)
    return [
        bool((free == kept).all())
        and read.decode([names[tag] for tag in kept]) == schema.decode_ids(kept)
        for free, kept in zip(
            decode_tags(best, None),
            decode_tags(best, scheme.transitions(schema.tags)),
            strict=True,
        )
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


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore:Tokenizer does not support real words:UserWarning")
@pytest.mark.parametrize("strategy", ["first", "average", "max"])
def test_byte_level_words_are_those_of_the_pipeline_where_punctuation_stands_by_itself(
    byte_level: Path, strategy: Any
) -> None:
    from transformers import pipeline

    theirs: Any = pipeline(
        "token-classification", str(byte_level), aggregation_strategy=strategy, ignore_labels=[]
    )
    lines = [" ".join(words) for words, _ in examples(40)]
    lines.append("Müller met Ωmega in Zürich , said ( Acme ) .")
    asked = Request(
        tuple(lines), parameters=Parameters(aggregation_strategy=strategy, ignore_labels=[])
    )
    types = set()
    found = json.loads(answer(Predictor.from_bundle(byte_level), [asked])[0])
    for line, ours in zip(lines, found, strict=True):
        assert places(ours) == places(theirs(line)), line
        assert all(line[one["start"] : one["end"]] == one["word"] for one in ours)
        types |= {one["entity_group"] for one in ours}
    assert types == {"O", "LOC", "ORG", "PER"}


@pytest.fixture(scope="module")
def byte_level(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_bundle(tmp_path_factory.mktemp("roberta"), kind="roberta")
