"""Two real processes share a pass over one document: nobody waits for ever, the score is one."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.tiny import examples, tiny_model

ROOT = Path(__file__).parents[3]
CODE = """
import json, sys
import pytorch_lightning as pl
from tests.tiny import examples
from tokcls.config import DataConfig, ModelConfig, TrainConfig, TrialConfig
from tokcls.data.corpus import Corpus, Sentence
from tokcls.data.prepared import prepare
from tokcls.labels.schema import LabelSchema
from tokcls.labels.spans import Span
from pathlib import Path
from tokcls.model.backbones import Backbone
from tokcls.model.loader import load_model, load_tokenizer, tokenizing_of
from tokcls.model.module import TokenClassifier


class Tell(pl.Callback):
    def on_validation_end(self, trainer, module):
        counts, split = module.evaluation.counts, module.data.splits["validation"]
        mine = split.sentences_of(trainer.global_rank, trainer.world_size)
        told = {"gold": int((counts.tp + counts.fn).sum()), "words": counts.words,
                "f1": counts.scores().f1, "mine": len(mine)}
        (Path(sys.argv[1]) / f"{trainer.global_rank}.json").write_text(json.dumps(told))


if __name__ == "__main__":
    made = tuple(
        Sentence(tuple(words), tuple(Span(*span) for span in spans), 0)
        for words, spans in examples(24)
    )
    backbone = Backbone("tiny", Path(sys.argv[2]))
    tokenizing = tokenizing_of(backbone, load_tokenizer(backbone), None)
    corpus = Corpus(made, made[:3], (), "made", {})
    data = prepare(corpus, tokenizing, stride=4, context="document")
    config = TrialConfig(
        data=DataConfig(source="made", context="document"),
        model=ModelConfig(backbone="tiny"),
        train=TrainConfig(learning_rate=1e-3, epochs=1, tokens_per_batch=64),
    )
    schema = LabelSchema("IOB2", data.types)
    network = load_model(backbone, schema, dropout=0.0, pad_id=tokenizing.pad_id)
    pl.Trainer(
        max_epochs=1, accelerator="cpu", devices=2, strategy="ddp_fork", callbacks=[Tell()],
        num_sanity_val_steps=0, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, logger=False,
    ).fit(TokenClassifier(network, config, schema, data))
"""


@pytest.mark.slow
def test_a_rank_without_a_document_takes_part_in_the_pass(tmp_path: Path) -> None:
    backbone = tiny_model("bert", tmp_path / "bert")
    script = tmp_path / "two.py"
    script.write_text(CODE)
    command = [sys.executable, str(script), str(tmp_path), str(backbone)]
    environment = {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "PATH": ""}
    done = subprocess.run(
        command, cwd=ROOT, env=environment, timeout=120, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]
    first, second = (json.loads((tmp_path / f"{rank}.json").read_text()) for rank in (0, 1))
    assert (first.pop("mine"), second.pop("mine")) == (3, 0)
    assert first == second
    assert first["gold"] == sum(len(spans) for _, spans in examples(3))
    assert first["words"] == sum(len(words) for words, _ in examples(3))
