"""The HTTP application: routes, limits and errors, whatever answers behind them.

Every answer that is not the one asked for has the body `{"error": text}`. Knows nothing of Ray.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import FastAPI
from fastapi import Request as HttpRequest
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException

from tokcls.errors import InputError
from tokcls.inference.request import MAX_BODY, RefusedRequest, Request, read_request

Answer = Callable[[Request], Awaitable[bytes]]


def build_app(about: dict[str, Any], answer_one: Answer) -> FastAPI:
    """Build the application.

    `about` is what GET /model says; `answer_one` gives a request's answer as JSON text.
    """
    app = FastAPI(
        title="Named entity recognition",
        version=str(about["version"]),
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )

    async def predict(http: HttpRequest) -> Response:
        """Find the entities of a text, of several texts, or of texts already split into words."""
        request = read_request(await _read_body(http), http.headers.get("content-type"))
        return Response(await answer_one(request), media_type="application/json")

    async def healthz() -> dict[str, str]:
        """Say that the model is loaded and answers."""
        return {"status": "ok"}

    async def model() -> dict[str, Any]:
        """Say which model answers."""
        return about

    for path in ("/predict", "/"):
        app.add_api_route(path, predict, methods=["POST"], openapi_extra=_BODY, responses=_ANSWER)
    app.add_api_route("/healthz", healthz, methods=["GET", "HEAD"])
    app.add_api_route("/model", model, methods=["GET"])
    app.add_exception_handler(InputError, _refused)
    app.add_exception_handler(HTTPException, _failed)
    return app


async def _read_body(http: HttpRequest) -> bytes:
    body = bytearray()
    async for chunk in http.stream():
        body += chunk
        if len(body) > MAX_BODY:
            raise RefusedRequest(
                f"a request's body may have {MAX_BODY:,} bytes; send several requests", status=413
            )
    return bytes(body)


async def _refused(_: HttpRequest, error: Exception) -> JSONResponse:
    return JSONResponse({"error": str(error)}, status_code=getattr(error, "status", 400))


async def _failed(http: HttpRequest, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    hints = {
        404: f"there is no {http.url.path[:200]}; use POST /predict, GET /healthz or GET /model",
        405: f"{http.url.path[:200]} does not take {http.method}; use POST /predict, GET /model",
    }
    text = hints.get(error.status_code, error.detail)
    return JSONResponse({"error": text}, status_code=error.status_code, headers=error.headers)


_TEXT = {"type": "string"}
_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "properties": {
                        "inputs": {"oneOf": [_TEXT, {"type": "array", "items": _TEXT}]},
                        "words": {"type": "array", "items": {"type": "array", "items": _TEXT}},
                        "parameters": {"type": "object", "maxProperties": 0},
                    },
                    "oneOf": [{"required": ["inputs"]}, {"required": ["words"]}],
                    "additionalProperties": False,
                },
                "example": {"inputs": "Ada Lovelace was born in London."},
            }
        },
    }
}
_ANSWER: dict[int | str, dict[str, Any]] = {
    200: {"description": "a list of entities, or for several texts a list of such lists"},
    **{
        status: {"description": f'{why}: {{"error": text}}'}
        for status, why in (
            (400, "not what may be asked"),
            (413, "too large"),
            (415, "not JSON by its content type"),
            (500, "a fault of the server"),
        )
    },
}
