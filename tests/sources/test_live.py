"""The endless opening and reading of a camera, with captures that follow a script and a clock that does not run."""

from __future__ import annotations

import itertools
import logging
import queue
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing

import pytest

from edge_app.errors import SourceEnded, SourceError
from edge_app.records import Frame, Image
from edge_app.sources import SourceStatus
from edge_app.sources.live import Live
from tests.support.videos import number_of, picture


class Script:
    """A camera, its captures and its clocks; the test shows it one picture after the other."""

    def __init__(self, *faults: Exception) -> None:
        self.now = 100.0
        self.failures: list[int] = []
        self.closed = 0
        self.faults: Iterator[Exception] = iter(faults)
        self._pictures: queue.Queue[tuple[float, Image | None] | None] = queue.Queue()
        self._image: Image | None = None

    def source(self, *, fps_limit: float | None = None) -> Live:
        return Live(
            self.open,
            name="Camera x",
            fps_limit=fps_limit,
            retry_s=(0.001, 0.002),
            wall=lambda: self.now + 1e9,
            clock=lambda: self.now,
        )

    def show(self, at: float, image: Image | None) -> None:
        """The next picture; None is a broken one."""
        self._pictures.put((at, image))

    def pull_the_plug(self) -> None:
        self._pictures.put(None)

    def open(self, failures: int) -> Script:
        self.failures.append(failures)
        for fault in self.faults:
            raise fault
        return self

    def grab(self) -> bool:
        shown = self._pictures.get(timeout=10)
        if shown is not None:
            self.now, self._image = shown
        return shown is not None

    def retrieve(self) -> Image | None:
        return self._image

    def close(self) -> None:
        self.closed += 1


def wait_for(source: Live, wanted: Callable[[SourceStatus], bool]) -> SourceStatus:
    deadline = time.monotonic() + 5
    while not wanted(source.status):
        assert time.monotonic() < deadline, source.status
        time.sleep(0.001)
    return source.status


def shown(script: Script, source: Live, at: float, number: int) -> Frame:
    script.show(at, picture(number))
    frame = source.read(5.0)
    assert frame is not None
    assert number_of(frame.image) == number
    return frame


def ended(script: Script, source: Live) -> None:
    """Ends the script before the source, so that close() need not wait for it."""
    script.faults = itertools.repeat(SourceError("over"))
    script.pull_the_plug()
    source.close()


def test_frames_count_up_and_carry_both_clocks() -> None:
    script = Script()
    source = script.source()
    assert (source.live, source.status.state) == (True, "opening")
    first, second = shown(script, source, 100.0, 1), shown(script, source, 100.5, 2)
    assert (first.index, first.captured_at, first.monotonic) == (0, 1e9 + 100, 100.0)
    assert (second.index, second.captured_at, second.monotonic) == (1, 1e9 + 100.5, 100.5)
    assert source.read(0.0) is None
    ended(script, source)


def test_the_newest_frame_wins_and_the_others_are_counted() -> None:
    script = Script()
    for number in range(5):
        script.show(100 + number, picture(number))
    script.pull_the_plug()
    source = script.source()
    assert wait_for(source, lambda status: status.state == "lost").dropped == 4
    frame = source.read(0.0)
    assert frame is not None
    assert (frame.index, number_of(frame.image)) == (4, 4)
    ended(script, source)


def test_a_camera_that_was_lost_is_opened_again_and_says_what_happened(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    script = Script(SourceError("There is no camera x."), SourceError("There is no camera x."))
    source = script.source()
    shown(script, source, 100.0, 1)
    assert (source.status.state, source.status.reconnects) == ("ok", 0)
    script.pull_the_plug()
    assert "stopped sending" in wait_for(source, lambda status: status.state == "lost").detail
    assert shown(script, source, 160.0, 2).index == 1
    assert (source.status.state, source.status.reconnects) == ("ok", 1)
    assert script.failures == [0, 1, 2, 0]
    assert script.closed == 1
    told = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(told) == 2  # the same sentence twice in a row is told once
    ended(script, source)


def test_the_limit_skips_without_counting_a_loss() -> None:
    script = Script()
    for i in range(30):
        script.show(100 + i / 30, picture(i))
    script.pull_the_plug()
    source = script.source(fps_limit=10)
    assert wait_for(source, lambda status: status.state == "lost").skipped == 20
    frame = source.read(0.0)
    assert frame is not None
    assert frame.index == 27
    ended(script, source)


def test_a_broken_picture_is_counted_and_passed_over() -> None:
    script = Script()
    source = script.source()
    script.show(100.0, None)
    assert shown(script, source, 100.1, 1).index == 1
    assert source.status.dropped == 1
    ended(script, source)


def test_the_rate_is_that_of_the_last_seconds() -> None:
    script = Script()
    source = script.source()
    for i in range(22):
        shown(script, source, 100 + i / 10, i)
    assert source.status.rate == pytest.approx(10.0)
    ended(script, source)


def test_a_frozen_camera_is_held_back_until_three_new_pictures_came() -> None:
    script = Script()
    source = script.source()
    for i in range(10):
        shown(script, source, 100.0 + i, 7)
    assert source.status.repeated == 9
    script.show(110.0, picture(7))
    assert "same picture" in wait_for(source, lambda status: status.state == "frozen").detail
    for at, number in ((130.0, 7), (140.0, 8), (141.0, 9)):
        script.show(at, picture(number))
    assert source.read(0.05) is None
    assert source.status.state == "frozen"
    assert shown(script, source, 142.0, 10).monotonic == 142.0
    assert (source.status.state, source.status.reconnects) == ("ok", 1)
    ended(script, source)


def test_a_bug_in_the_thread_comes_out_where_frames_are_read() -> None:
    with closing(Script(ZeroDivisionError("bug")).source()) as source, pytest.raises(ZeroDivisionError, match="bug"):
        source.read(5.0)


def test_waits_between_attempts_grow_to_the_longest() -> None:
    with closing(Live(Script(SourceError("no")).open, name="x", retry_s=(1.0, 30.0))) as source:
        waits = [source._pause(failures) for failures in (0, 1, 2, 3, 4, 5, 10_000)]
    assert all(2**i <= wait <= 1.5 * 2**i for i, wait in enumerate(waits[:4]))
    assert waits[5:] == [30.0, 30.0]


def test_a_camera_that_was_away_for_long_is_waited_for_no_longer_than_one_that_was_not() -> None:
    """With up to 5 s to look at a stream, what is promised is that it counts within 10 s of being back."""
    with closing(Live(Script(SourceError("no")).open, name="x")) as source:
        waits = [source._pause(failures) for failures in range(12)]
    assert min(waits) >= 1.0
    assert max(waits) <= 3.0


def test_close_ends_a_long_wait_between_attempts() -> None:
    source = Live(Script(SourceError("no")).open, name="x", retry_s=(60.0, 60.0))
    wait_for(source, lambda status: status.state == "lost")
    started = time.monotonic()
    source.close()
    assert time.monotonic() - started < 0.5
    assert not [thread for thread in threading.enumerate() if thread.name == "source x"]
    assert source.status.state == "ended"
    with pytest.raises(SourceEnded):
        source.read(0.0)
