"""What is made once and read by all: the corpus under each tokenizer, in Ray's object store."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayError, RayTaskError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from sweeps.errors import SweepError, first_line
from sweeps.preflight import Ready
from sweeps.search.shipping import here
from tokcls.config import DataConfig
from tokcls.data.corpus import Corpus
from tokcls.data.prepared import Prepared, prepare
from tokcls.errors import TokclsError
from tokcls.model.backbones import Backbone


@dataclass(frozen=True)
class Shared:
    """References into the store: a `Prepared` by backbone folder, and the words of every split."""

    prepared: Mapping[Path, ray.ObjectRef[Prepared]]
    words: ray.ObjectRef[Any]

    def wait(self) -> dict[Path, ray.ObjectRef[Prepared]]:
        """Wait until all is tokenised; raise what went wrong as it was raised."""
        for reference in self.prepared.values():
            get(reference)
        return dict(self.prepared)


def share(ready: Ready) -> Shared:
    """Start tokenising for every tokenizer of the space; aliases of one folder share it."""
    corpus = ray.put(ready.corpus)
    data = ready.space.data
    task = ray.remote(num_cpus=0)(prepare_for)
    by_folder = {backbone.folder: backbone for backbone in ready.backbones.values()}
    words = {
        name: [sentence.words for sentence in sentences]
        for name, sentences in ready.corpus.splits.items()
    }
    return Shared(
        prepared={
            folder: task.remote(corpus, backbone, data) for folder, backbone in by_folder.items()
        },
        words=ray.put(words),
    )


def prepare_for(corpus: Corpus, backbone: Backbone, data: DataConfig) -> Prepared:
    """Tokenise a corpus with a backbone's tokenizer; a task: the driver needs no transformers."""
    from tokcls.model.loader import load_tokenizer, tokenizing_of

    backbone = here(backbone)
    tokenizer = load_tokenizer(backbone)
    tokenizing = tokenizing_of(backbone, tokenizer, data.max_length)
    return prepare(corpus, tokenizing, stride=data.stride, context=data.context)


def result_of(function: Callable[..., Any], *args: Any, cpus: float, log: Path) -> Any:
    """Run a function as one Ray task with a share of CPUs and wait for it.

    It runs on this node, where what it writes is wanted, with as many of the CPUs as there are.
    What it raises of ours comes out as itself. Of anything else that ends it (an error, a process
    or an object that is lost, memory) `log`, Ray's, has the whole story, and SweepError its gist.
    """
    here = ray.get_runtime_context().get_node_id()
    (node,) = (node for node in ray.nodes() if node["NodeID"] == here)  # type: ignore[no-untyped-call]

    def task(*values: Any) -> Any:
        return function(*values)

    options = {
        "num_cpus": min(cpus, node["Resources"].get("CPU", 0.0)),
        "scheduling_strategy": NodeAffinitySchedulingStrategy(here, soft=False),
        "max_retries": 0,
    }
    with failures_logged(log):
        return get(ray.remote(**options)(task).remote(*args))


@contextmanager
def failures_logged(log: Path) -> Iterator[None]:
    """Turn what ends a task, an error in it or what Ray found, into a line; all of it is logged."""
    try:
        yield
    except RayError as error:
        logging.getLogger("ray").error("%s", error)
        cause: BaseException = error.cause if isinstance(error, RayTaskError) else error
        raise SweepError(f"{type(cause).__name__}: {first_line(cause)}; see {log}") from error


def get(reference: ray.ObjectRef[Any]) -> Any:
    """Wait for a result; an error of ours comes out as itself, not wrapped by Ray."""
    try:
        return ray.get(reference)
    except RayTaskError as error:
        if isinstance(error.cause, TokclsError):
            raise error.cause from error
        raise
