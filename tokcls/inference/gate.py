"""Who is let in: holders of the token, as many at once as can be answered, for so long each."""

from __future__ import annotations

import asyncio
import hmac
import os
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from tokcls.errors import TokclsError

TOKEN = "SERVE_TOKEN"
BLANKS = " \t"
"""what may stand around a header's value; other white space is part of a token"""
RETRY_AFTER_S = 1
WITHIN_S = 60.0
"""how long a request may take; then nobody waits for its answer"""
MOST_BYTES = 32_000_000
"""bytes of bodies that are being read or answered: what is made of them is many times as large"""


class BlankToken(TokclsError):
    """A token is set and holds nothing: whoever set it wanted one, so nobody is let in for it."""


class Refused(Exception):
    """A request that is not let in, or was given up; `headers` say what would help."""

    def __init__(self, status: int, text: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(text)
        self.status, self.headers = status, headers or {}


def token_wanted() -> str:
    """Read the token of the environment; empty where none is set.

    Raises:
        BlankToken: it is set, and blank.
    """
    token = os.environ.get(TOKEN)
    if token is None:
        return ""
    if not token.strip():
        raise BlankToken(
            f"{TOKEN} is set but blank ({token!r}), which would let everybody in; give it a token, "
            "or unset it to want none"
        )
    return token


@dataclass
class Gate:
    """Counts the requests that are inside; one event loop at a time.

    `token` is asked of everybody if it is not empty. `most` requests are inside at once, their
    bodies `most_bytes` together; each is given up after `within` seconds.
    """

    token: str = field(default_factory=token_wanted)
    most: int = 256
    within: float = WITHIN_S
    most_bytes: int = MOST_BYTES
    inside: int = 0
    held: int = 0

    def __post_init__(self) -> None:
        self.token = self.token.strip(BLANKS + "\r\n")  # of a file, a line end

    def check(self, authorization: str | None) -> None:
        """Compare a header `Authorization: Bearer TOKEN`, in a time that tells nothing of it.

        Raises:
            Refused: 401, it is not the token.
        """
        if not self.token:
            return
        kind, _, given = (authorization or "").partition(" ")
        # A header's bytes are read as Latin-1, whatever they were meant to be.
        sent = given.strip(BLANKS).encode("latin-1")
        same = [hmac.compare_digest(sent, each) for each in _written(self.token)]
        if kind.lower() != "bearer" or not any(same):
            raise Refused(
                401,
                "this server wants a token; send the header `Authorization: Bearer TOKEN`",
                {"WWW-Authenticate": "Bearer"},
            )

    async def through(self, answer: Coroutine[Any, Any, bytes]) -> bytes:
        """Wait for an answer.

        Raises:
            Refused: 503, too many are waiting; 504, it took too long.
        """
        if self.inside >= self.most:
            answer.close()
            raise _busy(f"{self.most} requests")
        self.inside += 1
        try:
            return await asyncio.wait_for(answer, self.within)
        except TimeoutError:
            text = f"no answer within {self.within:g} s; send less text, or ask again later"
            raise Refused(504, text) from None
        finally:
            self.inside -= 1

    @contextmanager
    def holding(self) -> Iterator[Callable[[int], None]]:
        """Count the bytes of a body until it is answered, as they come: gives what is told of them.

        A body that is the only one always goes in. What is given raises:
            Refused: 503, there are too many already.
        """
        own = 0

        def grow(size: int) -> None:
            nonlocal own
            others = self.held - own
            if others and self.held + size > self.most_bytes:
                raise _busy(f"{others:,} bytes")
            own += size
            self.held += size

        try:
            yield grow
        finally:
            self.held -= own


def _busy(what: str) -> Refused:
    text = f"the server has {what} to answer; ask again soon"
    return Refused(503, text, {"Retry-After": str(RETRY_AFTER_S)})


def _written(token: str) -> list[bytes]:
    """Give what clients may make of a token: some write headers in UTF-8, some in Latin-1."""
    # A token of the environment that is no UTF-8 holds its bytes as half surrogate pairs.
    written = [token.encode("utf-8", "surrogateescape")]
    with suppress(UnicodeEncodeError):
        written.append(token.encode("latin-1", "surrogateescape"))
    return written
