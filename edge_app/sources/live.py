"""A camera or a stream: read by a thread of its own, opened again for ever, newest picture first. Knows no vendor."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from typing import Protocol

from edge_app.errors import SourceEnded, SourceError
from edge_app.records import Frame, Image
from edge_app.sources import SourceStatus, State
from edge_app.sources.pacing import RateLimit
from edge_app.sources.repeats import Repeats
from edge_app.system.rate_meter import RateMeter

log = logging.getLogger(__name__)

RETRY_S = (1.0, 3.0)
"""Shortest and longest wait before a source is opened again. An attempt costs a camera on its own cable nothing, and
with up to 5 s to look at the stream (opencv.open_url) one that is back is seen again within 10 s."""
_PROOF = 3
"""New pictures that end the doubt about a frozen source: a fresh connection may show the frozen one encoded anew."""
_PATIENCE_S = 1.0
"""How long close() waits for a thread that hangs in a vendor's library; its own time-outs end it afterwards."""


class Capture(Protocol):
    """What delivers pictures until it fails; used by one thread."""

    def grab(self) -> bool:
        """Waits for the next picture; False when there is none any more, and the capture is then dead."""
        ...

    def retrieve(self) -> Image | None:
        """The picture that was grabbed, uint8 (H, W, 3) BGR, or None when it is broken."""
        ...

    def close(self) -> None: ...


class Live:
    """A source whose time goes on when nobody reads.

    open_capture(failures): opens the device, told how many attempts in a row have failed; raises SourceError with a
    sentence for the user. name: for sentences. fps_limit: pictures above this rate are skipped before conversion.
    frozen_s: when the picture has been exactly the same for so long, the source is `frozen`: its frames are held back
    and it is opened again until the picture changes. retry_s: shortest and longest wait, s, before it is opened
    again; the wait doubles from one to the other, with jitter. wall: UTC s. clock: s, never steps.

    Time stamps are those of arrival: `captured_at` follows the system's clock, also when somebody sets that back.
    """

    live = True

    def __init__(
        self,
        open_capture: Callable[[int], Capture],
        *,
        name: str,
        fps_limit: float | None = None,
        frozen_s: float = 10.0,
        retry_s: tuple[float, float] = RETRY_S,
        wall: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._open_capture = open_capture
        self._name, self._frozen_s, self._retry_s = name, frozen_s, retry_s
        self._wall, self._clock = wall, clock
        self._limit, self._repeats, self._rate = RateLimit(fps_limit), Repeats(), RateMeter()
        self._status = SourceStatus("opening")
        self._index = self._doubt = 0
        self._slot: Frame | None = None
        self._bug: Exception | None = None
        self._changed = threading.Condition()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="source", daemon=True)
        self._thread.start()

    @property
    def status(self) -> SourceStatus:
        status = self._status
        return replace(status, state="ended") if self._closing.is_set() else status

    def read(self, timeout: float) -> Frame | None:
        """The newest frame that was not read yet, or None after `timeout` s without one.

        Raises SourceEnded after close(), also in a thread that waits here. Frames that come faster than they are read
        are replaced by the newest and counted in `status.dropped`.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._slot or self._bug or self._closing.is_set(), timeout)
            if self._closing.is_set():
                raise SourceEnded(f"{self._name} was closed.")
            if self._bug:
                raise self._bug
            frame, self._slot = self._slot, None
            return frame

    def close(self) -> None:
        """Ends the thread and wakes who waits in read(); may be called twice and from any thread."""
        with self._changed:
            self._closing.set()
            self._slot = None
            self._changed.notify_all()
        self._thread.join(_PATIENCE_S)

    def _run(self) -> None:
        try:
            failures = 0
            while not self._closing.is_set():
                failures = 0 if self._follow(failures) else failures + 1
                self._closing.wait(self._pause(failures))
        except Exception as error:  # a bug: read() raises it where somebody is in charge
            with self._changed:
                self._bug = error
                self._changed.notify_all()

    def _follow(self, failures: int) -> bool:
        """Opens and reads until that fails; returns whether a frame was delivered."""
        frames = 0
        try:
            with closing(self._open_capture(failures)) as capture:
                while not self._closing.is_set():
                    frames += self._take(capture, first=frames == 0)
        except _FrozenError as fault:
            self._doubt = _PROOF
            self._fault("frozen", str(fault))
        except SourceError as fault:
            self._fault("lost", str(fault))
        return frames > 0

    def _take(self, capture: Capture, *, first: bool) -> bool:
        """Reads one picture; returns whether it was delivered."""
        if not capture.grab():
            raise SourceError(f"{self._name} stopped sending pictures; it is opened again until it does.")
        now, at, index = self._clock(), self._wall(), self._index
        self._index += 1
        self._status = replace(self._status, rate=self._rate.update(self._index, now))
        if not self._limit.due(now):
            self._status = replace(self._status, skipped=self._status.skipped + 1)
            return False
        image = capture.retrieve()
        if image is None:
            self._status = replace(self._status, dropped=self._status.dropped + 1)
            return False
        self._judge(image, now)
        if self._doubt:
            return False
        self._deliver(Frame(image, index, at, now), first)
        return True

    def _judge(self, image: Image, now: float) -> None:
        new = self._repeats.see(image, now)
        self._doubt = max(0, self._doubt - new)
        self._status = replace(self._status, repeated=self._repeats.count)
        if self._repeats.still_s >= self._frozen_s:
            raise _FrozenError(
                f"{self._name} has sent the same picture for more than {self._frozen_s:g} s; it is opened again until "
                "the picture changes: check the camera."
            )

    def _deliver(self, frame: Frame, first: bool) -> None:
        status, size = self._status, frame.size
        again = first and status.width > 0
        if status.state != "ok":
            log.info("%s delivers %d x %d pictures", self._name, *size)
        with self._changed:
            lost = self._slot is not None
            self._slot = None if self._closing.is_set() else frame
            self._status = replace(
                status,
                state="ok",
                width=size[0],
                height=size[1],
                reconnects=status.reconnects + again,
                dropped=status.dropped + lost,
            )
            self._changed.notify_all()

    def _fault(self, state: State, detail: str) -> None:
        if detail != self._status.detail or state != self._status.state:
            log.warning("%s", detail)
        self._rate = RateMeter()
        self._status = replace(self._status, state=state, detail=detail, rate=0.0)

    def _pause(self, failures: int) -> float:
        shortest, longest = self._retry_s
        # The exponent is bounded because a camera may be away for months.
        return min(longest, shortest * 2.0 ** min(failures, 30) * random.uniform(1.0, 1.5))


class _FrozenError(SourceError):
    """The source still sends, but always the same picture."""
