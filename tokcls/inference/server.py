"""A server on this machine: Ray, an ingress and replicas, from the start until all is gone."""

from __future__ import annotations

import errno
import os
import socket
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, replace

import ray
from ray import serve

from tokcls.errors import TokclsError
from tokcls.inference import loopback
from tokcls.inference.app import application
from tokcls.inference.follow import try_out
from tokcls.inference.metrics import metrics_url
from tokcls.inference.settings import Listening, Settings, gpu_share, usable_cpus
from tokcls.inference.sources import Located

STARTED_WITHIN_S = 300.0
"""how long the replicas may take to load the model; a large one, with torch's start, takes one"""
HEALTHY_WITHIN_S = 60.0
APPLICATION = "ner"
# A proxy that the environment names for http does not know what 127.0.0.1 is here.
_DIRECTLY = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class PortInUse(TokclsError):
    """The address to listen on is taken, or is none of this machine's."""


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
        # HAProxy is told of addresses as those of IPv4 are written.
        socket.getaddrinfo(host, port, socket.AF_INET)
        # Listening fails beside any other listener, but not because of connections just closed.
        socket.create_server((host, port)).close()
    except OSError as error:
        remedy = f"stop what listens there, or choose another with {option}"
        if error.errno in (errno.EADDRNOTAVAIL, None) or isinstance(error, socket.gaierror):
            remedy = "choose an IPv4 address of this machine, or its name, with --host"
        raise PortInUse(
            f"port {port} is in use or not usable on {host} ({error.strerror or error}); {remedy}"
        ) from error


def serve_model(
    located: Located,
    settings: Settings,
    listening: Listening,
    *,
    say: Callable[[str], None] = lambda _: None,
) -> Server:
    """Serve a bundle over HTTP and return when it answers.

    Uses Ray if it is initialised, else starts it on this machine alone; `say` hears what is being
    waited for.

    Raises:
        PortInUse: the address is taken.
        BundleError: the bundle cannot be loaded.
        TokclsError: the server did not come up.
    """
    check_port(listening.host, listening.port)
    if listening.metrics_port is not None:
        check_port(listening.host, listening.metrics_port, "--metrics-port")
    # Without torch's start. What was fetched stays for the replicas.
    try_out(located, 1, "int8" if settings.engine == "int8" else "fp32")
    server = Server(
        f"http://{_reachable(listening.host)}:{listening.port}", owns_ray=not ray.is_initialized()
    )
    try:
        if server.owns_ray:
            say("starting Ray (7-15 s)")
            _start_ray(listening)
        say("starting the server and loading the model (5-10 s)")
        inside = server.owns_ray and loopback.is_loopback(listening.host)
        settings = replace(settings, gpus=_gpus(settings), inside=inside)
        _deploy(application(located, settings), listening)
        _await_replicas(settings)
        await_health(server.url)
        say(f"metrics for Prometheus: {metrics_url()}")
    except BaseException:
        server.close()
        raise
    return server


def _start_ray(listening: Listening) -> None:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    if loopback.is_loopback(listening.host):
        loopback.keep_ray()
    # Serving asks the dashboard for nothing, and it is Ray's slowest part to start. The agent that
    # exports metrics starts all the same.
    ray.init(
        address="local",
        num_cpus=usable_cpus(),  # Ray by itself rounds a container's share down
        include_dashboard=False,
        log_to_driver=True,
        _metrics_export_port=listening.metrics_port,
    )


def _gpus(settings: Settings) -> float:
    """Give each replica its part of the GPUs that Ray has, if its engine could use one."""
    if settings.engine not in ("auto", "torch"):
        return 0
    resources: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
    return gpu_share(settings.most, int(resources.get("GPU", 0)))


def _deploy(application: serve.Application, listening: Listening) -> None:
    http = {"host": listening.host, "port": listening.port}
    try:
        serve.start(proxy_location="HeadOnly", http_options=http)
        target = serve.RunTarget(application, name=APPLICATION, route_prefix="/")
        serve.run_many([target], wait_for_applications_running=False)
    except (RuntimeError, TimeoutError) as error:
        raise TokclsError(f"the server did not start: {error}") from error


def _await_replicas(settings: Settings) -> None:
    """Return when the replicas have loaded the model; Serve itself would wait without end.

    Raises:
        TokclsError: they cannot, or do not in time.
    """
    until = time.monotonic() + STARTED_WITHIN_S
    while (told := serve.status().applications[APPLICATION]).status != "RUNNING":
        said = " ".join(each.message for each in told.deployments.values()) or told.message
        if told.status == "DEPLOY_FAILED":
            reason = said.strip().rpartition("\n")[2]  # of a traceback, which the log has whole
            raise TokclsError(f"the server did not start: {reason}")
        if time.monotonic() > until:
            raise TokclsError(
                f"the server did not start within {STARTED_WITHIN_S:.0f} s: {_wanted(settings)}; "
                f"ask for less with --replicas and --threads, or free some. {said}"
            )
        time.sleep(0.1)


def _wanted(settings: Settings) -> str:
    free: dict[str, float] = ray.available_resources()  # type: ignore[no-untyped-call]
    each = settings.resources()
    return (
        f"each of {settings.fewest} replicas wants {each['num_cpus']:g} CPUs and "
        f"{each['num_gpus']:g} GPUs, and {free.get('CPU', 0):g} and {free.get('GPU', 0):g} are free"
    )


def await_health(url: str, *, within: float = HEALTHY_WITHIN_S) -> None:
    """Return when a server answers.

    Raises:
        TokclsError: it does not do so in time.
    """
    until = time.monotonic() + within
    while True:
        try:
            _DIRECTLY.open(f"{url}/healthz", timeout=5).close()
            return
        except OSError as error:
            if time.monotonic() > until:
                raise TokclsError(
                    f"{url}/healthz did not answer within {within:.0f} s ({error})"
                ) from error
            time.sleep(0.1)


def _reachable(host: str) -> str:
    """Where to call a server that listens on `host`: 0.0.0.0 is every address and none."""
    return "127.0.0.1" if host == "0.0.0.0" else host
