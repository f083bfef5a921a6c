"""Read the body of a request with an end in bytes and in seconds, and all bodies together within one budget."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from http import HTTPStatus

from edge_app.serve.problems import RefusalError

_PAUSE_S = 10.0
"""Longest silence in the middle of a body."""


@dataclass(frozen=True, slots=True)
class BodyLimits:
    """What one body may be. bytes: its length. seconds: from its first byte to its last."""

    bytes: int
    seconds: float


class Budget:
    """Bytes that all bodies in memory may have together."""

    def __init__(self, total: int) -> None:
        self._left = total

    def take(self, size: int) -> None:
        """Take so many bytes. Raises RefusalError: when they are not left."""
        if size > self._left:
            raise RefusalError(
                HTTPStatus.SERVICE_UNAVAILABLE, "too many pictures are being sent at once: send this one again", 2
            )
        self._left -= size

    def give_back(self, size: int) -> None:
        """Return bytes that were taken."""
        self._left += size


async def timed(stream: AsyncIterator[bytes], limits: BodyLimits, announced: str | None) -> AsyncIterator[bytes]:
    """Yield the pieces of a body. announced: its Content-Length, if it has one.

    Raises RefusalError: when it is too long, takes too long, or stops coming.
    """
    if announced is not None and announced.isdecimal() and len(announced) < 20 and int(announced) > limits.bytes:
        raise _too_long(limits)
    end, got = time.monotonic() + limits.seconds, 0
    while True:
        try:
            piece = await asyncio.wait_for(anext(stream, None), min(_PAUSE_S, end - time.monotonic()))
        except asyncio.TimeoutError:
            raise RefusalError(
                HTTPStatus.REQUEST_TIMEOUT, "the body comes too slowly: send it again over a faster connection"
            ) from None
        if piece is None:
            return
        got += len(piece)
        if got > limits.bytes:
            raise _too_long(limits)
        yield piece


async def in_memory(
    stream: AsyncIterator[bytes], limits: BodyLimits, announced: str | None, budget: Budget
) -> bytearray:
    """Return a whole body; the caller gives its length back to the budget when it is done with it.

    Raises RefusalError: as `timed`, and when the budget is spent.
    """
    body = bytearray()
    try:
        async for piece in timed(stream, limits, announced):
            budget.take(len(piece))
            body += piece
    except BaseException:
        budget.give_back(len(body))
        raise
    return body


def _too_long(limits: BodyLimits) -> RefusalError:
    return RefusalError(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"the body is too long: at most {limits.bytes:,} bytes are taken"
    )
