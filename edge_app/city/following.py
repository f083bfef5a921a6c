"""Tell the pages that watch what any worker has stored, by a look at the database each second."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from edge_app.city.database.engine import Database
from edge_app.city.database.live_batches import numbers_of_batches, read_batches
from edge_app.city.live import Live
from edge_app.errors import StoreError
from edge_app.system.threads import start_thread

log = logging.getLogger(__name__)

_LOOK_S: Final = 1.0
_OPEN_S: Final = 30.0
"""For so long a batch may come whose number is below that of another: whoever got the lower one may commit later."""
_STOP_S: Final = 10.0


class Following:
    """What one page has told of. It belongs to one thread.

    The first look tells nothing: what is there by then was stored before. clock: monotonic s.
    """

    def __init__(self, database: Database, live: Live, clock: Callable[[], float] = time.monotonic) -> None:
        self._database, self._live, self._clock = database, live, clock
        self._above = 0
        self._known: dict[int, float] | None = None
        self.problem = ""

    def look(self) -> None:
        """Tell what has been stored since the last look, each batch once. What cannot be read is told later."""
        try:
            self._look(self._clock())
        except StoreError as error:
            if not self.problem:
                log.warning("%s: pages that watch are told later what is new", error)
            self.problem = str(error)
        else:
            self.problem = ""

    def _look(self, now: float) -> None:
        with self._database.connect() as connection:
            if self._known is None:
                self._known = dict.fromkeys(numbers_of_batches(connection), now)
                return
            new = read_batches(connection, self._above, self._known)
        if new:
            self._live.offer([one for _, content in new for one in json.loads(content)])
        self._known.update((number, now) for number, _ in new)
        closed = [number for number, seen in self._known.items() if seen <= now - _OPEN_S]
        self._above = max([self._above, *closed])
        self._known = {number: seen for number, seen in self._known.items() if number > self._above}

    def run(self, stop: threading.Event) -> None:
        """Look each second until it is stopped."""
        while not stop.is_set():
            self.look()
            stop.wait(_LOOK_S)


@contextmanager
def following(database: Database, live: Live) -> Iterator[None]:
    """Tell the pages that watch, in a thread within the context."""
    stop = threading.Event()
    thread = threading.Thread(target=Following(database, live).run, args=(stop,), name="live", daemon=True)
    start_thread(thread)
    try:
        yield
    finally:
        stop.set()
        thread.join(_STOP_S)
