"""Watch the road for somebody who draws on it: keep the newest picture, and the tracks of the last minute."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from edge_app.counting.line_counter import LineCounter
from edge_app.counting.pipeline import Pipeline
from edge_app.drawing import scene
from edge_app.drawing.overlay import Trails
from edge_app.drawing.scene import Captions, Privacy
from edge_app.errors import EdgeAppError, PreviewError, SourceEnded
from edge_app.measures.ground import Geometry
from edge_app.measures.live_speeds import LiveSpeeds
from edge_app.records import FrameResult, Image, Line, Tracks
from edge_app.sources import Source
from edge_app.system.threads import Worker, join_all
from edge_app.web.line_check import DetectorView, Finding, LineObserver, check_line

_REMEMBERED_S: Final = 60.0
_WAIT_S: Final = 0.5
_JOIN_S: Final = 15.0
_IDLE_S: Final = 0.1
_WATCHED_S: Final = 90.0
"""The road is watched for so long after somebody asked for it: else a page that is left open would cost as much as
counting does."""


@dataclass(frozen=True, slots=True)
class _Moment:
    """The tracks of one frame. at, time: s, of this machine's clock and of the frame's."""

    at: float
    time: float
    tracks: Tracks


@dataclass(frozen=True, slots=True)
class Crossed:
    """Vehicles that passed a line in the last `seconds`, by direction as in DIRECTIONS."""

    counts: tuple[int, int]
    seconds: float


class LiveView:
    """Source and pipeline in a thread of their own, running within the context while somebody asks for what they see.

    open_source: opens the source; called again when a recording is over or the source failed.
    """

    def __init__(self, open_source: Callable[[], Source], pipeline: Pipeline, privacy: Privacy) -> None:
        self._open_source, self._pipeline, self._privacy = open_source, pipeline, privacy
        self._lock = threading.Lock()
        self._recent: deque[_Moment] = deque()
        self._newest: FrameResult | None = None
        self._wanted_until = 0.0
        self._speeds: LiveSpeeds | None = None
        self.problem = ""
        """One sentence while there is no picture."""
        self._worker = Worker("live-view", self._run, self._failed)

    def __enter__(self) -> LiveView:
        self._worker.start()
        return self

    def __exit__(self, *_: object) -> None:
        join_all([self._worker], _JOIN_S)

    def picture(self, width: int) -> Image:
        """Return the newest picture with the vehicles marked, with speeds where they are measured.

        width: the largest, px.

        Raises PreviewError: before the first picture.
        """
        newest, _ = self._now()
        if newest is None:
            raise PreviewError(self.problem or "waiting for the first picture")
        with self._lock:
            sighted = self._speeds.sighted(newest.tracks) if self._speeds else None
        speeds = sighted.speeds() if sighted else None
        return scene.annotated(newest, width, self._privacy, Captions((), {}), Trails(), speeds)

    def measure(self, geometry: Geometry | None) -> None:
        """Draw speeds at the vehicles from now on, at once where others were drawn; none for None."""
        with self._lock:
            if geometry and self._speeds:
                self._speeds.use(geometry)
            else:
                self._speeds = LiveSpeeds(geometry) if geometry else None

    def frames(self) -> tuple[tuple[int, int], float] | None:
        """Return width and height of the newest frame, px, and the frames/s; None before there are any."""
        newest, recent = self._now()
        if newest is None or len(recent) < 2:
            return None
        return newest.frame.size, _rate(recent)

    def check_lines(self, lines: Sequence[Line], view: DetectorView) -> list[Finding]:
        """Return what the last minute shows about lines, which may have been drawn only now."""
        newest, recent = self._now()
        if newest is None or len(recent) < 2:
            return []
        lasted = recent[-1].at - recent[0].at
        findings = []
        for line in lines:
            observer = LineObserver(line, newest.frame.size)
            for moment in recent:
                if len(moment.tracks):
                    observer.update(moment.tracks)
            findings += check_line(observer, view, _rate(recent), lasted)
        return findings

    def crossed(self, lines: Sequence[Line], band: float) -> dict[str, Crossed]:
        """Return line id -> what the service would have counted there in the last minute.

        band: half-width of the dead band, in box extents.
        """
        newest, recent = self._now()
        if newest is None or len(recent) < 2:
            return {}
        width, height = newest.frame.size
        found = {}
        for line in lines:
            ends = [(x * width, y * height) for x, y in (line.start, line.end)]
            counter, counts = LineCounter(*ends, band=band), [0, 0]
            for moment in recent:
                for crossing in counter.update(moment.tracks, moment.time):
                    counts[crossing.direction] += 1
            found[line.id] = Crossed((counts[0], counts[1]), recent[-1].at - recent[0].at)
        return found

    def _now(self) -> tuple[FrameResult | None, list[_Moment]]:
        """Return the newest picture and the last minute, and go on watching."""
        with self._lock:
            self._wanted_until = time.monotonic() + _WATCHED_S
            return self._newest, list(self._recent)

    def _is_wanted(self) -> bool:
        """Return whether somebody looks; what was seen before nobody did is forgotten."""
        with self._lock:
            if time.monotonic() < self._wanted_until:
                return True
            self._newest = None
            self._recent.clear()
            return False

    def _run(self, stop: threading.Event) -> None:
        while not stop.is_set():
            if not self._is_wanted():
                stop.wait(_IDLE_S)
                continue
            source: Source | None = None
            try:
                source = self._open_source()
                self._follow(source, stop)
            except SourceEnded:
                pass  # a recording begins again
            except EdgeAppError as error:
                self.problem = str(error)
                stop.wait(1.0)
            finally:
                if source is not None:
                    source.close()

    def _follow(self, source: Source, stop: threading.Event) -> None:
        while not stop.is_set() and self._is_wanted():
            frame = source.read(_WAIT_S)
            if frame is None:
                self.problem = source.status.detail
            else:
                self._remember(self._pipeline.process(frame))

    def _remember(self, result: FrameResult) -> None:
        now = time.monotonic()
        with self._lock:
            if self._newest and self._newest.frame.size != result.frame.size:
                self._recent.clear()  # those tracks are in px of another size
            self._newest = result
            if self._speeds:
                self._speeds.observe(result)
            if self._recent and result.frame.monotonic < self._recent[-1].time:
                self._recent.clear()  # a recording has begun again
            self._recent.append(_Moment(now, result.frame.monotonic, result.tracks))
            while self._recent and now - self._recent[0].at > _REMEMBERED_S:
                self._recent.popleft()

    def _failed(self, _name: str, fault: BaseException) -> None:
        self.problem = f"the live view failed: {fault}; start edge-app lines again"


def _rate(recent: Sequence[_Moment]) -> float:
    """Return the frames/s of two moments or more."""
    return (len(recent) - 1) / max(recent[-1].at - recent[0].at, 1e-3)
