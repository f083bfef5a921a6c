"""Serve the preview of a running service: the newest picture on request, and streams while somebody watches them.

The counting thread only hands over references. Drawing and encoding are done in threads of their own, and a fault there
ends the preview, never the counting.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from datetime import datetime, timezone
from typing import Final

from edge_app.counting.running_totals import RunningTotals
from edge_app.drawing import scene
from edge_app.drawing.overlay import LineGlow, Trails
from edge_app.drawing.scene import Captions, Privacy
from edge_app.errors import PreviewError
from edge_app.measures.ground import Geometry
from edge_app.measures.live_speeds import LiveSpeeds
from edge_app.preview.main_stream import MainStream
from edge_app.preview.rtsp import RtspServer, Stream
from edge_app.records import Frame, FrameResult, Image, Line
from edge_app.sources.pacing import RateLimit
from edge_app.system.threads import Latest, Worker, join_all

log = logging.getLogger(__name__)

_WAIT_S: Final = 1.0
_GREY_PICTURE_S: Final = 0.25
"""Time between the grey pictures that are sent while there is none: viewers need a few before they show any."""
_STALE_S: Final = 2.0
"""A picture older than this is not shown as live."""
_NOTES_S: Final = 0.5
_MAIN_STREAM_S: Final = 1.0
"""Longest wait of a snapshot for the camera's main stream, of which no picture is kept while nobody watches."""
_JOIN_S: Final = 5.0
_MEASURED_S: Final = 10.0
"""Speeds are measured for so long after somebody asked for them: nobody looks most of the time."""
_NO_PICTURE: Final = "the service has no fresh picture now: the camera is away, or has just been opened"


