"""Threads with an end: a worker that reports its death, one slot between two workers, one deadline for all."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

T = TypeVar("T")


class Latest(Generic[T]):
    """A hand-over between two threads that holds one item.

    Live (the default): `put` never waits, the newest item wins, and what it replaces is counted in `dropped`.
    With `lossless`, for replay: `put` waits until the item before has been taken, and nothing is dropped.
    `news` is what the taker waits for; one that waits for more than items has itself told of that here too.
    """

    def __init__(self, *, lossless: bool = False) -> None:
        self._lossless = lossless
        lock = threading.RLock()
        # Two conditions, so that nobody is woken for what concerns the other side alone.
        self.news, self._taken = threading.Condition(lock), threading.Condition(lock)
        self._items: list[T] = []
        self._closed = False
        self._dropped = 0

    def put(self, item: T) -> bool:
        """Offers an item; False when the slot was closed first, and the item is counted as dropped."""
        with self.news:
            if self._lossless:
                self._taken.wait_for(lambda: not self._items or self._closed)
            if self._closed:
                self._dropped += 1
                return False
            self._dropped += len(self._items)
            self._items = [item]
            self.news.notify_all()
            return True

    def get(self, timeout: float) -> T | None:
        """The item, or None when none came within `timeout` seconds or the slot is `finished`."""
        with self.news:
            if not self._items and not self._closed:
                self.news.wait_for(lambda: self._items or self._closed, timeout)
            if not self._items:
                return None
            self._taken.notify_all()
            return self._items.pop()

    def close(self) -> None:
        """No more items: wakes everyone who waits; an item that is already there can still be taken."""
        with self.news:
            self._closed = True
            self.news.notify_all()
            self._taken.notify_all()

    @property
    def waiting(self) -> bool:
        """Whether there is an item."""
        with self.news:
            return bool(self._items)

    @property
    def finished(self) -> bool:
        """Closed and empty: nothing will ever come."""
        with self.news:
            return self._closed and not self._items

    @property
    def dropped(self) -> int:
        """Items that were replaced by a newer one or came after the end, since the beginning."""
        with self.news:
            return self._dropped


class Worker:
    """A thread for one callable, which is given the event that asks it to stop.

    `failed` is called in that thread with the worker's name and what it died of: there is no resurrection inside
    the process. A daemon thread, so that one that hangs in a foreign library cannot keep the process alive.
    """

    def __init__(
        self, name: str, run: Callable[[threading.Event], None], failed: Callable[[str, BaseException], None]
    ) -> None:
        self.name = name
        self._run = run
        self._failed = failed
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._main, name=name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Asks it to stop and does not wait."""
        self._stop.set()

    def join(self, timeout: float) -> bool:
        """Waits at most `timeout` seconds; whether it has ended. One that never started has."""
        if self._thread.ident is not None:
            self._thread.join(max(0.0, timeout))
        return not self.alive

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    def _main(self) -> None:
        try:
            self._run(self._stop)
        except BaseException as exc:  # SystemExit too: a thread that ends itself unasked is as dead as any
            self._failed(self.name, exc)


class StuckThreadError(RuntimeError):
    """Threads that did not end in time; `names` says which."""

    def __init__(self, names: tuple[str, ...], deadline_s: float) -> None:
        super().__init__(f"still running {deadline_s:g} s after they were asked to stop: {', '.join(names)}")
        self.names = names


def join_all(workers: Iterable[Worker], deadline_s: float, clock: Callable[[], float] = time.monotonic) -> None:
    """Asks every worker to stop, then joins every one within one deadline. Raises StuckThreadError for survivors."""
    workers = tuple(workers)
    for worker in workers:
        worker.stop()
    end = clock() + deadline_s
    survivors = tuple(worker.name for worker in workers if not worker.join(end - clock()))
    if survivors:
        raise StuckThreadError(survivors, deadline_s)


class Heartbeats:
    """Named heartbeats; any thread may beat, any thread may ask."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._beats: dict[str, float] = {}

    def beat(self, name: str) -> None:
        self._beats[name] = self._clock()

    def age(self, name: str) -> float:
        """Seconds since the last beat; infinite before the first."""
        return self._clock() - self._beats.get(name, -math.inf)
