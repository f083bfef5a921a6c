"""Send live pictures to the page as a stream of JPEGs (multipart/x-mixed-replace), each made once for all viewers."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Final

from edge_app.errors import EdgeAppError

MOST_VIEWERS: Final = 3
_BOUNDARY: Final = "picture"
KIND: Final = f"multipart/x-mixed-replace; boundary={_BOUNDARY}"
_EVERY_S: Final = 0.2
_LASTS_S: Final = 15.0
"""Duration of one stream, less than the server grants a connection; the page then asks for the next one."""


class LivePictures:
    """The newest picture for several viewers.

    make: returns a JPEG; raises an EdgeAppError while there is none. clock, wait: time in s, and a pause of some s.
    """

    def __init__(
        self,
        make: Callable[[], bytes],
        clock: Callable[[], float] = time.monotonic,
        wait: Callable[[float], None] = time.sleep,
    ) -> None:
        self._make, self._clock, self._wait = make, clock, wait
        self._lock = threading.Lock()
        self._newest: tuple[float, bytes] | None = None
        self._viewers = threading.BoundedSemaphore(MOST_VIEWERS)

    def newest(self) -> bytes:
        """Return a picture that is at most a moment old. Raises EdgeAppError when there is none."""
        with self._lock:
            if self._newest is None or self._clock() - self._newest[0] >= _EVERY_S:
                self._newest = None
                self._newest = self._clock(), self._make()
            return self._newest[1]

    def enter(self) -> bool:
        """Return whether one more viewer may watch; call `leave` afterwards if so."""
        return self._viewers.acquire(blocking=False)

    def leave(self) -> None:
        self._viewers.release()

    def stream(self) -> Iterator[bytes]:
        """Yield the parts of one stream; it ends early when there is no picture any more."""
        until = self._clock() + _LASTS_S
        while self._clock() < until:
            began = self._clock()
            try:
                picture = self.newest()
            except EdgeAppError:
                return
            head = f"--{_BOUNDARY}\r\nContent-Type: image/jpeg\r\nContent-Length: {len(picture)}\r\n\r\n"
            yield head.encode() + picture + b"\r\n"
            self._wait(max(0.0, _EVERY_S - (self._clock() - began)))
