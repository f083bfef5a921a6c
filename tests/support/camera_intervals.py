"""Take the frames of a camera into intervals, as the service does, without anything to be counted."""

from __future__ import annotations

import time
from collections.abc import Callable

from edge_app.camera_health.monitor import ViewMonitor
from edge_app.camera_health.quality import QualityMonitor
from edge_app.records import IntervalCounts
from edge_app.sources import Source
from edge_app.storage.counts import Counting
from edge_app.storage.intervals import Intervals


class CameraIntervals:
    """Intervals of an hour with the frames of one camera and their quality flags.

    wall: UTC s.
    """

    def __init__(self, source: Source, wall: Callable[[], float]) -> None:
        self.source, self._wall = source, wall
        self.intervals = Intervals(["a"], Counting(["car"], 3600.0), grace_s=0.0)
        self.quality = QualityMonitor(ViewMonitor(), None)

    def step(self) -> bool:
        """Wait up to 0.1 s for a frame and record it; return True when one came."""
        frame = self.source.read(0.1)
        if frame is not None:
            self.intervals.record(frame.captured_at, (), 0, self.quality.flags(frame))
        self.intervals.advance(self._wall())
        return frame is not None

    def run(self, seconds: float) -> int:
        """Record frames for this time, s, and return their number."""
        until, frames = time.monotonic() + seconds, 0
        while time.monotonic() < until:
            frames += self.step()
        return frames

    def wait_for_connection(self, reconnects: int, within: float) -> float:
        """Record frames until one came after this number of reconnects; return the seconds that it took.

        Returns after `within` s at the latest.
        """
        began = time.monotonic()
        while not self.step() or self.source.status.reconnects < reconnects:
            if time.monotonic() - began > within:
                break
        return time.monotonic() - began

    @property
    def interval(self) -> IntervalCounts:
        """The newest open interval."""
        return self.intervals.open[-1]

    @property
    def observed_s(self) -> float:
        """Observed seconds of all open intervals."""
        return sum(interval.observed_s for interval in self.intervals.open)
