"""Write a counted recording as a video for people: overlay on every frame, running totals, lines that light up."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from edge_app.counting.running_totals import RunningTotals
from edge_app.drawing.overlay import LineGlow, Trails, draw
from edge_app.drawing.video_file import VideoOut
from edge_app.records import FrameResult, Line


class Annotator:
    """Annotated video of the results of a recording.

    A context manager: the file is complete when it ends.
    path: the video, opened with the first frame and of its size. fps: frames per second of the recording.
    Raises SourceError: when the video cannot be written.
    """

    def __init__(self, path: Path, fps: float, lines: Sequence[Line], classes: Sequence[str]) -> None:
        self._path, self._fps, self._lines = path, fps, lines
        self._video: VideoOut | None = None
        self._trails, self._glow = Trails(), LineGlow()
        self._totals = RunningTotals(lines, classes)

    def write(self, result: FrameResult) -> None:
        """Draw one result and append it to the video."""
        frame, tracks = result.frame, result.tracks
        self._totals.add(result.crossings)
        self._glow.add(result.crossings, frame.monotonic)
        if self._video is None:
            self._video = VideoOut(self._path, self._fps, frame.size)
        self._trails.add(tracks, frame.monotonic)
        clock = f"{int(frame.monotonic) // 60}:{frame.monotonic % 60:04.1f}"
        glow, totals = self._glow.at(frame.monotonic), self._totals.by_line
        self._video.write(draw(frame.image, tracks, self._lines, totals, self._trails, clock=clock, glow=glow))

    def close(self) -> None:
        """Complete the file. Raises SourceError: when it could not be written."""
        if self._video is not None:
            self._video.close()

    def __enter__(self) -> Annotator:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
