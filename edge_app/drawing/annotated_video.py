"""Draw a counted recording for people: a video with overlay and closing card, and one picture of it.

Everything is drawn after all is counted: only then it is known in which corner the panel hides least of the traffic.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import cv2

from edge_app.counting.running_totals import RunningTotals
from edge_app.drawing.overlay import LineGlow, Trails, closing_card, draw, emptiest_corner
from edge_app.drawing.panel_place import TrafficMap
from edge_app.drawing.result_log import ResultLog
from edge_app.drawing.video_file import VideoOut
from edge_app.errors import SourceError, reason_of
from edge_app.records import Frame, FrameResult, Image, Line
from edge_app.system.files import write_atomic

_CARD_S: Final = 4.0
"""Time for which the closing card is shown."""


@dataclass(frozen=True, slots=True)
class Captions:
    """Texts of a recording. title: what it is. clock: returns the time of day, or since the start, for s since then."""

    title: str
    clock: Callable[[float], str]

    def span(self, seconds: float) -> str:
        """Return begin and end of what was counted. seconds: since the start."""
        begin, end = self.clock(0.0), self.clock(seconds)
        day, _, _time = begin.rpartition(" ")
        return f"{begin} to {end.removeprefix(f'{day} ')}"  # the day only once


class Annotator:
    """Collects the results of a recording, and draws them when they are complete.

    video, thumbnail: files to write, None for none. Raises SourceError: when there is no room for temporary files.
    """

    def __init__(
        self,
        video: Path | None,
        thumbnail: Path | None,
        lines: Sequence[Line],
        classes: Sequence[str],
        captions: Captions,
    ) -> None:
        self._video, self._thumbnail, self._lines, self._classes = video, thumbnail, lines, classes
        self._captions, self._log, self._traffic = captions, ResultLog(), TrafficMap()
        self._final = RunningTotals(lines, classes)
        self._fullest, self._shown, self._end = (0, 0.0), 0, 0.0

    def observe(self, result: FrameResult) -> None:
        """Keep the result of the next frame. Raises SourceError: when there is no room for temporary files."""
        self._log.add(result)
        self._traffic.add(result.tracks.boxes, result.frame.size)
        self._traffic.look(result.frame.image)
        self._final.add(result.crossings)
        self._end = result.frame.monotonic
        boxes = result.tracks.boxes[result.tracks.seen]
        fullest = len(boxes), float(((boxes[:, 2:] - boxes[:, :2]).prod(axis=1)).sum())
        if fullest > self._fullest:  # most vehicles, and of such frames the one in which they are largest
            self._fullest, self._shown = fullest, result.frame.index

    def draw(
        self, frames: Iterable[Frame], fps: float, step: Callable[[], None], speeds: Mapping[int, float] | None = None
    ) -> None:
        """Draw the frames of the recording, read once more. step: called after each. speeds: km/h of tracks, by id.

        Raises SourceError: when a file cannot be written.
        """
        video: VideoOut | None = None
        card: Image | None = None
        try:
            for frame, picture in self._pictures(frames, speeds):
                if self._video is not None:
                    video = video or VideoOut(self._video, fps, frame.size)
                    video.write(picture)
                if self._thumbnail is not None and frame.index == self._shown:
                    self._write_thumbnail(self._thumbnail, picture)
                card = frame.image
                step()
            if video is not None and card is not None:
                card = closing_card(
                    card, self._lines, self._final.by_line, **self._texts(round(self._end + 1 / fps, 3))
                )
                for _ in range(round(_CARD_S * fps)):
                    video.write(card)
        finally:
            self.close()
            if video is not None:
                video.close()

    def close(self) -> None:
        self._log.close()

    def _pictures(self, frames: Iterable[Frame], speeds: Mapping[int, float] | None) -> Iterable[tuple[Frame, Image]]:
        trails, glow, totals, corner = Trails(), LineGlow(), RunningTotals(self._lines, self._classes), None
        for frame, (index, tracks, crossings) in zip(frames, self._log, strict=False):
            if frame.index != index:
                raise SourceError("the recording has changed while it was counted: no video of it can be drawn")
            now = frame.monotonic
            texts = {"title": self._captions.title, "clock": self._captions.clock(now)}
            corner = corner or emptiest_corner(frame.size, self._lines, self._final.by_line, self._traffic, **texts)
            totals.add(crossings)
            glow.add(crossings, now)
            trails.add(tracks, now)
            lit = glow.at(now)
            yield (
                frame,
                draw(
                    frame.image,
                    tracks,
                    self._lines,
                    totals.by_line,
                    trails,
                    glow=lit,
                    corner=corner,
                    speeds=speeds,
                    **texts,
                ),
            )

    def _texts(self, end: float) -> dict[str, str]:
        return {"title": self._captions.title, "clock": self._captions.span(end)}

    def _write_thumbnail(self, path: Path, picture: Image) -> None:
        try:
            ok, encoded = cv2.imencode(path.suffix, picture)
            if not ok:
                raise SourceError(f"cannot write {path}: it cannot be encoded")
            write_atomic(path, encoded.tobytes())
        except OSError as error:
            raise SourceError(f"cannot write {path}: {reason_of(error)}") from error
