"""The server: one Ray Serve replica that holds one bundle and answers HTTP.

The event loop only reads and writes; the engine runs in a thread of its own, on the texts of all
requests that came in together. No text that a user sent goes to a log.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

from fastapi import FastAPI
from pydantic import BaseModel, ConfigDict, Field
from ray import get_runtime_context, serve

from tokcls.errors import BundleError, without_keys
from tokcls.inference import loopback
from tokcls.inference.answer import answer_each
from tokcls.inference.follow import Follower, Loaded, follow, load
from tokcls.inference.gate import WITHIN_S, Gate
from tokcls.inference.metrics import Metrics
from tokcls.inference.request import Request
from tokcls.inference.settings import EngineName, Settings
from tokcls.inference.shadow import Shadow
from tokcls.inference.sources import Located, challenger, is_alias, locate, version_of
from tokcls.inference.web import build_app

BATCH_WAIT_S = 0.003
"""how long a request waits for others to share its batch"""
WAITING_REQUESTS = 256
"""requests that are inside the replica at once; more are told to ask again"""
BATCH, ON_GPU = 96, 512
"""what requests that share a batch may weigh, in units of eight sub-words: on a CPU no more than
keeps it busy while others are read and answered"""
LANES, LONG_LANES = 2, 2
"""batches that are answered at once: one is split or written while the other is computed; and
requests that are longer than a batch, which nobody should have to wait for"""
FRESH_S = 60.0
"""how long what the registry has said is true enough to begin with"""
BYTES_A_TOKEN, TOKENS_A_TEXT, TOKENS_A_UNIT = 4, 4, 8
"""about what a sub-word takes in UTF-8, and what a text adds: its special ids and its padding"""

_LOG = logging.getLogger("ray.serve")


def weight(requests: Sequence[Request]) -> int:
    """Reckon the sub-words of requests, in eights.

    Counting them would be most of the work of tokenising, and the event loop is here.
    """
    tokens = (TOKENS_A_TEXT * len(one) + one.size // BYTES_A_TOKEN for one in requests)
    return sum(-(-each // TOKENS_A_UNIT) for each in tokens)


class Asked(NamedTuple):
    """A request, and when on the monotonic clock nobody waits for its answer any more."""

    request: Request
    until: float


def _weight(asked: Sequence[Asked]) -> int:
    return weight([one.request for one in asked])


@serve.ingress()
class Replica:
    """One loaded bundle behind HTTP; a model given by name is looked up on the replica's node.

    Where the settings have an alias, the version that it names is followed; the one of `shadow` is
    compared with it.
    """

    def __init__(self, model: Located | str, settings: Settings) -> None:
        if settings.inside:
            loopback.keep_replica()
        threads, engine = settings.threads, _engine(settings)
        self.loaded = load_first(
            model,
            settings.alias,
            lambda it: load(it, threads, engine),
            asked_at=settings.asked_at,
        )
        self.lanes = ThreadPoolExecutor(LANES, thread_name_prefix="answers")
        self.long_lanes = ThreadPoolExecutor(LONG_LANES, thread_name_prefix="long")
        alias = settings.alias
        self.follower = Follower(alias, threads, engine) if alias else None
        self.following = self._follow(self.follower) if self.follower else None
        self.budget = ON_GPU if engine == "torch" else BATCH
        batching: Any = self.answer_batch
        batching.set_max_batch_size(self.budget)
        self.metrics = Metrics()
        self.shadow = Shadow(settings.shadow, engine) if settings.shadow else None
        if self.shadow:
            self.watching = asyncio.get_running_loop().create_task(self.shadow.watch())

    def _follow(self, follower: Follower) -> asyncio.Task[None]:
        watching = follow(follower, lambda: self.loaded, self._swap)
        return asyncio.get_running_loop().create_task(watching)

    def _swap(self, loaded: Loaded) -> None:
        """Answer with another version from the next batch on."""
        self.loaded = loaded

    def __serve_build_asgi_app__(self) -> FastAPI:
        gate = Gate(most=WAITING_REQUESTS)
        return build_app(self.about, self.answer_one, gate, seen=self.metrics.request)

    def about(self) -> dict[str, Any]:
        """Say what answers, what should but cannot, and what is compared with it."""
        version = self.loaded.located.version
        refused = {"refused": self.follower.refused} if self.follower else {}
        compared = {"challenger": self.shadow.about(version)} if self.shadow else {}
        return _describe(self.loaded) | refused | compared

    async def answer_one(self, request: Request) -> bytes:
        """Answer with what came in together, or what is long by itself, until nobody waits."""
        asked = Asked(request, time.monotonic() + WITHIN_S)
        if weight([request]) <= self.budget:
            answered: bytes | Exception = await self.answer_batch(asked)
        else:
            (answered,) = await self.answer_in(self.long_lanes, [asked])
        if isinstance(answered, Exception):
            raise answered
        return answered

    @serve.batch(
        max_batch_size=BATCH,
        batch_wait_timeout_s=BATCH_WAIT_S,
        max_concurrent_batches=LANES,
        batch_size_fn=_weight,
    )
    async def answer_batch(self, asked: list[Asked]) -> list[bytes | Exception]:
        """Answer the requests that came in together."""
        return await self.answer_in(self.lanes, asked)

    async def answer_in(
        self, lanes: ThreadPoolExecutor, asked: Sequence[Asked]
    ) -> list[bytes | Exception]:
        """Answer requests in a thread, as long as anybody waits; what fails is its own answer."""
        loop, loaded, tally = asyncio.get_running_loop(), self.loaded, Counter[str]()
        requests = [one.request for one in asked]
        limited = loaded.predictor.within(max(one.until for one in asked) - time.monotonic())
        answers = await loop.run_in_executor(lanes, answer_each, limited, requests, tally)
        self.metrics.batch(sum(map(len, requests)), min(1.0, weight(requests) / self.budget), tally)
        if self.shadow:
            self.shadow.offer(loaded.located.version, requests, answers)
        return answers


def load_first(
    model: Located | str,
    alias: str | None,
    load_it: Callable[[Located], Loaded],
    *,
    asked_at: float = 0.0,
) -> Loaded:
    """Load what a replica begins with: what the alias names now, else what the server began with.

    That is the same where the server has just asked, at `asked_at` (seconds since 1970).

    Raises:
        BundleError: neither can be used.
    """
    if isinstance(model, str):
        return load_it(locate(model))
    if alias is None:
        return load_it(model)
    try:
        # To ask, MLflow has to be imported, which takes as long as all the rest.
        if time.time() - asked_at > FRESH_S and version_of(alias) != model.version:
            return load_it(locate(alias))
    except Exception as error:  # whatever it is, what served before may still
        said = without_keys(f"{type(error).__name__}: {error}")
        _LOG.warning("%s cannot be used now: %s", alias, said)
    try:
        return load_it(model)
    except BundleError:  # its folder may be gone
        return load_it(locate(alias))


def _engine(settings: Settings) -> str:
    """Choose for `auto`: torch where Ray has given this replica a GPU, else ONNX Runtime."""
    if settings.engine != "auto":
        return settings.engine
    return "torch" if get_runtime_context().get_accelerator_ids().get("GPU") else "fp32"


def _describe(loaded: Loaded) -> dict[str, Any]:
    located, manifest = loaded.located, loaded.predictor.manifest
    return {
        "name": located.name,
        "version": located.version or manifest.files["model.onnx"][:12],
        "engine": loaded.predictor.engine,
        "scheme": manifest.schema.scheme,
        "types": list(manifest.schema.types),
        "decoding": manifest.decoding,
        "receipt": dict(manifest.receipt),
        "metrics": dict(manifest.metrics),
    }


class ServedModel(BaseModel):
    """What `args` of a Serve config file may say of the model."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str
    """a bundle's folder that every node sees, models:/NAME@ALIAS or models:/NAME/VERSION"""
    threads: int | None = Field(default=None, ge=1)
    """the engine's, default all CPUs of the node"""
    engine: EngineName = "auto"
    shadow: str | None = None
    """an alias, such as challenger: the version that has it is compared with what answers"""


def build(args: Mapping[str, Any]) -> serve.Application:
    """Build the application for a Serve config file: `import_path: tokcls.inference.app:build`.

    `args` are those of `ServedModel`; pydantic's ValidationError says what is wrong with them.

    Raises:
        BundleError: `shadow` is given for a model that is not named by an alias.
    """
    served = ServedModel.model_validate(dict(args))
    alias = served.model if is_alias(served.model) else None
    compared = challenger(alias, served.shadow)
    return application(served.model, Settings(served.threads, served.engine, alias, compared))


def application(model: Located | str, settings: Settings) -> serve.Application:
    """Make the application of a model on the driver's disk, or of one that replicas look up."""
    deployment = serve.deployment(
        name="ner",
        max_ongoing_requests=2 * WAITING_REQUESTS,  # Serve would refuse without Retry-After
        graceful_shutdown_timeout_s=WITHIN_S + 5.0,  # as long as a request may take, and more
        graceful_shutdown_wait_loop_s=0.1,
        max_constructor_retry_count=1,
        logging_config={"enable_access_log": False},
        ray_actor_options=settings.resources(),
        **settings.scale(),
    )(Replica)
    return deployment.bind(model, settings)
