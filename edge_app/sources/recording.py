"""Read a video file: every frame in order on the media clock, or at the pace of a camera."""

from __future__ import annotations

import shlex
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal, NoReturn

from edge_app.errors import SourceEnded
from edge_app.records import Frame
from edge_app.sources import SourceStatus
from edge_app.sources.masks import Mask, mask_image
from edge_app.sources.opencv import open_file
from edge_app.sources.pacing import MediaClock, RateLimit, plausible_rate, usual_rate
from edge_app.sources.repeats import Repeats

_COMPLETE = 0.9
"""Share of its promised length below which a recording was cut off; containers promise up to 5 % more than they hold
(edit lists)."""


class Recording:
    """Source of a video file.

    start_at: UTC s of frame 0; not used at pace "real".
    pace: "fast": `live` is False, read() never waits, and both times of a frame come from the media clock, so that the
    same file gives the same frames. "real": like a camera, `live` is True, frames come when they are due and carry the
    time of the system's clocks.
    rotation: 0, 90, 180 or 270 degrees clockwise.
    fps: rate of the frames where the file's own rate and time stamps are wrong or absent; None trusts the file.
    fps_limit: frames above this rate are skipped without being converted; `index` counts them too and stays the number
    of the frame in the file.
    loop: begin again at the end.
    masks: parts that nobody may see.
    Raises SourceError: when the file is absent, is no video or holds no picture.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        start_at: float = 0.0,
        pace: Literal["fast", "real"] = "fast",
        rotation: int = 0,
        fps: float | None = None,
        fps_limit: float | None = None,
        loop: bool = False,
        masks: Sequence[Mask] = (),
        wall: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.path, self._rotation, self._loop, self._masks = Path(path), rotation, loop, tuple(masks)
        self._start_at, self.live = start_at, pace == "real"
        self._wall, self._clock = wall, clock
        self._capture = open_file(self.path, rotation)
        self.rate, self._rate_given = fps or plausible_rate(self._capture.rate), fps is not None
        self.frames_expected = self._capture.promised_frames
        self._media = MediaClock(self.rate, stamped=not self._rate_given)
        self._limit, self._repeats = RateLimit(fps_limit), Repeats()
        self._started_at: float | None = None
        self._next: Frame | None = None
        self._index, self._read, self._media_time = 0, 0, 0.0
        self._status = SourceStatus("opening", rate=self.rate)
        self._using, self._closing = threading.Lock(), threading.Event()

    @property
    def status(self) -> SourceStatus:
        return replace(self._status, state="ended") if self._closing.is_set() else self._status

    def read(self, timeout: float) -> Frame | None:
        """Return the next frame; at pace "real" None when it is not due within `timeout` s.

        Raises SourceEnded: after close() and at the end, with `status.detail` set if the file was cut off.
        """
        if self._next is None:
            self._next = self._decode()
        if not self._wait_until_due(self._next.monotonic, timeout):
            return None
        frame, self._next = self._next, None
        size = frame.size
        self._status = replace(self._status, state="ok", width=size[0], height=size[1])
        return replace(frame, captured_at=self._wall(), monotonic=self._clock()) if self.live else frame

    def close(self) -> None:
        """Close the file and end a read() that waits; may be called twice and from any thread."""
        self._closing.set()
        with self._using:
            self._capture.close()

    def _wait_until_due(self, media_time: float, timeout: float) -> bool:
        if self.live:
            if self._started_at is None:
                self._started_at = self._clock() - media_time
            wait = self._started_at + media_time - self._clock()
            self._closing.wait(max(0.0, min(wait, timeout)))
            if wait > timeout and not self._closing.is_set():
                return False
        self._raise_if_closed()
        return True

    def _decode(self) -> Frame:
        """Return the next frame within the limit, with both of its times from the media clock."""
        with self._using:
            while True:
                self._raise_if_closed()
                self._grab()
                index, self._index = self._index, self._index + 1
                self._media_time = self._media.tick(self._capture.stamp)
                due = self._limit.due(self._media_time)
                image = self._capture.retrieve() if due else None
                if image is not None:
                    self._read += 1
                    self._repeats.update(image, self._media_time)
                    self._status = replace(self._status, repeated=self._repeats.count)
                    image = mask_image(image, self._masks) if self._masks else image
                    return Frame(image, index, self._start_at + self._media_time, self._media_time, self._media_time)
                self._count_omitted(broken=due)

    def _count_omitted(self, *, broken: bool) -> None:
        status = self._status
        self._status = replace(status, skipped=status.skipped + (not broken), dropped=status.dropped + broken)

    def _grab(self) -> None:
        if self._capture.grab():
            return
        if not self._loop:
            self._end()
        self._capture.close()
        self._capture = open_file(self.path, self._rotation)
        self._media.restart()
        self._capture.grab()

    @property
    def frames(self) -> int:
        """Number of frames of the file that were read so far, skipped and broken ones included."""
        return self._index

    @property
    def lasted_s(self) -> float:
        """Length of what was read so far, s."""
        return self._media_time + self._media.step if self._index else 0.0

    @property
    def length_s(self) -> float:
        """Length of the recording, s: what was read, or what it promised if it was cut off."""
        return max(self.lasted_s, self._promised_s) if self._cut_off else self.lasted_s

    @property
    def _promised_s(self) -> float:
        """Promised length, s; 0 when unknown or when the time stamps leap, which makes it meaningless."""
        return 0.0 if self._media.leaps else self.frames_expected / self.rate

    @property
    def _cut_off(self) -> bool:
        return self.lasted_s < _COMPLETE * self._promised_s

    def _end(self) -> NoReturn:
        self._status = replace(self._status, state="ended", detail=" ".join(self._remarks()))
        raise SourceEnded(self._status.detail or f"{self.path} is over.")

    def _remarks(self) -> Iterator[str]:
        """Yield one sentence about everything that makes the counts of this recording doubtful."""
        if self._cut_off:
            lasted, promised = f"{self.lasted_s:.1f} s", f"{self._promised_s:.1f} s"
            yield f"{self.path} breaks off after {lasted} of {promised}: only that part was read."
        if not self._rate_given:
            yield from self._remarks_on_times()
        if self.lasted_s > 1.0 and self._repeats.count == self._read - 1:
            yield (
                f"All pictures of {self.path} are the same: try to play it; if they differ there, convert it, for "
                f"example with ffmpeg -i {shlex.quote(str(self.path))} -vf yadif -c:v libx264 OUT.mp4"
            )

    def _remarks_on_times(self) -> Iterator[str]:
        if self._index > 1 and not self._media.timed:
            yield (
                f"{self.path} holds no times: {self.rate:g} frames/s were assumed; "
                "give the camera's rate with --fps if it was another."
            )
        elif not usual_rate(self.rate):
            yield (
                f"{self.path} promises {self.rate:g} frames/s, which is hardly a camera's rate, so its times are "
                "doubtful: give the true rate with --fps."
            )
        for at, length in self._media.leaps[:1]:
            others = f" ({len(self._media.leaps)} leaps in all)" if len(self._media.leaps) > 1 else ""
            yield (
                f"The clock of {self.path} leaps by {length:+.0f} s at {at:.1f} s{others}: "
                "every frame was read, and time goes on without the leap."
            )

    def _raise_if_closed(self) -> None:
        if self._closing.is_set():
            raise SourceEnded(f"{self.path} was closed.")
