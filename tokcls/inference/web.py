"""The HTTP application: routes, limits and errors, whatever answers behind them.

Every answer that is not the one asked for has the body `{"error": text}`. Knows nothing of Ray.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from fastapi import FastAPI
from fastapi import Request as HttpRequest
from fastapi.openapi.utils import get_openapi
from fastapi.responses import HTMLResponse, JSONResponse, Response
from fastapi_offline import FastAPIOffline
from starlette.exceptions import HTTPException

from tokcls.errors import InputError
from tokcls.inference.contract import Answer, PredictRequest, Refusal, schemas
from tokcls.inference.faults import Faults
from tokcls.inference.gate import Gate, Refused
from tokcls.inference.page import headers, page
from tokcls.inference.request import MAX_BODY, RefusedRequest, Request, read_request
from tokcls.inference.watched import Seen, Watched

AnswerOne = Callable[[Request], Awaitable[bytes]]
POINT = "#/components/schemas/"
PASSED_OVER = 64_000_000
"""bytes that are read of a body that is not let in: many clients hear nothing before all is sent"""
OF_FILES = ("GET", "HEAD")
"""methods that the documentation's files take, which are no routes"""
GUARDED = (("/", "post"), ("/predict", "post"), ("/model", "get"))  # where a token may be wanted


def build_app(
    about: Callable[[], dict[str, Any]],
    answer_one: AnswerOne,
    gate: Gate | None = None,
    *,
    seen: Seen | None = None,
) -> FastAPI:
    """Build the application.

    `about` gives what GET /model says; `answer_one` gives a request's answer as JSON text; `gate`
    says who is let in, default as the environment has it; `seen` is told of each request.
    """
    guard = gate or Gate()
    app = FastAPIOffline(
        title="Named entity recognition",
        redoc_url=None,
        redirect_slashes=False,
    )
    _add_answers(app, guard, answer_one)
    _add_facts(app, guard, about)
    app.add_exception_handler(InputError, _refused)
    app.add_exception_handler(Refused, _refused)
    app.add_exception_handler(HTTPException, _failed)
    app.add_middleware(Faults)
    app.openapi = lambda: _openapi(app)  # type: ignore[method-assign]
    if seen is not None:
        routes = [getattr(route, "path", "") for route in app.routes]
        app.add_middleware(Watched, routes=routes, seen=seen)
    return app


def _add_answers(app: FastAPI, guard: Gate, answer_one: AnswerOne) -> None:
    async def predict(http: HttpRequest) -> Response:
        """Find the entities of a text, of several texts, or of texts already split into words."""
        guard.check(http.headers.get("authorization"))
        answer = await guard.through(_answered(http, answer_one, guard))
        return Response(answer, media_type="application/json")

    async def try_it() -> HTMLResponse:
        """A page to try the model."""
        return HTMLResponse(page(), headers=headers())

    for path in ("/predict", "/"):
        app.add_api_route(path, predict, methods=["POST"], openapi_extra=_BODY, responses=_ANSWERS)
    app.add_api_route("/", try_it, methods=["GET"], response_class=HTMLResponse)
    app.add_api_route("/", try_it, methods=["HEAD"], include_in_schema=False)


def _add_facts(app: FastAPI, guard: Gate, about: Callable[[], dict[str, Any]]) -> None:
    async def healthz() -> dict[str, str]:
        """Say that the model is loaded and answers."""
        return {"status": "ok"}

    async def model(http: HttpRequest) -> dict[str, Any]:
        """Say which model answers, what it scored, and on what."""
        guard.check(http.headers.get("authorization"))
        return about()

    app.add_api_route("/healthz", healthz, methods=["GET"])
    app.add_api_route("/healthz", healthz, methods=["HEAD"], include_in_schema=False)
    app.add_api_route("/model", model, methods=["GET"])


async def _answered(http: HttpRequest, answer_one: AnswerOne, guard: Gate) -> bytes:
    """Read and answer; a client that sends slowly counts, and is given up, as one that waits."""
    chunks = http.stream()
    try:
        _check_encoding(http.headers.get("content-encoding", "identity"))
        with guard.holding() as grow:
            body = await _read_body(chunks, grow)
            return await answer_one(read_request(body, http.headers.get("content-type")))
    except (Refused, RefusedRequest):
        await _pass_over(chunks)  # what is held of it is given up by now
        raise


def _check_encoding(encoding: str) -> None:
    if encoding.strip().lower() != "identity":
        raise RefusedRequest(
            f"the body must not be compressed, got {encoding[:100]!r}; leave out Content-Encoding",
            status=415,
        )


async def _read_body(chunks: AsyncIterator[bytes], grow: Callable[[int], None]) -> bytes:
    body = bytearray()
    async for chunk in chunks:
        if len(body) + len(chunk) > MAX_BODY:
            raise RefusedRequest(
                f"a request's body may have {MAX_BODY:,} bytes; send several requests", status=413
            )
        grow(len(chunk))
        body += chunk
    return bytes(body)


async def _pass_over(chunks: AsyncIterator[bytes]) -> None:
    size = 0
    async for chunk in chunks:
        size += len(chunk)
        if size > PASSED_OVER:
            break


async def _refused(_: HttpRequest, error: Exception) -> JSONResponse:
    status, added = getattr(error, "status", 400), getattr(error, "headers", None)
    return JSONResponse({"error": str(error)}, status_code=status, headers=added)


async def _failed(http: HttpRequest, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    hints = {
        404: f"there is no {http.url.path[:200]}; use POST /predict, GET /healthz or GET /model",
        405: f"{http.url.path[:200]} does not take {http.method}; use POST /predict, GET /model",
    }
    text, headers = hints.get(error.status_code, error.detail), error.headers
    if error.status_code == 405:  # the methods of all routes of the path, not of the first alone
        headers = {"Allow": ", ".join(_methods(http))}
    return JSONResponse({"error": text}, status_code=error.status_code, headers=headers)


def _methods(http: HttpRequest) -> list[str]:
    routes = [route for route in http.app.routes if getattr(route, "path", "") == http.url.path]
    methods = {method for route in routes for method in getattr(route, "methods", ()) or ()}
    return sorted(methods or OF_FILES)


def _openapi(app: FastAPI) -> dict[str, Any]:
    """Describe the routes, and the models that are read and written by hand."""
    if app.openapi_schema is None:
        described = get_openapi(title=app.title, version=app.version, routes=app.routes)
        components = described.setdefault("components", {})
        components.setdefault("schemas", {}).update(schemas())
        components["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
        for path, method in GUARDED:
            described["paths"][path][method]["security"] = [{}, {"token": []}]
        app.openapi_schema = described
    return app.openapi_schema


def _json(model: type[Any]) -> dict[str, Any]:
    return {"application/json": {"schema": {"$ref": f"{POINT}{model.__name__}"}}}


_BODY: dict[str, Any] = {"requestBody": {"required": True, "content": _json(PredictRequest)}}
_REFUSALS = {
    400: "not what may be asked",
    401: "without the token that this server wants",
    413: "too large",
    415: "not JSON by its content type",
    500: "a fault of the server",
    503: "too many requests at once; Retry-After says when to ask again",
    504: "no answer in time",
}
_ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {"description": "the entities", "content": _json(Answer)},
    **{
        status: {"description": text, "content": _json(Refusal)}
        for status, text in _REFUSALS.items()
    },
}
