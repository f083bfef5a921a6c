"""Detection runs one frame ahead, so that the interpreter never waits for tracking, counting or the next picture."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeAlias

from edge_app.pipeline import Pipeline
from edge_app.records import Crossing, Detections, Frame

Counted: TypeAlias = tuple[Frame, list[Crossing]]


class Ahead:
    """Detects in one frame while the one before is tracked and counted; used by one thread.

    What comes out is what `Pipeline.process` gives, in the same order, one frame later. Two threads detect: one has
    the interpreter while the other makes its input ready or decodes its output.
    """

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline
        self._pool = ThreadPoolExecutor(2, "detect")
        self._begun: deque[tuple[Frame, Future[Detections]]] = deque()

    def __len__(self) -> int:
        """Frames begun and not ended."""
        return len(self._begun)

    def put(self, frame: Frame) -> list[Counted]:
        """Begins with this frame and ends the one before, if there is one. Raises DetectorError of the one before."""
        self._begun.append((frame, self._pool.submit(self._pipeline.detect, frame)))
        return [self._end()] if len(self._begun) > 1 else []

    def drain(self) -> list[Counted]:
        """Ends what was begun, when no frame comes for a while or ever again. Raises DetectorError."""
        return [self._end() for _ in range(len(self._begun))]

    def through(self, following: Callable[[], Frame | None]) -> Iterator[Counted]:
        """All of a recording: `following` gives the next frame, None at the end."""
        while (frame := following()) is not None:
            yield from self.put(frame)
        yield from self.drain()

    def close(self) -> None:
        """Forgets what was begun; to keep it, drain first."""
        self._pool.shutdown(cancel_futures=True)

    def _end(self) -> Counted:
        frame, detections = self._begun.popleft()
        return frame, self._pipeline.count(frame, detections.result())
