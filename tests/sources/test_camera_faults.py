"""Faults of a real RTSP camera: coverage, frames and quality flags stay correct, and frames come again afterwards."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

import pytest

from edge_app.sources import open_source
from tests.support.camera_intervals import CameraIntervals
from tests.support.reading import needs_rtsp
from tests.support.rtsp_server import STILL, RtspServer

pytestmark = needs_rtsp

BLACK = "videotestsrc is-live=true pattern=black"
NOISE = "videotestsrc is-live=true pattern=snow"
RESUMES_S = 8.0


@contextmanager
def watched(url: str, *, frozen_s: float = 10.0, wall: Callable[[], float] = time.time) -> Iterator[CameraIntervals]:
    options = {"open_timeout_s": 2.0, "read_timeout_s": 0.4, "retry_s": (0.1, 0.3), "frozen_s": frozen_s, "wall": wall}
    with closing(open_source("stream", url=url, **options)) as source:
        yield CameraIntervals(source, wall)


def connect(camera: CameraIntervals, reconnects: int = 0) -> None:
    assert camera.wait_for_connection(reconnects, RESUMES_S) < RESUMES_S, camera.source.status


@pytest.fixture(autouse=True)
def away_from_the_end_of_an_hour() -> None:
    """Let each test run within one interval of an hour: wait when less than 40 s of it are left."""
    if (left := 3600 - time.time() % 3600) < 40:
        time.sleep(left + 0.1)


@pytest.mark.long
def test_a_camera_that_is_away_for_three_seconds_is_missing_from_the_coverage() -> None:
    server = RtspServer()
    with watched(server.url) as camera:
        connect(camera)
        began = time.monotonic()
        camera.run(1.5)
        server.close()
        camera.run(3.0)
        away = camera.interval.observed_s
        with RtspServer(port=server.port, width=640, height=352):
            connect(camera, 1)
            back = time.monotonic()
            camera.run(1.5)
        lasted = time.monotonic() - began
    assert away == pytest.approx(1.5, abs=0.4)
    assert camera.interval.observed_s == pytest.approx(away + time.monotonic() - back, abs=0.8)
    assert camera.interval.observed_s < lasted - 2.5


@pytest.mark.long
def test_a_camera_that_restarts_every_second_comes_back_every_time() -> None:
    server = RtspServer()
    with watched(server.url) as camera:
        for times in range(3):
            connect(camera, times)
            camera.run(1.0)
            server.close()
            server = RtspServer(port=server.port)
        connect(camera, 3)
        server.close()
    assert camera.interval.observed_s > 2.0


def test_a_camera_that_hangs_gives_no_coverage_and_resumes() -> None:
    with RtspServer() as server, watched(server.url) as camera:
        connect(camera)
        camera.run(0.5)
        server.freeze()
        camera.run(1.5)
        observed_s = camera.interval.observed_s
        assert not camera.run(1.0)
        assert camera.interval.observed_s == observed_s < 1.8
        server.thaw()
        connect(camera, 1)


@pytest.mark.long
def test_a_repeated_picture_gives_no_coverage_after_the_limit() -> None:
    constant = "x264enc tune=zerolatency speed-preset=ultrafast pass=quant quantizer=20 key-int-max=1"
    with RtspServer(STILL, encoder=constant) as server, watched(server.url, frozen_s=1.0) as camera:
        connect(camera)
        camera.run(3.0)
        observed_s = camera.interval.observed_s
        camera.run(1.0)
        assert camera.source.status.state == "frozen"
        assert camera.interval.observed_s == observed_s < 2.5


@pytest.mark.long
def test_a_black_picture_is_covered_but_flagged_dark_and_blind() -> None:
    with RtspServer(BLACK) as server, watched(server.url, frozen_s=60.0) as camera:
        connect(camera)
        camera.run(7.0)
        assert camera.interval.observed_s == pytest.approx(7.0, abs=0.8)
    assert camera.interval.quality == ("dark", "blind")
    assert "covers the lens" in camera.quality.problem


@pytest.mark.long
def test_a_changing_picture_is_not_flagged() -> None:
    with RtspServer(NOISE) as server, watched(server.url) as camera:
        connect(camera)
        camera.run(6.0)
    assert camera.interval.quality == ()


@pytest.mark.long
@pytest.mark.parametrize("jump_s", [-7200.0, 7200.0])
def test_a_clock_that_jumps_by_two_hours_adds_no_coverage(jump_s: float) -> None:
    offset = [0.0]
    with RtspServer() as server, watched(server.url, wall=lambda: time.time() + offset[0]) as camera:
        connect(camera)
        camera.run(1.0)
        offset[0] = jump_s
        assert camera.run(1.0) > 10
    assert camera.observed_s < 2.3
