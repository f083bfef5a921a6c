"""Read frames from a source under test and wait for its status."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from edge_app.records import Frame
from edge_app.sources import Source, SourceStatus
from tests.support import rtsp_server

needs_rtsp = pytest.mark.skipif(bool(rtsp_server.why_not()), reason=rtsp_server.why_not() or "-")


def read_frame(source: Source) -> Frame:
    """Return the next frame, which must come within a second."""
    frame = source.read(1.0)
    assert frame is not None
    return frame


def read_frames(source: Source, count: int, within: float = 8.0) -> list[Frame]:
    """Return this number of frames, which must come within `within` s."""
    deadline = time.monotonic() + within
    frames: list[Frame] = []
    while len(frames) < count:
        assert time.monotonic() < deadline, f"{len(frames)} of {count} frames: {source.status}"
        frame = source.read(0.2)
        frames += [frame] if frame else []
    return frames


def wait_for_status(
    source: Source, reached: Callable[[SourceStatus], bool], within: float = 8.0, *, reading: bool = True
) -> SourceStatus:
    """Return the first status for which `reached` is true, which must come within `within` s.

    reading: take frames from the source meanwhile, as the program does.
    """
    deadline = time.monotonic() + within
    while not reached(status := source.status):
        assert time.monotonic() < deadline, status
        if reading:
            source.read(0.05)
        else:
            time.sleep(0.001)
    return status


def wait_until_lost(source: Source) -> str:
    """Wait until the source is lost and return its sentence about the fault."""
    return wait_for_status(source, lambda status: status.state == "lost").detail
