"""What a replica counts, for Prometheus: Ray exports it from each node, as `ray_ner_...`.

No label holds what a user sent: routes are the application's, types the model's.
"""

from __future__ import annotations

from collections.abc import Mapping

import ray
from ray.util.metrics import Counter, Histogram

SECONDS = [0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0]
FILL = [0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0]
TEXTS = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0]


class Metrics:
    """Counters and histograms of one replica. Cheap enough to be told from the event loop."""

    def __init__(self) -> None:
        self._requests = Counter(
            "ner_requests",
            "requests by route and status; 499: the client went before the answer",
            ("route", "status"),
        )
        self._seconds = Histogram(
            "ner_request_seconds",
            "from a request's head to the end of its answer",
            SECONDS,
            ("route",),
        )
        self._batches = Histogram("ner_batch_texts", "texts that were answered together", TEXTS)
        self._fill = Histogram("ner_batch_fill", "share of a batch's budget that was used", FILL)
        self._texts = Counter("ner_texts", "texts that were answered")
        self._entities = Counter("ner_entities", "entities in answers, by type", ("type",))

    def request(self, route: str, status: int, seconds: float) -> None:
        """Count a request that is over."""
        self._requests.inc(tags={"route": route, "status": str(status)})
        self._seconds.observe(seconds, {"route": route})

    def batch(self, texts: int, fill: float, entities: Mapping[str, int]) -> None:
        """Count a batch that was answered, how full it was (0 to 1), and entities by type."""
        if not texts:  # a request may hold none
            return
        self._batches.observe(texts)
        self._fill.observe(fill)
        self._texts.inc(texts)
        for kind, number in entities.items():
            self._entities.inc(number, {"type": kind})


def metrics_url() -> str:
    """Give the address at which this node exports, once Ray runs."""
    nodes = ray.nodes()  # type: ignore[no-untyped-call]
    here = ray.get_runtime_context().get_node_id()
    (node,) = (node for node in nodes if node["NodeID"] == here)
    return f"http://{node['NodeManagerAddress']}:{node['MetricsExportPort']}/metrics"
