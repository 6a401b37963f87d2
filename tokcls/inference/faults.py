"""What nobody foresaw is an answer like any other; the log gets its place, and no text of a user.

Knows nothing of routes.
"""

from __future__ import annotations

import logging
import traceback

from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

ERROR = "the server could not answer; its log says where"

_LOG = logging.getLogger("ray.serve")


class Faults:
    """An ASGI layer around the routes: whatever they raise is logged, and answered with 500.

    Starlette's own handler of all exceptions raises them again, and a server then logs the message,
    which may hold what was sent.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun = False

        async def noted(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await self._app(scope, receive, noted)
        except ClientDisconnect:
            raise
        except Exception as error:
            if begun:  # of the connection, then; only cutting it tells the client
                raise
            _log(error)
            await JSONResponse({"error": ERROR}, status_code=500)(scope, receive, send)


def _log(error: Exception) -> None:
    place = "".join(traceback.format_tb(error.__traceback__))
    _LOG.error("a request failed: %s\n%s", type(error).__name__, place)
