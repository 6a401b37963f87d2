"""What the tests of clusters run in processes of their own: `python -m ... NAME ARGUMENTS`.

Each prints one JSON object as its last line. None of it is found by workers of a joined cluster:
what they run is pickled by value, or the project's own.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sweeps.errors import ResourceError
from sweeps.search.cluster import cluster_address, ray_session

WAIT_S = 60.0


def killed_controller(folder: str) -> dict[str, Any]:
    """On a local cluster, kill a Train controller whose workers train; say what is still held."""
    from ray.train import RunConfig, ScalingConfig
    from ray.train.v2.api.data_parallel_trainer import DataParallelTrainer

    from tests.sweeps.search.slots_small import held

    session = ray_session(None, Path(folder) / "ray.log")
    training = Path(folder) / "training"
    trainer = DataParallelTrainer(
        wait_here,
        train_loop_config={"file": str(training)},
        scaling_config=ScalingConfig(num_workers=1),
        run_config=RunConfig(name="killed", storage_path=folder),
    )
    ended: list[str] = []
    thread = threading.Thread(target=_fit, args=(trainer, ended))
    thread.start()
    _until(training.exists)
    time.sleep(2.0)  # Ray's cleaner is told of the group when it trains already
    taken = held(seconds=0.0)
    for pid in _controllers():
        os.kill(pid, signal.SIGKILL)
    thread.join()
    left = held()
    session.close()
    return {"taken": taken.get("CPU", 0.0), "ended": ended, "left": left}


def wait_here(loop: dict[str, Any]) -> None:
    """Train for longer than any test."""
    Path(loop["file"]).touch()
    time.sleep(600)


def _fit(trainer: Any, ended: list[str]) -> None:
    try:
        trainer.fit()
    except Exception as error:
        ended.append(type(error).__name__)


def _controllers() -> list[int]:
    import ray
    from ray.util.state import list_actors

    address = ray.get_runtime_context().gcs_address
    alive = list_actors(address=address, filters=[("state", "=", "ALIVE")])
    return [each.pid for each in alive if "TrainController" in each.class_name and each.pid]


def _until(done: Callable[[], bool]) -> None:
    end = time.monotonic() + WAIT_S
    while not done():
        if time.monotonic() > end:
            raise TimeoutError(f"not within {WAIT_S} s")
        time.sleep(0.1)


def join(address: str, folder: str) -> dict[str, Any]:
    """Join a cluster; say why not, or where each of its nodes found the project's code."""
    log = Path(folder) / "join.log"
    try:
        session = ray_session(cluster_address(address), log)
    except ResourceError as error:
        return {"refused": str(error)}
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    def where() -> list[str]:
        import sweeps.search.slot
        import tokcls.bundled

        return [str(module.__file__) for module in (sweeps.search.slot, tokcls.bundled)]

    def on(node: str) -> Any:
        return NodeAffinitySchedulingStrategy(node, soft=False)

    task = ray.remote(num_cpus=0)(where)
    nodes = [node["NodeID"] for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]
    found = ray.get([task.options(scheduling_strategy=on(node)).remote() for node in nodes])
    session.close()
    return {"joined": session.joined, "found": found}


def join_twice(address: str, folder: str) -> dict[str, Any]:
    """Join a cluster that says first, for a moment, that it was started with another Ray."""
    from ray._private.ray_constants import KV_NAMESPACE_CLUSTER
    from ray._raylet import GcsClient  # type: ignore[attr-defined]

    kept = GcsClient(address=address)
    key = b"CLUSTER_METADATA"
    true: Any = kept.internal_kv_get(key, namespace=KV_NAMESPACE_CLUSTER)
    other = json.dumps(json.loads(true) | {"ray_version": "1.2.3"}).encode()
    kept.internal_kv_put(key, other, True, namespace=KV_NAMESPACE_CLUSTER)
    try:
        refused = join(address, folder)
    finally:
        kept.internal_kv_put(key, true, True, namespace=KV_NAMESPACE_CLUSTER)
    return refused | join(address, folder)


if __name__ == "__main__":
    print(json.dumps(globals()[sys.argv[1]](*sys.argv[2:])))
