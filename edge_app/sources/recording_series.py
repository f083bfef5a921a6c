"""Read several recordings of one camera, one after the other, as if they were one file."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from edge_app.errors import SourceEnded, SourceError
from edge_app.records import Frame
from edge_app.sources import SourceStatus
from edge_app.sources.recording import Recording


@dataclass(frozen=True, slots=True)
class Part:
    """One recording of a series. frames: number in the file. fps: its rate. start_s: s from the first frame of all."""

    path: Path
    frames: int
    fps: float
    start_s: float


class RecordingSeries:
    """Source of the frames of several recordings in a row, at pace "fast".

    The next recording begins where the one before ends; where one was cut off, at the end that it promised, so that
    what is missing is a gap in time. Indexes and times of the frames count on through all.
    open_part: opens one recording. paths: at least one.
    Raises SourceError: when one of them does not open or has another size than the first, before anything is counted.
    """

    live = False

    def __init__(self, open_part: Callable[[Path], Recording], paths: Sequence[Path]) -> None:
        self._open_part, self._waiting = open_part, list(paths)
        self._first: tuple[Path, tuple[int, int]] | None = None
        self.frames_expected = sum(self._checked(path) for path in paths)
        self.parts: list[Part] = []
        self._details: list[str] = []
        self._frames, self._start_s = 0, 0.0
        self._using, self._closing = threading.Lock(), threading.Event()
        self._current = self._open_next()
        self.rate = self._current.rate

    @property
    def status(self) -> SourceStatus:
        status = self._current.status
        details = dict.fromkeys([*self._details, status.detail])  # the last one is in both when all has ended
        return replace(status, detail=" ".join(filter(None, details)))

    def read(self, timeout: float) -> Frame | None:
        """Return the next frame. Raises SourceEnded: after close() and at the end of the last recording."""
        with self._using:
            while True:
                try:
                    frame = self._current.read(timeout)
                except SourceEnded:
                    self._finish_part()
                    continue
                if frame is None:
                    return None
                at = self._start_s + frame.monotonic
                return replace(frame, index=self._frames + frame.index, captured_at=at, monotonic=at, media_s=at)

    def close(self) -> None:
        """Close the open recording; may be called twice and from any thread."""
        self._closing.set()
        self._current.close()
        with self._using:
            self._current.close()

    def _checked(self, path: Path) -> int:
        """Return the number of frames that a recording promises, after a look at its first one."""
        part = self._open_part(path)
        try:
            part.read(0.0)
        finally:
            part.close()
        size = part.status.width, part.status.height
        self._first = self._first or (path, size)
        if size != self._first[1]:
            raise SourceError(
                f"{path} is {size[0]}x{size[1]} px, {self._first[0]} is {self._first[1][0]}x{self._first[1][1]} px: "
                "recordings in a row must be one camera's, with the same settings."
            )
        return part.frames_expected

    def _open_next(self) -> Recording:
        return self._open_part(self._waiting.pop(0))

    def _finish_part(self) -> None:
        part = self._current
        if not self._closing.is_set():
            self.parts.append(Part(part.path, part.frames, part.rate, self._start_s))
            self._details.append(part.status.detail)
        if self._closing.is_set() or not self._waiting:
            raise SourceEnded(self.status.detail or "The last recording is over.")
        part.close()
        self._frames += part.frames
        self._start_s += part.length_s
        try:
            self._current = self._open_next()
        except SourceError as error:  # it was there at the start: what was counted before it is not lost
            self._details.append(f"{error} Neither it nor what follows was counted.")
            self._waiting = []
            raise SourceEnded(self.status.detail) from error
