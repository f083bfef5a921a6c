"""A counted recording as a video for people: overlay on every frame, running totals, lines that light up."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Final

from edge_app.counting.pipeline import Pipeline
from edge_app.drawing.overlay import Trails, draw
from edge_app.drawing.video_file import VideoOut
from edge_app.records import DIRECTIONS, Crossing, Direction, Frame, Line

_GLOW_S: Final = 0.6
"""How long a line stays lit after a crossing."""


class Annotator:
    """Writes every frame it is given, with what the pipeline saw in it; a context manager.

    The file is opened with the first frame, whose size is that of the video. Raises SourceError when it cannot be
    written.
    """

    def __init__(
        self, path: Path, fps: float, pipeline: Pipeline, lines: Sequence[Line], classes: Sequence[str]
    ) -> None:
        self._path, self._fps, self._pipeline, self._lines = path, fps, pipeline, lines
        self._video: VideoOut | None = None
        self._trails = Trails()
        self._totals: dict[str, dict[str, dict[Direction, int]]] = {
            line.id: {label: dict.fromkeys(DIRECTIONS, 0) for label in classes} for line in lines
        }
        self._lit: dict[str, float] = {}

    def write(self, frame: Frame, crossings: Sequence[Crossing]) -> None:
        """Call it after the pipeline has processed the frame."""
        for crossing in crossings:
            self._totals[crossing.line][crossing.label][crossing.direction] += 1
            self._lit[crossing.line] = frame.monotonic
        tracks = self._pipeline.tracks
        if tracks is None:
            return
        if self._video is None:
            self._video = VideoOut(self._path, self._fps, frame.size)
        self._trails.add(tracks, frame.monotonic)
        glow = {line: max(0.0, 1 - (frame.monotonic - at) / _GLOW_S) for line, at in self._lit.items()}
        clock = f"{int(frame.monotonic) // 60}:{frame.monotonic % 60:04.1f}"
        self._video.write(draw(frame.image, tracks, self._lines, self._totals, self._trails, clock=clock, glow=glow))

    def __enter__(self) -> Annotator:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._video is not None:
            self._video.close()
