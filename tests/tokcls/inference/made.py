"""A small bundle that really predicts, and a real server: for every test that needs one."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from benchmarks._made import free_port
from tests.tiny import POSITIONS, Example, ModelKind, examples, tiny_model
from tokcls.inference.bundle import Manifest, Window, read_manifest, seal
from tokcls.labels.schema import LabelSchema
from tokcls.labels.spans import Span

TYPES = ("LOC", "ORG", "PER")
STRIDE = 8
ROOT = Path(__file__).resolve().parents[3]


def make_bundle(
    folder: Path,
    scheme: str = "BIOES",
    *,
    kind: ModelKind = "bert",
    decoding: Literal["argmax", "viterbi"] = "viterbi",
    steps: int = 80,
) -> Path:
    """Train a tiny model for a few seconds and write it as a bundle."""
    import torch
    from transformers import AutoModelForTokenClassification

    from tokcls.model.backbones import find_backbone
    from tokcls.model.export import export_onnx, save_hf
    from tokcls.model.loader import load_tokenizer, quiet_transformers

    schema = LabelSchema(scheme, TYPES)
    backbone = find_backbone(str(tiny_model(kind, folder / "backbone")))
    tokenizer: Any = load_tokenizer(backbone)
    with quiet_transformers(), torch.random.fork_rng():
        torch.manual_seed(13)
        model = AutoModelForTokenClassification.from_pretrained(
            backbone.folder, num_labels=len(schema.tags)
        )
        _train(model, tokenizer, schema, steps)
    bundle = folder / "bundle"
    bundle.mkdir()
    save_hf(model, tokenizer, schema, bundle)
    export_onnx(model, bundle / "model.onnx")
    ends = (tokenizer.cls_token_id,), (tokenizer.sep_token_id,)
    window = Window(POSITIONS, STRIDE, *ends, tokenizer.pad_token_id)
    seal(bundle, Manifest(schema, decoding, window, {"seed": 13}, {"val_f1": 0.5}))
    return bundle


def _train(model: Any, tokenizer: Any, schema: LabelSchema, steps: int) -> None:
    import torch

    # Two threads for so small a model wait for each other more than they work.
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    model.train()
    data = examples()
    for step in range(steps):
        chunk = data[step * 20 % len(data) :][:20]
        inputs = tokenizer(
            [words for words, _ in chunk],
            is_split_into_words=True,
            padding=True,
            return_tensors="pt",
        )
        labels = _labels(chunk, inputs, schema)
        loss = model(**inputs, labels=torch.tensor(labels)).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    torch.set_num_threads(threads)


def _labels(chunk: Sequence[Example], inputs: Any, schema: LabelSchema) -> list[list[int]]:
    rows = []
    for number, (words, spans) in enumerate(chunk):
        ids = schema.encode_ids([Span(*span) for span in spans], len(words))
        places = inputs.word_ids(number)
        firsts = [
            at for at, word in enumerate(places) if word is not None and word not in places[:at]
        ]
        rows.append([int(ids[places[at]]) if at in firsts else -100 for at in range(len(places))])
    return rows


def resealed(bundle: Path, folder: Path, **receipt: Any) -> Path:
    """Copy a bundle, with more in its receipt."""
    shutil.copytree(bundle, folder)
    manifest = read_manifest(folder)
    seal(folder, replace(manifest, receipt={**manifest.receipt, **receipt}))
    return folder


@dataclass(frozen=True)
class RunningServer:
    """A server in a process group of its own."""

    url: str
    port: int
    pid: int
    output: list[str]
    log: Path


def start(arguments: Sequence[str], folder: Path, **options: Any) -> subprocess.Popen[str]:
    """Start `python -m sweeps.serve` in `folder` with both outputs in one pipe."""
    return subprocess.Popen(
        [sys.executable, "-m", "sweeps.serve", *arguments],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        **options,
    )


@contextmanager
def served(
    model: Path | str, folder: Path, *options: str, environment: Mapping[str, str] | None = None
) -> Iterator[RunningServer]:
    """Serve a model with `python -m sweeps.serve` until the block ends."""
    port = free_port()
    # Ray sends what is counted every ten seconds, which a test need not wait for.
    env = os.environ | {"RAY_metrics_report_interval_ms": "500"} | dict(environment or {})
    process = start([str(model), "--port", str(port), *options], folder, env=env)
    assert process.stdout is not None
    output: list[str] = []
    try:
        for line in process.stdout:
            output.append(line)
            if line.startswith("ready"):
                break
        else:
            raise AssertionError("the server did not start:\n" + "".join(output))
        log = folder / "runs" / "serve.log"
        yield RunningServer(f"http://127.0.0.1:{port}", port, process.pid, output, log)
    finally:
        process.send_signal(signal.SIGINT)
        process.stdout.close()
        process.wait(timeout=30)
