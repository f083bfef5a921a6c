"""Frames under way in several threads: in order, none lost, none waiting for a later one, and every fault heard of.

Threads are held and let go by events; nothing sleeps.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from edge_app.counting.pipeline import Pipeline
from edge_app.counting.stages import Stages
from edge_app.errors import DetectorError
from edge_app.records import Crossing, Frame, FrameResult
from edge_app.system.threads import Latest, Worker, join_all
from tests.counting.test_pipeline import DOWN, frames, pipeline
from tests.support.scripted import Scripted, ScriptedEngine
from tests.support.trajectories import Look, Sensor

LONG = 10.0


def nobody(name: str, fault: BaseException) -> None:
    raise AssertionError(f"{name} was not expected to fail: {fault!r}")


def wait(event: threading.Event) -> None:
    assert event.wait(LONG)


def looks(seconds: float = 5.0) -> list[Look]:
    return Sensor().watch([DOWN], seconds)


@contextmanager
def running(slot: Latest[Frame], counts: Pipeline) -> Iterator[Stages]:
    stages = Stages(slot, counts, nobody)
    for worker in stages.workers:
        worker.start()
    try:
        yield stages
    finally:
        stages.close()
        join_all(stages.workers, LONG)


def fed(offered: list[Frame], slot: Latest[Frame]) -> Worker:
    """A camera or a recording, from then on."""

    def feed(_stop: threading.Event) -> None:
        for frame in offered:
            slot.put(frame)
        slot.close()

    worker = Worker("feed", feed, nobody)
    worker.start()
    return worker


def all_of(stages: Stages) -> list[FrameResult]:
    found = []
    while not stages.finished:
        counted = stages.next(LONG)
        found += [counted] if counted else []
    return found


@pytest.mark.parametrize("engines", [1, 2, 3])
def test_every_frame_of_a_recording_in_order_with_the_same_crossings(engines: int) -> None:
    seen, sensor = looks(), Sensor()
    offered = frames(seen, sensor)
    plain = pipeline(Scripted(seen))
    expected = [crossing for frame in offered for crossing in plain.process(frame).crossings]
    slot = Latest[Frame](lossless=True)
    detector = Scripted(seen, [ScriptedEngine() for _ in range(engines)])
    with running(slot, pipeline(detector)) as stages:
        feeder = fed(offered, slot)
        found = all_of(stages)
    assert feeder.join(LONG)
    assert [counted.frame.index for counted in found] == list(range(len(seen)))
    crossings: list[Crossing] = [crossing for counted in found for crossing in counted.crossings]
    assert crossings == expected
    assert len(crossings) == 1
    assert slot.dropped == 0


def test_an_engine_belongs_to_one_thread_which_is_not_the_callers() -> None:
    seen = looks()
    engines = [ScriptedEngine(), ScriptedEngine()]
    slot = Latest[Frame](lossless=True)
    with running(slot, pipeline(Scripted(seen, engines))) as stages:
        fed(frames(seen, Sensor()), slot)
        all_of(stages)
    for number, engine in enumerate(engines, 1):
        assert engine.threads <= {f"engine {number}"}


def test_a_slow_engine_holds_back_the_frames_that_a_quick_one_has_done() -> None:
    """Frame 0 is held; frame 1 is done meanwhile by the other engine, and yet comes out second."""
    one_done, hold = threading.Event(), threading.Event()

    def work(number: int) -> None:
        if number == 0:
            assert hold.wait(LONG)
        if number == 1:
            one_done.set()

    seen = looks()
    slot = Latest[Frame]()
    with running(slot, pipeline(Scripted(seen, [ScriptedEngine(work), ScriptedEngine(work)]))) as stages:
        offered = frames(seen, Sensor())
        for frame in offered[:2]:
            slot.put(frame)
            assert stages.next(0) is None
        assert one_done.wait(LONG)
        assert stages.next(0) is None
        hold.set()
        found = [stages.next(LONG), stages.next(LONG)]
    assert [counted.frame.index for counted in found if counted] == [0, 1]


def test_a_frame_waits_for_no_later_one() -> None:
    """The camera is silent after one frame: it comes out all the same, and then nothing does."""
    seen, slot = looks(), Latest[Frame]()
    with running(slot, pipeline(Scripted(seen, [ScriptedEngine(), ScriptedEngine()]))) as stages:
        slot.put(frames(seen, Sensor())[0])
        counted = stages.next(LONG)
        assert counted is not None
        assert counted.frame.index == 0
        assert stages.next(0) is None
        assert not stages.finished


def test_when_it_cannot_keep_up_the_newest_frame_wins_and_the_others_are_counted() -> None:
    """One engine, held at its first frame: a second waits for it, and of the rest the slot keeps the newest."""
    hold = threading.Event()
    seen = looks()
    slot = Latest[Frame]()
    with running(slot, pipeline(Scripted(seen, [ScriptedEngine(lambda _number: wait(hold))]))) as stages:
        for frame in frames(seen, Sensor())[:10]:
            slot.put(frame)
            assert stages.next(0) is None
        slot.close()
        hold.set()
        found = all_of(stages)
    assert [counted.frame.index for counted in found] == [0, 1, 9]
    assert slot.dropped == 7


def test_what_an_engine_raises_comes_out_in_its_turn() -> None:
    def fail(number: int) -> None:
        if number == 2:
            raise DetectorError("inference failed: out of memory")

    seen = looks()
    slot = Latest[Frame](lossless=True)
    with running(slot, pipeline(Scripted(seen, [ScriptedEngine(fail), ScriptedEngine(fail)]))) as stages:
        feeder = fed(frames(seen, Sensor()), slot)
        found = [stages.next(LONG), stages.next(LONG)]
        with pytest.raises(DetectorError, match="out of memory"):
            stages.next(LONG)
        slot.close()
    assert [counted.frame.index for counted in found if counted] == [0, 1]
    assert feeder.join(LONG)


def test_the_tracks_are_those_of_the_frame_that_came_out() -> None:
    """Who draws looks at frame and tracks together."""
    seen, sensor = looks(), Sensor()
    plain, staged = pipeline(Scripted(seen)), pipeline(Scripted(seen, [ScriptedEngine(), ScriptedEngine()]))
    slot = Latest[Frame](lossless=True)
    with running(slot, staged) as stages:
        fed(frames(seen, sensor), slot)
        for frame in frames(seen, sensor):
            expected, result = plain.process(frame), stages.next(LONG)
            assert result is not None
            assert result.frame.index == frame.index
            assert result.tracks.boxes.tolist() == expected.tracks.boxes.tolist()


def test_close_leaves_what_nobody_has_begun_and_ends_the_engines() -> None:
    begun, hold, worked = threading.Event(), threading.Event(), list[int]()

    def work(number: int) -> None:
        worked.append(number)
        begun.set()
        assert hold.wait(LONG)

    seen, slot = looks(), Latest[Frame]()
    stages = Stages(slot, pipeline(Scripted(seen, [ScriptedEngine(work)])), nobody)
    stages.workers[0].start()
    for frame in frames(seen, Sensor())[:2]:
        slot.put(frame)
        assert stages.next(0) is None
    assert begun.wait(LONG)
    stages.close()
    hold.set()
    join_all(stages.workers, LONG)
    assert worked == [0]