class Preview:
    """The newest result of the service as pictures that people may see.

    notes: returns short sentences about the service's state; called only while somebody watches. main: the larger
    stream of a camera that has two, shown in place of the frames in which vehicles are counted. geometry: for speeds.
    """

    def __init__(
        self,
        lines: Sequence[Line],
        classes: Sequence[str],
        privacy: Privacy,
        notes: Callable[[], Sequence[str]] = lambda: (),
        main: MainStream | None = None,
        geometry: Geometry | None = None,
    ) -> None:
        self._measured = LiveSpeeds(geometry) if geometry else None
        self._measuring, self._measured_until = threading.Lock(), 0.0
        self._main = main or MainStream()
        self._lines, self._privacy, self._notes = tuple(lines), privacy, notes
        self._totals, self._glow = RunningTotals(lines, classes), LineGlow()
        self._newest: tuple[FrameResult, float] | None = None
        self._trails = Trails()
        self._trails_size = (0, 0)
        self._newest_notes: tuple[float, Sequence[str]] = (0.0, ())
        self._slot: Latest[FrameResult] | None = None

    def rename(self, lines: Sequence[Line]) -> None:
        """Use the names of these lines, which are otherwise the same. Any thread may call it."""
        self._lines = tuple(lines)

    def update(self, result: FrameResult) -> None:
        """Take over the newest result of the pipeline; called in the counting thread after the frame was counted."""
        self._totals.add(result.crossings)
        self._glow.add(result.crossings, result.frame.monotonic)
        if self._measured and time.monotonic() < self._measured_until:
            with self._measuring:
                self._measured.observe(result)
        result = self._main.replace_picture(result)
        self._newest = result, time.monotonic()
        slot = self._slot  # the preview thread may set it to None at any moment
        if slot is not None:
            slot.put(result)

    def snapshot(self, *, annotated: bool, width: int = 3840) -> Image:
        """Return the newest picture, uint8 (h, w, 3) BGR, at most `width` px wide.

        Raises PreviewError: when there is none, or only an old one.
        """
        if not self._fresh:
            raise PreviewError(_NO_PICTURE)
        self._wait_for_main_stream()
        return self.newest(annotated=annotated, width=width)

    def speeds(self, width: int) -> Image:
        """Return the newest picture with the vehicles and their speeds, and measure them for some more seconds.

        width: the largest, px. Raises PreviewError: when there is no picture, or only an old one.
        """
        self._measured_until = time.monotonic() + _MEASURED_S
        if self._newest is None or not self._fresh:
            raise PreviewError(_NO_PICTURE)
        result = self._newest[0]
        with self._measuring:
            sighted = self._measured.sighted(result.tracks) if self._measured else None
        speeds = sighted.speeds() if sighted else None
        return scene.annotated(result, width, self._privacy, Captions((), {}), Trails(), speeds)

    def newest(self, *, annotated: bool, width: int) -> Image:
        """Return the newest picture however old it is. Raises PreviewError when there is none."""
        if self._newest is None:
            raise PreviewError("there is no picture yet")
        result = self._newest[0]
        if not annotated:
            return scene.plain(result, width, self._privacy)
        return scene.annotated(result, width, self._privacy, self._captions(result.frame), Trails())

    @property
    def shows_main_stream(self) -> bool:
        """Whether the newest picture is of the camera's larger stream, or of its only one."""
        return self._newest is not None and self._main.size in (None, self._newest[0].frame.size)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the pictures, px; before the first frame a guess."""
        if self._main.size:
            return self._main.size
        return self._newest[0].frame.size if self._newest else (1280, 720)

    def feed(self, server: RtspServer, annotated: Stream, plain: Stream, stop: threading.Event) -> None:
        """Give pictures to the streams while they are watched, until `stop` is set: the work of the preview thread."""
        limits = {stream.path: RateLimit(stream.rate) for stream in (annotated, plain)}
        widths = {stream.path: stream.size[0] for stream in (annotated, plain)}
        while not stop.is_set():
            for stream in (annotated, plain):
                stream.size = _stream_size(self.size, widths[stream.path])
            if not server.has_viewers.wait(_WAIT_S):
                self._slot = None
                continue
            self._main.request(2 * _WAIT_S)
            result = self._next()
            for stream in (annotated, plain):
                size = stream.watched
                if size and (result is None or limits[stream.path].due(time.monotonic())):
                    server.push(stream, _in_size(self._picture(result, stream is annotated, size), size))

    def _wait_for_main_stream(self) -> None:
        """Wait until the newest picture is one of the main stream, if the camera has one."""
        self._main.request(2 * _MAIN_STREAM_S)
        deadline = time.monotonic() + _MAIN_STREAM_S
        while not self.shows_main_stream and time.monotonic() < deadline:
            time.sleep(0.02)

    def _next(self) -> FrameResult | None:
        """Return the next result to show, after a short wait the newest again, None when that one is too old."""
        if self._slot is None:
            self._trails, self._slot = Trails(), Latest()
        result = self._slot.get(_GREY_PICTURE_S)
        return result or (self._newest[0] if self._newest and self._fresh else None)

    @property
    def _fresh(self) -> bool:
        return self._newest is not None and time.monotonic() - self._newest[1] < _STALE_S

    def _picture(self, result: FrameResult | None, annotated: bool, size: tuple[int, int]) -> Image:
        if result is None:
            return scene.empty(size[0], size, self._captions(None))
        if not annotated:
            return scene.plain(result, size[0], self._privacy)
        factor = min(1.0, size[0] / result.frame.size[0])
        if result.frame.size != self._trails_size:  # from the small stream to the main one: the old trails do not fit
            self._trails_size, self._trails = result.frame.size, Trails()
        self._trails.add(scene.scaled(result.tracks, factor), result.frame.monotonic)
        return scene.annotated(result, size[0], self._privacy, self._captions(result.frame), self._trails)

    def _captions(self, frame: Frame | None) -> Captions:
        now = time.monotonic()
        if now - self._newest_notes[0] > _NOTES_S:
            self._newest_notes = now, tuple(self._notes())
        notes = self._newest_notes[1]
        if frame is None:
            return Captions(self._lines, self._totals.by_line, "no picture from the camera", notes)
        clock = f"{datetime.fromtimestamp(frame.captured_at, timezone.utc):%Y-%m-%d %H:%M:%S} UTC"
        return Captions(self._lines, self._totals.by_line, clock, notes, self._glow.at(frame.monotonic))


class Broadcast:
    """The preview over RTSP: its thread runs within the context, and the server is closed at its end."""

    def __init__(self, preview: Preview, server: RtspServer, annotated: Stream, plain: Stream) -> None:
        self._server = server
        self._worker = Worker(
            "preview", lambda stop: preview.feed(server, annotated, plain, stop), lambda _, fault: self._failed(fault)
        )

    def __enter__(self) -> Broadcast:
        self._worker.start()
        return self

    def __exit__(self, *_: object) -> None:
        join_all([self._worker], _JOIN_S)
        self._server.close()

    def _failed(self, fault: BaseException) -> None:
        log.critical("the preview failed; counting goes on without it", exc_info=fault)
        self._server.close()


def _stream_size(size: tuple[int, int], width: int) -> tuple[int, int]:
    """Return width and height of a stream, px, even as video needs them: at most `width` wide, in the given shape."""
    factor = min(1.0, width / size[0])
    return max(16, int(size[0] * factor) & ~1), max(16, int(size[1] * factor) & ~1)


def _in_size(image: Image, size: tuple[int, int]) -> Image:
    """Return the picture in exactly this size, on black if its shape differs.

    A camera may come back with another shape while somebody watches.
    """
    return image if image.shape[1::-1] == size else scene.on_black(image, size)
