"""Many texts on a Ray cluster: this machine reads and writes, a pool of actors predicts.

Ray Data carries chunks to the actors and their answers back in order, and reads on only as far as
there is room. Actors on other nodes get the model's files through Ray's object store.
"""

from __future__ import annotations

import json
import logging
import os
import socket
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tokcls
from tokcls.errors import ClusterError, InputError
from tokcls.inference.many import Answer, Answered, Chunk, answered, chunks
from tokcls.inference.predictor import Predictor
from tokcls.inference.records import Record
from tokcls.interrupts import heard_interrupts
from tokcls.loading import Model, load_model
from tokcls.processes import end_children

if TYPE_CHECKING:
    import pyarrow

CPUS = 2
"""of an actor, which holds a model of its own"""
ANSWERS_WITHIN_S = 5.0
GONE_WITHIN_S = 3.0
LOCAL = "leave --address and RAY_ADDRESS out to start Ray on this machine"
CACHES = ["__pycache__", "*.pyc"]


@contextmanager
def on_ray(model: Model, address: str | None, say: Callable[[str], None]) -> Iterator[Answer]:
    """Lend what predicts on the cluster at `address`, else RAY_ADDRESS, else on this machine.

    A Ray of this machine ends with the block.

    Raises:
        ClusterError: it cannot be started or joined, or gives up. What was answered stays.
    """
    try:
        import ray
        from ray.exceptions import RayError
    except ImportError as error:
        raise ClusterError("--ray needs Ray: pip install 'ray[data]==2.60.*'") from error
    address = address or os.environ.get("RAY_ADDRESS") or "local"
    say("starting Ray (7-15 s)" if address == "local" else f"joining Ray at {address}")
    with _core_unheard():
        _connect(address)
        try:
            yield partial(_answers, _send(model, alone=address == "local"))
        except RayError as error:
            said = str(error).strip().splitlines()[-1]
            raise ClusterError(
                f"Ray gave up: {said}; the same command goes on from the answers so far"
            ) from error
        finally:
            ray.shutdown()


@contextmanager
def _core_unheard() -> Iterator[None]:
    """Keep from stderr what Ray's core writes there itself, such as a warning for every actor.

    What ends a run is raised as well.
    """
    with os.fdopen(os.dup(2), "w", buffering=1) as ours, open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 2)
        try:
            with redirect_stderr(ours):
                yield
        finally:
            os.dup2(ours.fileno(), 2)


def _connect(address: str) -> None:
    import ray

    options: dict[str, Any] = {"include_dashboard": False}
    if address != "local":
        _check(address)
        code = {"py_modules": [tokcls.__path__[0]], "excludes": CACHES}
        options = {"runtime_env": code}  # nodes need not have this package
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        with heard_interrupts():
            ray.init(address, log_to_driver=False, logging_level=logging.ERROR, **options)
    except KeyboardInterrupt:
        end_children(within=GONE_WITHIN_S)  # Ray may have been half started
        raise
    except (ConnectionError, ValueError, RuntimeError) as error:
        said = " ".join(str(error).split())[:300]  # Ray tells versions line by line
        raise ClusterError(f"cannot use Ray at {address}: {said}; {LOCAL}") from error


def _check(address: str) -> None:
    """Refuse at once what Ray itself would try for minutes."""
    host, _, port = address.rpartition(":")
    if "://" in address:
        raise ClusterError(
            f"cannot use Ray at {address}: it must be HOST:PORT or `auto`, of a cluster that this "
            f"machine is a node of; run the command there, or {LOCAL}"
        )
    if host and port.isdigit():
        try:
            socket.create_connection((host.strip("[]"), int(port)), ANSWERS_WITHIN_S).close()
        except OSError as error:
            raise ClusterError(
                f"cannot use Ray at {address}: {error}; check the address, or {LOCAL}"
            ) from error


