"""The server: one Ray Serve replica that holds one bundle and answers HTTP.

The event loop only reads and writes; the engine runs in a thread of its own, on the texts of all
requests that came in together. No text that a user sent goes to a log.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import time
import traceback
import urllib.request
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import ray
from fastapi import FastAPI, HTTPException
from pydantic import BaseModel, ConfigDict, Field
from ray import serve
from ray._private import ray_constants

from tokcls.errors import BundleError, InputError, TokclsError
from tokcls.inference.answer import answer
from tokcls.inference.follow import Follower, Loaded, follow, load
from tokcls.inference.gate import Gate
from tokcls.inference.metrics import Metrics, metrics_url
from tokcls.inference.request import MAX_TEXTS, Request
from tokcls.inference.shadow import Shadow
from tokcls.inference.sources import Located, challenger, is_alias, locate
from tokcls.inference.web import build_app

BATCH_WAIT_S = 0.003
"""how long a request waits for others to share its batch"""
WAITING_REQUESTS = 256
"""requests that are inside the replica at once; more are told to ask again"""
OF_A_TEXT = 1000
"""characters that count as a text of their own"""
HEALTHY_WITHIN_S = 60.0
LOOPBACK = ("127.0.0.1", "localhost")

_LOG = logging.getLogger("ray.serve")


class PortInUse(TokclsError):
    """The address to listen on is taken, or is none of this machine's."""


