"""What subscribers read while a real RTSP camera fails: coverage, frames and quality tell the truth, and it resumes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

import pytest

from edge_app.camera_health.monitor import ViewMonitor
from edge_app.camera_health.quality import QualityMonitor
from edge_app.records import IntervalCounts
from edge_app.sources import Source, open_source
from edge_app.storage.intervals import Intervals
from tests.support import rtsp_server
from tests.support.rtsp_server import RtspServer

pytestmark = pytest.mark.skipif(bool(rtsp_server.why_not()), reason=rtsp_server.why_not() or "-")

BLACK = "videotestsrc is-live=true pattern=black"
NOISE = "videotestsrc is-live=true pattern=snow"
RESUMES_S = 8.0


class Road:
    """A camera's frames taken into intervals as the service does it, without anything to be counted."""

    def __init__(self, source: Source, wall: Callable[[], float]) -> None:
        self.source, self._wall = source, wall
        self.intervals = Intervals(["a"], ["car"], 3600.0, grace_s=0.0)
        self.quality = QualityMonitor(ViewMonitor(), None)

    def watch(self, seconds: float) -> int:
        """Frames seen in this time."""
        until, frames = time.monotonic() + seconds, 0
        while time.monotonic() < until:
            frames += self.step()
        return frames

    def step(self) -> bool:
        frame = self.source.read(0.1)
        if frame is not None:
            self.intervals.record(frame.captured_at, (), 0, self.quality.flags(frame))
        self.intervals.advance(self._wall())
        return frame is not None

    def resume(self, reconnects: int = 0) -> None:
        """Until a frame has come of the connection with this number."""
        deadline = time.monotonic() + RESUMES_S
        while not self.step() or self.source.status.reconnects < reconnects:
            assert time.monotonic() < deadline, self.source.status

    @property
    def interval(self) -> IntervalCounts:
        return self.intervals.open[-1]


@contextmanager
def road(url: str, *, frozen_s: float = 10.0, wall: Callable[[], float] = time.time) -> Iterator[Road]:
    options = {"open_timeout_s": 2.0, "read_timeout_s": 0.4, "retry_s": (0.1, 0.3), "frozen_s": frozen_s, "wall": wall}
    with closing(open_source("stream", url=url, **options)) as source:
        yield Road(source, wall)


@pytest.fixture(autouse=True)
def no_edge_of_an_hour() -> None:
    """Intervals of an hour, so that all is in one; not begun within its last half minute."""
    if (left := 3600 - time.time() % 3600) < 40:
        time.sleep(left + 0.1)


def test_a_camera_that_is_away_for_three_seconds_is_missing_from_the_coverage() -> None:
    server = RtspServer()
    with road(server.url) as seen:
        seen.resume()
        began = time.monotonic()
        seen.watch(1.5)
        server.close()
        seen.watch(3.0)
        away = seen.interval.observed_s
        with RtspServer(port=server.port, width=640, height=352):
            seen.resume(1)
            back = time.monotonic()
            seen.watch(1.5)
        whole = time.monotonic() - began
    assert away == pytest.approx(1.5, abs=0.4)
    assert seen.interval.observed_s == pytest.approx(away + time.monotonic() - back, abs=0.8)
    assert seen.interval.observed_s < whole - 2.5


def test_a_camera_that_restarts_every_second_comes_back_every_time() -> None:
    server = RtspServer()
    with road(server.url) as seen:
        for times in range(3):
            seen.resume(times)
            seen.watch(1.0)
            server.close()
            server = RtspServer(port=server.port)
        seen.resume(3)
        server.close()
    assert seen.interval.observed_s > 2.0


def test_a_camera_that_hangs_gives_no_coverage_and_resumes() -> None:
    with RtspServer() as server, road(server.url) as seen:
        seen.resume()
        seen.watch(0.5)
        server.freeze()
        seen.watch(1.5)
        stuck = seen.interval.observed_s
        assert not seen.watch(1.0)
        assert seen.interval.observed_s == stuck < 1.8
        server.thaw()
        seen.resume(1)


def test_the_same_picture_again_and_again_gives_no_coverage_after_the_limit() -> None:
    still = "videotestsrc is-live=true pattern=circular"
    alike = "x264enc tune=zerolatency speed-preset=ultrafast pass=quant quantizer=20 key-int-max=1"
    with RtspServer(still, encoder=alike) as server, road(server.url, frozen_s=1.0) as seen:
        seen.resume()
        seen.watch(3.0)
        held = seen.interval.observed_s
        seen.watch(1.0)
        assert seen.source.status.state == "frozen"
        assert seen.interval.observed_s == held < 2.5


def test_a_black_picture_is_covered_but_flagged_dark_and_blind() -> None:
    with RtspServer(BLACK) as server, road(server.url, frozen_s=60.0) as seen:
        seen.resume()
        seen.watch(7.0)
        assert seen.interval.observed_s == pytest.approx(7.0, abs=0.8)
    assert seen.interval.quality == ("dark", "blind")
    assert "covers the lens" in seen.quality.problem


def test_a_lively_picture_is_not_flagged() -> None:
    with RtspServer(NOISE) as server, road(server.url) as seen:
        seen.resume()
        seen.watch(6.0)
    assert seen.interval.quality == ()


@pytest.mark.parametrize("jump_s", [-7200.0, 7200.0])
def test_a_clock_that_jumps_by_two_hours_adds_no_coverage(jump_s: float) -> None:
    offset = [0.0]
    with RtspServer() as server, road(server.url, wall=lambda: time.time() + offset[0]) as seen:
        seen.resume()
        seen.watch(1.0)
        offset[0] = jump_s
        assert seen.watch(1.0) > 10
        total = sum(interval.observed_s for interval in seen.intervals.open)
    assert total < 2.3