@dataclass(frozen=True)
class _Sent:
    """A model's files where all nodes can have them; a node that has them by itself is `node`."""

    node: str
    top: Path
    named: str
    in_torch: bool
    engine: str
    files: Mapping[str, Any] = field(default_factory=dict)
    """by their places below `top`: references to bytes"""

    def load(self) -> Predictor:
        import ray

        if ray.get_runtime_context().get_node_id() == self.node:
            return self._load(self.top)
        with tempfile.TemporaryDirectory(prefix="model-") as scratch:
            for name, content in self.files.items():
                path = Path(scratch, name)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(ray.get(content))
            return self._load(Path(scratch))

    def _load(self, top: Path) -> Predictor:
        return load_model(str(top / self.named), threads=CPUS, engine=self.engine).predictor


def _send(model: Model, *, alone: bool) -> _Sent:
    """Make a model known to all nodes; nothing need travel to one that is `alone`."""
    import ray

    files = {
        path.relative_to(model.top).as_posix(): ray.put(path.read_bytes())
        for path in (() if alone else model.files)
    }
    node = ray.get_runtime_context().get_node_id()
    engine = model.predictor.engine
    return _Sent(node, model.top, model.named, model.in_torch, engine, files)


def _answers(sent: _Sent, files: Sequence[Path], done: int) -> Iterator[Answered]:
    """Read on this node, predict on all of them, and give the answers here."""
    import ray
    from ray.data import ActorPoolStrategy

    _set_up()
    on_gpu = sent.in_torch and ray.cluster_resources().get("GPU", 0) >= 1  # type: ignore[no-untyped-call]
    read = ray.data.from_items([0], override_num_blocks=1).map_batches(
        partial(_read, files=[path.absolute() for path in files], done=done),
        batch_format="pyarrow",
        num_cpus=0,
        label_selector={"ray.io/node-id": sent.node},
    )
    found = read.map_batches(
        _Actor,
        fn_constructor_args=(sent,),
        batch_format="pyarrow",
        compute=ActorPoolStrategy(min_size=1),
        num_cpus=_cpus(),
        num_gpus=int(on_gpu),
    )
    for row in found.iter_rows():
        if row["wrong"]:
            raise InputError(row["wrong"])
        yield Answered(row["lines"], row["count"], row["end"])


def _set_up() -> None:
    """Keep order, and Ray Data's own words to itself."""
    from ray.data import DataContext

    for handler in logging.getLogger("ray.data").handlers:
        handler.addFilter(_worth_hearing)
    context = DataContext.get_current()
    context.enable_progress_bars = context.print_on_execution_start = False
    context.execution_options.preserve_order = True
    context.target_max_block_size = 1  # a chunk travels as soon as it is read


def _worth_hearing(record: logging.LogRecord) -> bool:
    """Let through what Ray Data waits for; it tells its steps too, and each frame of an error."""
    said = record.getMessage()
    return record.levelno == logging.WARNING and not said.startswith("Progress bars disabled")


def _cpus() -> int:
    """How many CPUs an actor asks for: no more than a node has."""
    import ray

    nodes = [node for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]
    most = max(int(node["Resources"].get("CPU", 0)) for node in nodes)
    return min(CPUS, most) or 1


def _read(_: Any, *, files: Sequence[Path], done: int) -> Iterator[pyarrow.Table]:
    """Read chunks, a row each; what is wrong with the input is the last row."""
    try:
        for chunk in chunks(files, done):
            records = json.dumps([asdict(record) for record in chunk.records])
            yield _row(records=records, end=chunk.end, wrong="")
    except InputError as error:
        yield _row(records="[]", end=0, wrong=str(error))


class _Actor:
    """Holds the model, and answers chunk after chunk."""

    def __init__(self, sent: _Sent) -> None:
        self._predictor = sent.load()

    def __call__(self, rows: pyarrow.Table) -> Iterator[pyarrow.Table]:
        for row in rows.to_pylist():
            records = [
                Record(**{**each, "words": tuple(each["words"])})
                for each in json.loads(row["records"])
            ]
            found = answered(self._predictor, Chunk(tuple(records), row["end"]))
            yield _row(**asdict(found), wrong=row["wrong"])


def _row(**values: str | int) -> pyarrow.Table:
    import pyarrow

    return pyarrow.Table.from_pylist([values])
