"""Tells of every HTTP request, when it is over, which route it took and how it ended.

Knows nothing of who counts it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

CLIENT_GONE = 499
OTHER = "other"

Seen = Callable[[str, int, float], None]
"""route, status and seconds of a request"""


class Watched:
    """An ASGI layer around the routes; paths that are none of `routes` are told as `other`."""

    def __init__(self, app: ASGIApp, routes: Collection[str], seen: Seen) -> None:
        self._app, self._routes, self._seen = app, frozenset(routes), seen

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status = CLIENT_GONE

        async def noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        began = time.perf_counter()
        try:
            await self._app(scope, receive, noted)
        except ClientDisconnect:
            raise
        except Exception:
            status = 500  # what the server around the application makes of it
            raise
        finally:
            route = scope["path"] if scope["path"] in self._routes else OTHER
            self._seen(route, status, time.perf_counter() - began)
