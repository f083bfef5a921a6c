"""Repeated opening and reading of a camera, with captures that follow a script and a clock that the test sets."""

from __future__ import annotations

import itertools
import logging
import queue
import threading
import time
from collections.abc import Iterator
from contextlib import closing

import pytest

from edge_app.errors import SourceEnded, SourceError
from edge_app.records import Frame, Image
from edge_app.sources import SourceStatus, State
from edge_app.sources.live import LiveSource
from tests.support.reading import wait_for_status
from tests.support.videos import number_of, picture


class Script:
    """Camera with its captures and clocks, to which the test gives one picture after the other."""

    def __init__(self, *faults: Exception) -> None:
        self.now = 100.0
        self.failures: list[int] = []
        self.closed = 0
        self.faults: Iterator[Exception] = iter(faults)
        self._pictures: queue.Queue[tuple[float, Image | None] | None] = queue.Queue()
        self._image: Image | None = None

    def source(self, *, fps_limit: float | None = None) -> LiveSource:
        return LiveSource(
            self.open,
            name="Camera x",
            fps_limit=fps_limit,
            retry_s=(0.001, 0.002),
            wall=lambda: self.now + 1e9,
            clock=lambda: self.now,
        )

    def show(self, at: float, image: Image | None) -> None:
        """Add a picture of the time `at`; None is a broken one."""
        self._pictures.put((at, image))

    def disconnect(self) -> None:
        self._pictures.put(None)

    def open(self, failures: int) -> Script:
        self.failures.append(failures)
        for fault in self.faults:
            raise fault
        return self

    def grab(self) -> bool:
        item = self._pictures.get(timeout=10)
        if item is not None:
            self.now, self._image = item
        return item is not None

    def retrieve(self) -> Image | None:
        return self._image

    @property
    def stamp(self) -> float:
        return self.now + 5000.0

    def close(self) -> None:
        self.closed += 1


def wait_for_state(source: LiveSource, state: State) -> SourceStatus:
    """Wait for the state without taking frames from the source."""
    return wait_for_status(source, lambda status: status.state == state, reading=False)


def show_and_read(script: Script, source: LiveSource, at: float, number: int) -> Frame:
    script.show(at, picture(number))
    frame = source.read(5.0)
    assert frame is not None
    assert number_of(frame.image) == number
    return frame


def end(script: Script, source: LiveSource) -> None:
    """End the script before the source, so that close() need not wait for it."""
    script.faults = itertools.repeat(SourceError("over"))
    script.disconnect()
    source.close()


def test_frames_count_up_and_carry_both_clocks() -> None:
    script = Script()
    source = script.source()
    assert (source.live, source.status.state) == (True, "opening")
    first, second = show_and_read(script, source, 100.0, 1), show_and_read(script, source, 100.5, 2)
    assert (first.index, first.captured_at, first.monotonic) == (0, 1e9 + 100, 100.0)
    assert (second.index, second.captured_at, second.monotonic) == (1, 1e9 + 100.5, 100.5)
    assert source.read(0.0) is None
    end(script, source)


def test_the_newest_frame_is_kept_and_the_others_are_counted() -> None:
    script = Script()
    for number in range(5):
        script.show(100 + number, picture(number))
    script.disconnect()
    source = script.source()
    assert wait_for_state(source, "lost").dropped == 4
    frame = source.read(0.0)
    assert frame is not None
    assert (frame.index, number_of(frame.image)) == (4, 4)
    end(script, source)


def test_a_lost_camera_is_opened_again_and_its_fault_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    script = Script(SourceError("There is no camera x."), SourceError("There is no camera x."))
    source = script.source()
    show_and_read(script, source, 100.0, 1)
    assert (source.status.state, source.status.reconnects) == ("ok", 0)
    script.disconnect()
    assert "stopped sending" in wait_for_state(source, "lost").detail
    assert show_and_read(script, source, 160.0, 2).index == 1
    assert (source.status.state, source.status.reconnects) == ("ok", 1)
    assert script.failures == [0, 1, 2, 0]
    assert script.closed == 1
    warnings = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(warnings) == 2  # a sentence is not repeated
    end(script, source)


def test_frames_above_the_limit_are_skipped_not_dropped() -> None:
    script = Script()
    for i in range(30):
        script.show(100 + i / 30, picture(i))
    script.disconnect()
    source = script.source(fps_limit=10)
    assert wait_for_state(source, "lost").skipped == 20
    frame = source.read(0.0)
    assert frame is not None
    assert frame.index == 27
    end(script, source)


def test_a_broken_picture_is_dropped_and_counted() -> None:
    script = Script()
    source = script.source()
    script.show(100.0, None)
    assert show_and_read(script, source, 100.1, 1).index == 1
    assert source.status.dropped == 1
    end(script, source)


def test_the_rate_is_measured_over_the_last_seconds() -> None:
    script = Script()
    source = script.source()
    for i in range(22):
        show_and_read(script, source, 100 + i / 10, i)
    assert source.status.rate == pytest.approx(10.0)
    end(script, source)


def test_a_frozen_camera_delivers_again_after_three_new_pictures() -> None:
    script = Script()
    source = script.source()
    for i in range(10):
        show_and_read(script, source, 100.0 + i, 7)
    assert source.status.repeated == 9
    script.show(110.0, picture(7))
    assert "same picture" in wait_for_state(source, "frozen").detail
    for at, number in ((130.0, 7), (140.0, 8), (141.0, 9)):
        script.show(at, picture(number))
    assert source.read(0.05) is None
    assert source.status.state == "frozen"
    assert show_and_read(script, source, 142.0, 10).monotonic == 142.0
    assert (source.status.state, source.status.reconnects) == ("ok", 1)
    end(script, source)


def test_an_exception_in_the_thread_is_raised_by_read() -> None:
    with closing(Script(ZeroDivisionError("bug")).source()) as source, pytest.raises(ZeroDivisionError, match="bug"):
        source.read(5.0)


def test_waits_between_attempts_grow_to_the_longest() -> None:
    with closing(LiveSource(Script(SourceError("no")).open, name="x", retry_s=(1.0, 30.0))) as source:
        waits = [source._retry_delay(failures) for failures in (0, 1, 2, 3, 4, 5, 10_000)]
    assert all(2**i <= wait <= 1.5 * 2**i for i, wait in enumerate(waits[:4]))
    assert waits[5:] == [30.0, 30.0]


def test_waits_stay_short_however_long_a_camera_is_away() -> None:
    """Together with up to 5 s to analyse a stream, frames come within 10 s after the camera is back."""
    with closing(LiveSource(Script(SourceError("no")).open, name="x")) as source:
        waits = [source._retry_delay(failures) for failures in range(12)]
    assert min(waits) >= 1.0
    assert max(waits) <= 3.0


def test_close_ends_a_long_wait_between_attempts() -> None:
    source = LiveSource(Script(SourceError("no")).open, name="x", retry_s=(60.0, 60.0))
    wait_for_state(source, "lost")
    started = time.monotonic()
    source.close()
    assert time.monotonic() - started < 0.5
    assert not [thread for thread in threading.enumerate() if thread.name == "source x"]
    assert source.status.state == "ended"
    with pytest.raises(SourceEnded):
        source.read(0.0)


def test_frames_carry_the_time_of_the_cameras_clock_once_that_is_known_to_be_right() -> None:
    script = Script()
    source = script.source()
    frames = [show_and_read(script, source, float(at), at) for at in range(1, 15)]
    assert [frame.media_s is None for frame in frames] == [True] * 10 + [False] * 4
    assert frames[-1].media_s == frames[-1].monotonic
    end(script, source)
