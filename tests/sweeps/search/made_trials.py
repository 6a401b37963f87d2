"""Search spaces and trials for tests: written in a line, without a corpus, a model or Ray."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sweeps.search.events import State, Trial
from sweeps.search.mailbox import Epoch
from sweeps.space.space import SearchSpace, load_space

MINIMAL = """\
name: s
data: {source: bundled}
model: {backbone: minilm-l6}
train:
  learning_rate: {loguniform: [1e-5, 1e-3]}
"""


def make_space(folder: Path, *overrides: str, text: str = MINIMAL) -> SearchSpace:
    """Load a minimal file that searches the learning rate, with overrides."""
    path = folder / "s.yaml"
    path.write_text(text, encoding="utf-8")
    return load_space(path, overrides)


def metrics_at(f1: float, *, parameters: float = 100.0) -> dict[str, float]:
    """Give what workers measure in an epoch, as far as anyone reads it."""
    scores = {"val_f1": f1, "val_precision": f1, "val_recall": f1, "val_accuracy": 0.9}
    speed = {"words_per_second": 1234.0, "parameters": parameters}
    return scores | {"val_loss": 0.5, "train_loss": 0.25} | speed


def make_trial(
    trial_id: str = "t001",
    scores: Sequence[float] = (),
    state: State = State.RUNNING,
    *,
    values: Mapping[str, Any] | None = None,
    reason: str = "",
    parameters: float = 100.0,
) -> Trial:
    """Make a trial that came to `scores`, one an epoch."""
    return Trial(
        trial_id=trial_id,
        values={"train.learning_rate": 1e-4} if values is None else values,
        config={"train": {"learning_rate": 1e-4, "epochs": 3}, "model": {"backbone": "b"}},
        config_hash=f"hash-{trial_id}",
        state=state,
        reason=reason,
        epochs=[
            Epoch(number, metrics_at(f1, parameters=parameters))
            for number, f1 in enumerate(scores, 1)
        ],
    )
