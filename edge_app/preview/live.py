"""The preview of a running service: keeps the newest look for whoever asks, and feeds the streams while one is watched.

The counting thread only hands over references; drawing and encoding are done in threads of their own, and whatever
goes wrong there ends the preview, never the counting.
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
from edge_app.preview.main_stream import MainStream
from edge_app.preview.rtsp import RtspServer, Stream
from edge_app.records import Frame, FrameResult, Image, Line
from edge_app.sources.pacing import RateLimit
from edge_app.system.threads import Latest, Worker, join_all

log = logging.getLogger(__name__)

_WAIT_S: Final = 1.0
_CARD_S: Final = 0.25
"""While there is no picture, a grey one goes out at this pace: viewers want a few before they show any."""
_STALE_S: Final = 2.0
"""An older picture is not shown as if it were live."""
_NOTES_S: Final = 0.5
_SHARP_S: Final = 1.0
"""How long a snapshot waits for the camera's main stream, of which nothing is kept while nobody looks."""
_JOIN_S: Final = 5.0


class Preview:
    """`watch` sees every frame after it was counted.

    notes: short sentences about the service's state, asked for only while somebody looks. main: the larger stream of
    a camera that has two, shown instead of the frames that are counted in.
    """

    def __init__(
        self,
        lines: Sequence[Line],
        classes: Sequence[str],
        privacy: Privacy,
        notes: Callable[[], Sequence[str]] = lambda: (),
        main: MainStream | None = None,
    ) -> None:
        self._main = main or MainStream()
        self._lines, self._privacy, self._notes = tuple(lines), privacy, notes
        self._totals, self._glow = RunningTotals(lines, classes), LineGlow()
        self._newest: tuple[FrameResult, float] | None = None
        self._trails = Trails()
        self._shown = (0, 0)
        self._told: tuple[float, Sequence[str]] = (0.0, ())
        self._slot: Latest[FrameResult] | None = None

    def watch(self, result: FrameResult) -> None:
        """Take the newest result of the pipeline, in the thread that counts."""
        self._totals.add(result.crossings)
        self._glow.add(result.crossings, result.frame.monotonic)
        shown = self._main.sharpened(result)
        self._newest = shown, time.monotonic()
        slot = self._slot  # the other thread may take it away at any moment
        if slot is not None:
            slot.put(shown)

    def snapshot(self, *, annotated: bool, width: int = 3840) -> Image:
        """The newest look. Raises PreviewError when there is none, or only an old one."""
        if not self._fresh:
            raise PreviewError("the service has no fresh picture now: the camera is away, or has just been opened")
        self._sharpen()
        return self.last(annotated=annotated, width=width)

    def last(self, *, annotated: bool, width: int) -> Image:
        """The newest look however old, for who has just shown it one. Raises PreviewError when there is none."""
        if self._newest is None:
            raise PreviewError("there is no picture yet")
        shown = self._newest[0]
        if not annotated:
            return scene.plain(shown, width, self._privacy)
        return scene.annotated(shown, width, self._privacy, self._facts(shown.frame), Trails())

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of what is shown, px; before the first frame a guess."""
        if self._main.size:
            return self._main.size
        return self._newest[0].frame.size if self._newest else (1280, 720)

    def feed(self, server: RtspServer, annotated: Stream, plain: Stream, stop: threading.Event) -> None:
        """The preview thread's body."""
        limits = {stream.path: RateLimit(stream.rate) for stream in (annotated, plain)}
        widths = {stream.path: stream.size[0] for stream in (annotated, plain)}
        while not stop.is_set():
            for stream in (annotated, plain):
                stream.size = _fitting(self.size, widths[stream.path])
            if not server.someone.wait(_WAIT_S):
                self._slot = None
                continue
            self._main.want(2 * _WAIT_S)
            shown = self._next()
            for stream in (annotated, plain):
                size = stream.watched
                if size and (shown is None or limits[stream.path].due(time.monotonic())):
                    server.push(stream, _exactly(self._picture(shown, stream is annotated, size), size))

    def _sharpen(self) -> None:
        """Waits for a look in the main stream, where the camera has one."""
        self._main.want(2 * _SHARP_S)
        deadline = time.monotonic() + _SHARP_S
        while self._main.size and time.monotonic() < deadline:
            if self._newest and self._newest[0].frame.size == self._main.size:
                return
            time.sleep(0.02)

    def _next(self) -> FrameResult | None:
        if self._slot is None:
            self._trails, self._slot = Trails(), Latest()
        shown = self._slot.get(_CARD_S)
        return shown or (self._newest[0] if self._newest and self._fresh else None)

    @property
    def _fresh(self) -> bool:
        return self._newest is not None and time.monotonic() - self._newest[1] < _STALE_S

    def _picture(self, shown: FrameResult | None, annotated: bool, size: tuple[int, int]) -> Image:
        if shown is None:
            return scene.empty(size[0], size, self._facts(None))
        if not annotated:
            return scene.plain(shown, size[0], self._privacy)
        factor = min(1.0, size[0] / shown.frame.size[0])
        if shown.frame.size != self._shown:  # from the small stream to the main one: the trails are in other pixels
            self._shown, self._trails = shown.frame.size, Trails()
        self._trails.add(scene.scaled(shown.tracks, factor), shown.frame.monotonic)
        return scene.annotated(shown, size[0], self._privacy, self._facts(shown.frame), self._trails)

    def _facts(self, frame: Frame | None) -> Captions:
        now = time.monotonic()
        if now - self._told[0] > _NOTES_S:
            self._told = now, tuple(self._notes())
        if frame is None:
            return Captions(self._lines, self._totals.by_line, "no picture from the camera", self._told[1])
        clock = f"{datetime.fromtimestamp(frame.captured_at, timezone.utc):%Y-%m-%d %H:%M:%S} UTC"
        return Captions(self._lines, self._totals.by_line, clock, self._told[1], self._glow.at(frame.monotonic))


class Broadcast:
    """The preview over RTSP, as a context manager: server and thread live within it. Raises PreviewError."""

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
        log.critical("the preview died; counting goes on without it", exc_info=fault)
        self._server.close()


def _fitting(size: tuple[int, int], width: int) -> tuple[int, int]:
    factor = min(1.0, width / size[0])
    return max(16, int(size[0] * factor) & ~1), max(16, int(size[1] * factor) & ~1)


def _exactly(image: Image, size: tuple[int, int]) -> Image:
    """A camera may come back with another shape while somebody watches: put on black then."""
    return image if image.shape[1::-1] == size else scene.on_black(image, size)
