"""Keep an answer for a while, however many ask for it, and hold no thread for those who wait."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from typing import Final, Generic, TypeVar

from edge_app.http.problems import RefusalError

T = TypeVar("T")
_PATIENCE_S: Final = 20.0
"""Longest wait for what is being read."""
_AGAIN_S: Final = 5
"""When whoever cannot wait may ask again, s."""


class Readers:
    """Threads that read for requests, which wait in the loop meanwhile.

    threads: how many read at a time. most: requests that may wait for them; a server has a bounded number of
    connections, and a reader who waits must not keep out one who could be answered at once.
    """

    def __init__(self, threads: int = 1, most: int = 50) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="reader")
        self._most, self._waiting = most, 0

    def begin(self, read: Callable[[], T]) -> asyncio.Future[T]:
        """Have a thread call a function as soon as one is free."""
        begun = asyncio.get_running_loop().run_in_executor(self._pool, read)
        begun.add_done_callback(_heeded)
        return begun

    async def wait(self, begun: asyncio.Future[T]) -> T:
        """Return the result of what has begun, which goes on when nobody waits any more.

        Raises what the function raises. Raises RefusalError: where too many wait already, or it takes too long.
        """
        if self._waiting >= self._most:
            raise busy()
        self._waiting += 1
        try:
            return await asyncio.wait_for(asyncio.shield(begun), _PATIENCE_S)
        except asyncio.TimeoutError:
            raise busy() from None
        finally:
            self._waiting -= 1

    async def run(self, read: Callable[[], T]) -> T:
        """Return what a function returns that one of the threads calls. Raises as `wait` does."""
        return await self.wait(self.begin(read))


def _heeded(begun: asyncio.Future[T]) -> None:
    """Take note of a failure that nobody waits for any more: asyncio would log it as forgotten."""
    if not begun.cancelled():
        begun.exception()


def busy() -> RefusalError:
    """Return the refusal for whoever comes while too many wait, or has waited for too long."""
    sentence = f"too much is asked for at this moment: ask again in {_AGAIN_S} s"
    return RefusalError(HTTPStatus.SERVICE_UNAVAILABLE, sentence, _AGAIN_S, code="busy_readers", seconds=_AGAIN_S)


class Kept(Generic[T]):
    """What a function reads, read anew at most once in a time; all who ask do so in one loop.

    read: from the present time, by `clock`, in a thread of `readers`. keep_s: s; a clock that goes back has it read
    anew. old_s: age up to which the last one is handed out to others while the one who asked first waits for the new.
    """

    def __init__(
        self,
        read: Callable[[float], T],
        clock: Callable[[], float],
        keep_s: float,
        *,
        old_s: float = 0.0,
        readers: Readers | None = None,
    ) -> None:
        self._read, self._clock, self._keep_s, self._old_s = read, clock, keep_s, old_s
        self._readers = readers or Readers()
        self._last: tuple[float, T] | None = None
        self._reading: asyncio.Future[T] | None = None

    async def now(self) -> T:
        """Return it. Raises what the function raises, and keeps nothing then; otherwise as `Readers.wait`."""
        now = self._clock()
        if (last := self._younger_than(self._keep_s, now)) is not None:
            return last[1]
        if self._reading is not None:
            if (last := self._younger_than(self._old_s, now)) is not None:
                return last[1]
            return await self._readers.wait(self._reading)
        self._reading = reading = self._readers.begin(lambda: self._read(now))
        reading.add_done_callback(lambda done: self._done(now, done))
        return await self._readers.wait(reading)

    def _younger_than(self, age_s: float, now: float) -> tuple[float, T] | None:
        return self._last if self._last is not None and 0 <= now - self._last[0] < age_s else None

    def _done(self, at: float, reading: asyncio.Future[T]) -> None:
        self._reading = None
        if not reading.cancelled() and reading.exception() is None:
            self._last = at, reading.result()


def kept_a_moment(read: Callable[[], T]) -> Kept[T]:
    """Return what is read anew each second, however often it is asked for."""
    return Kept(lambda _: read(), time.monotonic, 1.0)
