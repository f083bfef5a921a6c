"""Run threads that can be stopped: workers that report their failure, a slot between two threads, heartbeats."""

from __future__ import annotations

import errno
import logging
import math
import threading
import time
from collections.abc import Callable, Iterable
from typing import Final, Generic, TypeVar

from edge_app.errors import BrokerError, EdgeAppError, ResourceError, StoreError

T = TypeVar("T")
log = logging.getLogger(__name__)
_PASSING: Final = {errno.EIO, errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.EAGAIN, errno.ESTALE, errno.ENOSPC}
PAUSE_S: Final = 1.0
"""Wait after a passing fault, before the work goes on."""
START_S: Final = 5.0
"""Time for which the start of a thread is tried again."""


def start_thread(thread: threading.Thread, tries_s: float = START_S) -> None:
    """Start a thread, and try again for some seconds when the system has none left.

    Raises ResourceError: when it could not be started.
    """
    end = time.monotonic() + tries_s
    while True:
        try:
            thread.start()
            return
        except (RuntimeError, MemoryError) as error:
            if thread.ident is not None:
                raise  # it was started before
            if time.monotonic() >= end:
                why = str(error) or "out of memory"
                raise ResourceError(f"the thread {thread.name} cannot be started now ({why})") from error
        time.sleep(0.1)


def wait_for_stop(stop: threading.Event, look_s: float = 0.5) -> None:
    """Wait in the main thread until a signal's handler sets `stop`.

    A handler runs in the main thread, at its next step. The kernel may give the signal to another thread, and then a
    wait without an end would never take that step.
    """
    while not stop.wait(look_s):
        pass


def is_passing(fault: BaseException) -> bool:
    """Return True for a fault of disk, memory, socket or thread start, which is waited out where it happens.

    Others that the product explains, such as a recording that cannot be read, are not mended by waiting.
    """
    final = isinstance(fault, EdgeAppError) and not isinstance(fault, ResourceError | BrokerError | StoreError)
    return isinstance(fault, OSError | MemoryError) and not final


def is_passing_cause(fault: BaseException | None) -> bool:
    """Return True when a file could not be read for a reason that lies in the machine, not in the file or its name."""
    return isinstance(fault, MemoryError) or (isinstance(fault, OSError) and fault.errno in _PASSING)


class Faults:
    """Passing faults of one part of the program: each kind is logged once until the work goes well again.

    `count` is their number since the start.
    """

    def __init__(self, part: str) -> None:
        self._part, self._last = part, ""
        self.count = 0

    def note(self, fault: BaseException) -> None:
        """Log a fault and count it. Raises it when it is none that passes."""
        if not is_passing(fault):
            raise fault
        self.count += 1
        sentence = str(fault) or "out of memory"
        if sentence != self._last:
            log.error("%s: %s; it goes on as soon as this is over", self._part, sentence)
        self._last = sentence

    def clear(self) -> None:
        """Note that the work goes well."""
        if self._last:
            log.info("%s: goes on", self._part)
        self._last = ""


class Latest(Generic[T]):
    """Slot that hands one item at a time from one thread to another.

    Live (the default): `put` never waits, the newest item replaces the one before, and `dropped` counts the replaced.
    With `lossless`, for replay: `put` waits until the item before has been taken, and nothing is dropped.
    `changed` is notified at each item and at `close`. A taker that also waits for another event waits on `changed` too;
    whoever causes that event must notify it.
    """

    def __init__(self, *, lossless: bool = False) -> None:
        self._lossless = lossless
        lock = threading.RLock()
        # Two conditions, so that no thread is woken for what concerns only the other side.
        self.changed, self._taken = threading.Condition(lock), threading.Condition(lock)
        self._items: list[T] = []
        self._closed = False
        self._dropped = 0

    def put(self, item: T) -> bool:
        """Offer an item; return False when the slot is closed, and the item is counted as dropped."""
        with self.changed:
            if self._lossless:
                self._taken.wait_for(lambda: not self._items or self._closed)
            if self._closed:
                self._dropped += 1
                return False
            self._dropped += len(self._items)
            self._items = [item]
            self.changed.notify_all()
            return True

    def get(self, timeout: float) -> T | None:
        """Take the item; return None when none came within `timeout` s or the slot is `finished`."""
        with self.changed:
            if not self._items and not self._closed:
                self.changed.wait_for(lambda: self._items or self._closed, timeout)
            if not self._items:
                return None
            self._taken.notify_all()
            return self._items.pop()

    def close(self) -> None:
        """Accept no more items and wake every waiting thread; an item that is already there can still be taken."""
        with self.changed:
            self._closed = True
            self.changed.notify_all()
            self._taken.notify_all()

    @property
    def waiting(self) -> bool:
        """True while there is an item to take."""
        with self.changed:
            return bool(self._items)

    @property
    def finished(self) -> bool:
        """True once the slot is closed and empty: no item will ever come."""
        with self.changed:
            return self._closed and not self._items

    @property
    def dropped(self) -> int:
        """Number of items that were replaced by a newer one or offered after the end."""
        with self.changed:
            return self._dropped


class Worker:
    """Thread that runs one callable and reports its failure.

    run: gets the event that asks it to stop. failed: called in that thread with the worker's name and the exception
    that ended it; no worker is started again within the process. It is a daemon thread, so that one that hangs in a
    foreign library cannot keep the process alive.
    """

    def __init__(
        self, name: str, run: Callable[[threading.Event], object], failed: Callable[[str, BaseException], None]
    ) -> None:
        self.name = name
        self._run = run
        self._failed = failed
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._main, name=name, daemon=True)

    def start(self) -> None:
        """Start the thread; see `start_thread`."""
        start_thread(self._thread)

    def stop(self) -> None:
        """Ask it to stop, without waiting."""
        self._stop.set()

    def join(self, timeout: float) -> bool:
        """Wait at most `timeout` s; return True when it has ended or was never started."""
        if self._thread.ident is not None:
            self._thread.join(max(0.0, timeout))
        return not self.alive

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    def _main(self) -> None:
        try:
            self._run(self._stop)
        except BaseException as exc:  # SystemExit too: a thread that ends itself unasked has failed like any other
            self._failed(self.name, exc)


class StuckThreadError(RuntimeError):
    """Error of threads that did not end in time; `names` lists them."""

    def __init__(self, names: tuple[str, ...], deadline_s: float) -> None:
        super().__init__(f"still running {deadline_s:g} s after they were asked to stop: {', '.join(names)}")
        self.names = names


def join_all(workers: Iterable[Worker], deadline_s: float, clock: Callable[[], float] = time.monotonic) -> None:
    """Ask every worker to stop, then join all of them within one deadline.

    Raises StuckThreadError: when some are still running after `deadline_s` s.
    """
    workers = tuple(workers)
    for worker in workers:
        worker.stop()
    end = clock() + deadline_s
    survivors = tuple(worker.name for worker in workers if not worker.join(end - clock()))
    if survivors:
        raise StuckThreadError(survivors, deadline_s)


class Heartbeats:
    """Times at which the parts of the program last showed progress, by name; every thread may call every method."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._beats: dict[str, float] = {}

    def beat(self, name: str) -> None:
        """Record that the named part has made progress now."""
        self._beats[name] = self._clock()

    def age(self, name: str) -> float:
        """Return the seconds since the last beat; infinite before the first."""
        return self._clock() - self._beats.get(name, -math.inf)
