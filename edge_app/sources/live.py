"""Read a camera or a stream in a thread of its own, keep the newest picture, and open it again after every fault.

This file uses no vendor's library: the `Capture` comes from the file of its vendor.
"""

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
from edge_app.sources.camera_clock import CameraClock
from edge_app.sources.pacing import RateLimit
from edge_app.sources.repeats import Repeats
from edge_app.system.rate_meter import RateMeter
from edge_app.system.threads import start_thread

log = logging.getLogger(__name__)

RETRY_S = (1.0, 3.0)
"""Shortest and longest wait, s, before a source is opened again. An attempt costs a camera on its own cable nothing.
Together with up to 5 s to analyse the stream (opencv.open_url), a camera that is back delivers within 10 s."""
_NEW_AFTER_FROZEN = 3
"""New pictures needed before a frozen source delivers again: a new connection may show the frozen picture encoded
differently."""
_CLOSE_WAIT_S = 1.0
"""Longest wait of close() for a thread that hangs in a vendor's library, whose time-outs end it later."""


class Capture(Protocol):
    """Opened device that delivers pictures until it fails; used by one thread."""

    def grab(self) -> bool:
        """Wait for the next picture; return False when none will come from this capture any more."""
        ...

    def retrieve(self) -> Image | None:
        """Return the grabbed picture, uint8 (H, W, 3) BGR, or None when it is broken."""
        ...

    @property
    def stamp(self) -> float | None:
        """Time of the grabbed picture by the camera's own clock, s from any time on; None where it has none."""
        ...

    def close(self) -> None: ...


class LiveSource:
    """Source of a camera or a stream, whose time goes on while nobody reads.

    open_capture: opens the device; its argument is the number of attempts in a row that have failed; raises SourceError
    with a sentence for the user.
    name: for messages.
    fps_limit: pictures above this rate, frames/s, are skipped before conversion.
    frozen_s: when the picture has been exactly the same for this time, s, the source is `frozen`: it delivers no frames
    and is opened again until the picture changes.
    retry_s: shortest and longest wait, s, before it is opened again; the wait doubles from one to the other, with
    jitter.
    wall: UTC s. clock: s, never steps.

    Frames carry the time of their arrival, and that of the camera's own clock where it has one; `captured_at` follows
    the system's clock, also when that is set back.
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
        self._index = self._new_needed = 0
        self._slot: Frame | None = None
        self._error: Exception | None = None
        self._changed = threading.Condition()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="source", daemon=True)
        start_thread(self._thread)

    @property
    def status(self) -> SourceStatus:
        status = self._status
        return replace(status, state="ended") if self._closing.is_set() else status

    def read(self, timeout: float) -> Frame | None:
        """Return the newest frame that was not read yet, or None when none came within `timeout` s.

        Frames that come faster than they are read are replaced by the newest and counted in `status.dropped`.
        Raises SourceEnded: after close(), also in a thread that waits here.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._slot or self._error or self._closing.is_set(), timeout)
            if self._closing.is_set():
                raise SourceEnded(f"{self._name} was closed.")
            if self._error:
                raise self._error
            frame, self._slot = self._slot, None
            return frame

    def close(self) -> None:
        """End the thread and wake a thread that waits in read(); may be called twice and from any thread."""
        with self._changed:
            self._closing.set()
            self._slot = None
            self._changed.notify_all()
        self._thread.join(_CLOSE_WAIT_S)

    def _run(self) -> None:
        try:
            failures = 0
            while not self._closing.is_set():
                failures = 0 if self._read_until_fault(failures) else failures + 1
                self._closing.wait(self._retry_delay(failures))
        except Exception as error:  # a programming error: read() raises it in the thread of the caller
            with self._changed:
                self._error = error
                self._changed.notify_all()

    def _read_until_fault(self, failures: int) -> bool:
        """Open the device and read until a fault; return True when a frame was delivered."""
        frames = 0
        try:
            with closing(self._open_capture(failures)) as capture:
                camera = CameraClock()
                while not self._closing.is_set():
                    frames += self._read_picture(capture, camera, first=frames == 0)
        except _FrozenError as fault:
            self._new_needed = _NEW_AFTER_FROZEN
            self._note_fault("frozen", str(fault))
        except SourceError as fault:
            self._note_fault("lost", str(fault))
        except (OSError, MemoryError) as fault:
            why = str(fault) or "out of memory"
            self._note_fault("lost", f"{self._name} cannot be read now ({why}); it is tried again.")
        return frames > 0

    def _read_picture(self, capture: Capture, camera: CameraClock, *, first: bool) -> bool:
        """Read one picture; return True when it was delivered."""
        if not capture.grab():
            raise SourceError(f"{self._name} stopped sending pictures; it is opened again until it does.")
        now, at, index = self._clock(), self._wall(), self._index
        self._index += 1
        media_s = camera.update(capture.stamp, now)
        self._status = replace(self._status, rate=self._rate.update(self._index, now))
        if not self._limit.due(now):
            self._status = replace(self._status, skipped=self._status.skipped + 1)
            return False
        image = capture.retrieve()
        if image is None:
            self._status = replace(self._status, dropped=self._status.dropped + 1)
            return False
        self._check_frozen(image, now)
        if self._new_needed:
            return False
        self._deliver(Frame(image, index, at, now, media_s), first)
        return True

    def _check_frozen(self, image: Image, now: float) -> None:
        is_new = self._repeats.update(image, now)
        self._new_needed = max(0, self._new_needed - is_new)
        self._status = replace(self._status, repeated=self._repeats.count)
        if self._repeats.still_s >= self._frozen_s:
            raise _FrozenError(
                f"{self._name} has sent the same picture for more than {self._frozen_s:g} s; it is opened again until "
                "the picture changes: check the camera."
            )

    def _deliver(self, frame: Frame, first: bool) -> None:
        status, size = self._status, frame.size
        reopened = first and status.width > 0
        if status.state != "ok":
            log.info("%s delivers %d x %d pictures", self._name, *size)
        with self._changed:
            replaced = self._slot is not None
            self._slot = None if self._closing.is_set() else frame
            self._status = replace(
                status,
                state="ok",
                detail="",
                width=size[0],
                height=size[1],
                reconnects=status.reconnects + reopened,
                dropped=status.dropped + replaced,
            )
            self._changed.notify_all()

    def _note_fault(self, state: State, detail: str) -> None:
        if detail != self._status.detail or state != self._status.state:
            log.warning("%s", detail)
        self._rate = RateMeter()
        self._status = replace(self._status, state=state, detail=detail, rate=0.0)

    def _retry_delay(self, failures: int) -> float:
        shortest, longest = self._retry_s
        # The exponent is limited because a camera may be away for months.
        return min(longest, shortest * 2.0 ** min(failures, 30) * random.uniform(1.0, 1.5))


class _FrozenError(SourceError):
    """Error of a source that sends the same picture again and again."""
