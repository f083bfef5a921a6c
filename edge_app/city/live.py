"""Hand new intervals from the thread that has them to the pages that watch, without waiting for any of them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import suppress
from typing import Any, Final

from edge_app.city.records import Interval
from edge_app.records import DIRECTIONS, VEHICLES

_WAITING: Final = 50
"""Batches that a page may be behind; it misses what comes then, and reads the sums again anyway."""
_QUIET_S: Final = 15.0
"""After so long a comment is sent, so that a connection that is gone is noticed."""
_LONGEST_S: Final = 300.0
"""After so long a page connects anew, and is judged anew: its login may have ended."""
WATCHERS: Final = 200
_LAST: Final = ": the end\n\n"


class Live:
    """New intervals as server-sent events. Any thread may call `tell` and `offer`."""

    def __init__(self) -> None:
        self._watching: dict[asyncio.Queue[str], asyncio.AbstractEventLoop] = {}
        self._ended = False

    @property
    def full(self) -> bool:
        """Whether no further page may watch."""
        return len(self._watching) >= WATCHERS

    def tell(self, intervals: Iterable[Interval]) -> None:
        """Tell of new intervals."""
        self.offer(map(told, intervals))

    def offer(self, intervals: Iterable[Mapping[str, Any]]) -> None:
        """Tell of new intervals, each as `told` has it."""
        if self._watching and (text := "".join(f"data: {json.dumps(one)}\n\n" for one in intervals)):
            self._send(text)

    def end(self) -> None:
        """End all streams, so that a server that stops does not wait for pages that are open."""
        self._ended = True
        self._send(_LAST)

    def _send(self, text: str) -> None:
        for queue, loop in list(self._watching.items()):
            with suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(_offer, queue, text)

    async def events(self) -> AsyncIterator[str]:
        """Yield events until whoever reads them goes away, or has to connect anew."""
        queue: asyncio.Queue[str] = asyncio.Queue(_WAITING)
        loop = self._watching[queue] = asyncio.get_running_loop()
        until = loop.time() + _LONGEST_S
        try:
            yield ": here\n\n"
            while loop.time() < until:
                try:
                    text = await asyncio.wait_for(queue.get(), _QUIET_S)
                except asyncio.TimeoutError:
                    text = ": quiet\n\n"
                if self._ended:
                    return
                yield text
        finally:
            del self._watching[queue]


def _offer(queue: asyncio.Queue[str], text: str) -> None:
    with suppress(asyncio.QueueFull):
        queue.put_nowait(text)


def told(interval: Interval) -> dict[str, Any]:
    """Return an interval as pages are told of it."""
    by_way = [sum(interval.counts[side :: len(DIRECTIONS)]) for side in range(len(DIRECTIONS))]
    by_class = [sum(interval.counts[at : at + 2]) for at in range(0, len(interval.counts), 2)]
    return {
        "device": f"{interval.name.site}/{interval.name.device}",
        "line": interval.name.line,
        "start": interval.start,
        "end": interval.end,
        "coverage": interval.coverage,
        **dict(zip(tuple[str, ...](DIRECTIONS), by_way, strict=True)),
        "classes": dict(zip(VEHICLES, by_class, strict=True)),
    }
