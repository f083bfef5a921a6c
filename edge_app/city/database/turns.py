"""Let threads write one after another, each when its turn has come.

SQLite has one writer at a time. Left to itself it lets whoever asks at the right moment go first, and a thread that
writes again and again keeps all others out until they give up.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

from edge_app.errors import StoreError


class Turns:
    """Turns of the threads of this process, in the order in which they ask."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._waiting: deque[object] = deque()

    @contextmanager
    def turn(self, longest_s: float) -> Iterator[None]:
        """Wait for a turn and have it within the context. A thread that has one may not ask for another.

        Raises StoreError: when it does not come in time.
        """
        mine = object()
        with self._changed:
            self._waiting.append(mine)
            if not self._changed.wait_for(lambda: self._waiting[0] is mine, longest_s):
                self._waiting.remove(mine)
                raise StoreError("others write to the database: try again in a minute", code="busy")
        try:
            yield
        finally:
            with self._changed:
                self._waiting.popleft()
                self._changed.notify_all()