def weight(requests: Sequence[Request]) -> int:
    """How much of a batch requests take: a text counts once, a long one for its length."""
    return sum(min(MAX_TEXTS, max(len(one), one.characters // OF_A_TEXT)) for one in requests)


@serve.ingress()
class Replica:
    """One loaded bundle behind HTTP; a model given by name is looked up on the replica's node.

    Where `alias` (models:/NAME@ALIAS) is given, the version that it names is followed; the one that
    `shadow` (the same) names is compared with it.
    """

    def __init__(
        self, model: Located | str, threads: int | None, alias: str | None, shadow: str | None
    ) -> None:
        located = locate(model) if isinstance(model, str) else model
        try:
            self.loaded = load(located, threads)
        except BundleError:
            if alias is None:
                raise
            self.loaded = load(locate(alias), threads)  # what it was started with may be gone
        self.lane = ThreadPoolExecutor(max_workers=1, thread_name_prefix="engine")
        self.following = self._follow(alias, threads) if alias else None
        self.metrics = Metrics()
        self.shadow = Shadow(shadow) if shadow else None
        if self.shadow:
            self.watching = asyncio.get_running_loop().create_task(self.shadow.watch())

    def _follow(self, alias: str, threads: int | None) -> asyncio.Task[None]:
        watching = follow(Follower(alias, threads), lambda: self.loaded, self._swap)
        return asyncio.get_running_loop().create_task(watching)

    def _swap(self, loaded: Loaded) -> None:
        """Answer with another version from the next batch on."""
        self.loaded = loaded

    def __serve_build_asgi_app__(self) -> FastAPI:
        gate = Gate(most=WAITING_REQUESTS)
        return build_app(self.about, self.answer_one, gate, seen=self.metrics.request)

    def about(self) -> dict[str, Any]:
        """Say what answers, and what is compared with it."""
        version = self.loaded.located.version
        compared = {"challenger": self.shadow.about(version)} if self.shadow else {}
        return _describe(self.loaded) | compared

    async def answer_one(self, request: Request) -> bytes:
        """Answer through the batch; a fault is logged by its place, without what caused it."""
        try:
            return bytes(await self.answer_batch(request))
        except InputError:
            raise
        except Exception as error:
            place = "".join(traceback.format_tb(error.__traceback__))
            _LOG.error("prediction failed: %s\n%s", type(error).__name__, place)
            raise HTTPException(500, "the server could not answer; its log says where") from None

    @serve.batch(
        max_batch_size=MAX_TEXTS,
        batch_wait_timeout_s=BATCH_WAIT_S,
        batch_size_fn=weight,
    )
    async def answer_batch(self, requests: list[Request]) -> list[bytes]:
        """Answer the requests that came in together."""
        loop, loaded, tally = asyncio.get_running_loop(), self.loaded, Counter[str]()
        answers = await loop.run_in_executor(self.lane, answer, loaded.predictor, requests, tally)
        self.metrics.batch(sum(map(len, requests)), tally)
        if self.shadow:
            self.shadow.offer(loaded.located.version, requests, answers)
        return answers


def _describe(loaded: Loaded) -> dict[str, Any]:
    located, manifest = loaded.located, loaded.predictor.manifest
    return {
        "name": located.name,
        "version": located.version or manifest.files["model.onnx"][:12],
        "scheme": manifest.schema.scheme,
        "types": list(manifest.schema.types),
        "decoding": manifest.decoding,
        "receipt": dict(manifest.receipt),
        "metrics": dict(manifest.metrics),
    }


@dataclass(frozen=True)
class Server:
    """A running server; `close` ends it, and Ray too if Ray was started for it."""

    url: str
    owns_ray: bool

    def close(self) -> None:
        """Stop answering and free every process."""
        if self.owns_ray:
            ray.shutdown()
        else:
            serve.shutdown()  # type: ignore[no-untyped-call]


def check_port(host: str, port: int, option: str = "--port") -> None:
    """Try the address alone, since Ray Serve's proxy would share a taken port without a word.

    Raises:
        PortInUse: something listens there, or the address cannot be used.
    """
    try:
        # Listening fails beside any other listener, but not because of connections just closed.
        socket.create_server((host, port)).close()
    except OSError as error:
        raise PortInUse(
            f"port {port} is in use or not usable on {host} ({error.strerror or error}); "
            f"stop what listens there, or choose another with {option}"
        ) from error


def serve_model(
    located: Located,
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    threads: int | None = None,
    alias: str | None = None,
    shadow: str | None = None,
    metrics_port: int | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> Server:
    """Serve a bundle over HTTP and return when it answers.

    Uses Ray if it is initialised, else starts it on this machine alone. `threads` is the engine's,
    default all CPUs; `alias` (models:/NAME@ALIAS) is followed, if it is given, and `shadow` (the
    same) compared with it; `metrics_port` is where a Ray that is started here exports its metrics,
    default any; `say` hears what is being waited for.

    Raises:
        PortInUse: the address is taken.
        BundleError: the bundle cannot be loaded.
        TokclsError: the server did not come up.
    """
    check_port(host, port)
    if metrics_port is not None:
        check_port(host, metrics_port, "--metrics-port")
    load(located, 1)
    server = Server(f"http://{_reachable(host)}:{port}", owns_ray=not ray.is_initialized())
    try:
        if server.owns_ray:
            say("starting Ray (7-15 s)")
            _start_ray(host, metrics_port)
        say("starting the server and loading the model (5-10 s)")
        _deploy(_application(located, threads, alias, shadow), host, port)
        _await_health(server.url)
        say(f"metrics for Prometheus: {metrics_url()}")
    except BaseException:
        server.close()
        raise
    return server


def _start_ray(host: str, metrics_port: int | None) -> None:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    if host in LOOPBACK:
        # Else Ray's ports, that of the metrics among them, are open on every interface. It is how
        # Ray itself starts where it has no clusters; its processes read it from the environment.
        os.environ[ray_constants.ENABLE_RAY_CLUSTERS_ENV_VAR] = "0"
        ray_constants.ENABLE_RAY_CLUSTER = False
    # Serving asks the dashboard for nothing, and it is Ray's slowest part to start. The agent that
    # exports metrics starts all the same.
    ray.init(
        address="local",
        include_dashboard=False,
        log_to_driver=True,
        _metrics_export_port=metrics_port,
    )


class ServedModel(BaseModel):
    """What `args` of a Serve config file may say of the model."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str
    """a bundle's folder that every node sees, models:/NAME@ALIAS or models:/NAME/VERSION"""
    threads: int | None = Field(default=None, ge=1)
    """the engine's, default all CPUs of the node"""
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
    return _application(served.model, served.threads, alias, challenger(alias, served.shadow))


def _application(
    model: Located | str, threads: int | None, alias: str | None, shadow: str | None
) -> serve.Application:
    deployment = serve.deployment(
        name="ner",
        num_replicas=1,
        max_ongoing_requests=2 * WAITING_REQUESTS,  # Serve would refuse without Retry-After
        graceful_shutdown_timeout_s=2.0,
        graceful_shutdown_wait_loop_s=0.1,
        max_constructor_retry_count=1,
        logging_config={"enable_access_log": False},
    )(Replica)
    return deployment.bind(model, threads, alias, shadow)


def _deploy(application: serve.Application, host: str, port: int) -> None:
    try:
        serve.start(proxy_location="HeadOnly", http_options={"host": host, "port": port})
        serve.run(application, name="ner", route_prefix="/")
    except RuntimeError as error:
        raise TokclsError(f"the server did not start: {error}") from error


def _await_health(url: str) -> None:
    until = time.monotonic() + HEALTHY_WITHIN_S
    while True:
        try:
            urllib.request.urlopen(f"{url}/healthz", timeout=5).close()
            return
        except OSError as error:
            if time.monotonic() > until:
                raise TokclsError(
                    f"{url}/healthz did not answer within {HEALTHY_WITHIN_S:.0f} s ({error})"
                ) from error
            time.sleep(0.1)


def _reachable(host: str) -> str:
    """Where to call a server that listens on `host`: 0.0.0.0 is every address and none."""
    return "127.0.0.1" if host == "0.0.0.0" else host
