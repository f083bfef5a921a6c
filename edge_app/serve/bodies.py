"""Read the body of a request with an end in bytes and in seconds, and all bodies together within one budget."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from http import HTTPStatus

from edge_app.http.problems import RefusalError

_PAUSE_S = 10.0
"""Longest silence in the middle of a body."""
_EARLY_S = 30.0
"""Time for which a body may come at any rate: connections begin slowly."""
_OWN_S = 3.0
"""Time for which a body keeps its room whatever others need: 80 MB at 200 Mbit/s."""


@dataclass(frozen=True, slots=True)
class BodyLimits:
    """What one body may be. bytes: its length. seconds: from its first byte to its last.

    rate: bytes/s that it must have come with on average, from `_EARLY_S` on; a byte now and then would hold its place.
    """

    bytes: int
    seconds: float
    rate: float = 0.0

    def ends_s(self, got: int) -> float:
        """Return after how many seconds a body ends of which so many bytes have come."""
        return min(self.seconds, _EARLY_S + got / self.rate) if self.rate else self.seconds


@dataclass(slots=True, eq=False)
class _Held:
    """A body in memory. client: its sender. since: when it began, s. comes: more may arrive. lost: it gave way."""

    client: str
    since: float
    body: bytearray = field(default_factory=bytearray)
    comes: bool = True
    lost: bool = False


class Budget:
    """Bytes that all bodies in memory may have together; one client may have half of them.

    A body that has been arriving for longer than `_OWN_S` gives way when others need its room: the one with the
    largest product of bytes and time. clock: s, never steps.
    """

    def __init__(self, total: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._total, self._clock = total, clock
        self._held: list[_Held] = []

    def begin(self, client: str) -> _Held:
        """Return a place for a body; `end` gives its room back."""
        self._held.append(_Held(client, self._clock()))
        return self._held[-1]

    def end(self, held: _Held) -> None:
        """Give back the room of a body."""
        self._held.remove(held)

    def add(self, held: _Held, piece: bytes) -> None:
        """Add a piece to a body. Raises RefusalError: when there is no room, or the body had to give way."""
        if held.lost:
            raise _no_room()
        mine = [one for one in self._held if one.client == held.client]
        self._make_room(held, mine, self._total // 2 - len(piece))
        self._make_room(held, self._held, self._total - len(piece))
        held.body += piece

    def _make_room(self, asking: _Held, among: list[_Held], most: int) -> None:
        now = self._clock()
        while sum(len(one.body) for one in among) > most:
            slow = [one for one in among if one.comes and one.body and now - one.since > _OWN_S]
            largest = max(slow, key=lambda one: len(one.body) * (now - one.since), default=asking)
            if largest is asking:
                raise _no_room()
            largest.lost = True
            largest.body = bytearray()  # now, and not when its sender goes on


def _no_room() -> RefusalError:
    sentence = "too many pictures are being sent at once: send this one again"
    return RefusalError(HTTPStatus.SERVICE_UNAVAILABLE, sentence, 2)


async def timed(
    stream: AsyncIterator[bytes],
    limits: BodyLimits,
    announced: str | None,
    clock: Callable[[], float] = time.monotonic,
) -> AsyncIterator[bytes]:
    """Yield the pieces of a body. announced: its Content-Length, if it has one. clock: s, never steps.

    Raises RefusalError: when it is too long, takes too long, or stops coming.
    """
    if announced is not None and announced.isdecimal() and int(announced[:20]) > limits.bytes:
        raise _too_long(limits)
    began, got = clock(), 0
    while True:
        left_s = began + limits.ends_s(got) - clock()
        try:
            piece = await asyncio.wait_for(anext(stream, None), min(_PAUSE_S, left_s))
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


@asynccontextmanager
async def in_memory(
    stream: AsyncIterator[bytes], limits: BodyLimits, announced: str | None, budget: Budget, client: str
) -> AsyncIterator[bytearray]:
    """Give a whole body within the context; it has its room of the budget until then. client: its sender.

    Raises RefusalError: as `timed`, and when the budget is spent.
    """
    held = budget.begin(client)
    try:
        async for piece in timed(stream, limits, announced):
            budget.add(held, piece)
        if held.lost:
            raise _no_room()
        held.comes = False
        yield held.body
    finally:
        budget.end(held)


def _too_long(limits: BodyLimits) -> RefusalError:
    return RefusalError(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"the body is too long: at most {limits.bytes:,} bytes are taken"
    )
