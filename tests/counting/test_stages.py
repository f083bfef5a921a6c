"""Frames in progress in several threads: in order, none lost, none waiting for a later one, every fault reported.

Events hold threads and release them; nothing sleeps.
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
from tests.support.scripted import DOWN, Scripted, ScriptedEngine, frames, pipeline
from tests.support.trajectories import Observation, Sensor

LONG = 10.0


def fail_on_fault(name: str, fault: BaseException) -> None:
    raise AssertionError(f"{name} was not expected to fail: {fault!r}")


def wait(event: threading.Event) -> None:
    assert event.wait(LONG)


def observed_frames(seconds: float = 5.0) -> list[Observation]:
    return Sensor().observe([DOWN], seconds)


@contextmanager
def running(slot: Latest[Frame], counts: Pipeline) -> Iterator[Stages]:
    stages = Stages(slot, counts, fail_on_fault)
    for worker in stages.workers:
        worker.start()
    try:
        yield stages
    finally:
        stages.close()
        join_all(stages.workers, LONG)


def start_feeding(offered: list[Frame], slot: Latest[Frame]) -> Worker:
    """Start a thread that puts these frames into the slot, like a camera or a recording."""

    def feed(_stop: threading.Event) -> None:
        for frame in offered:
            slot.put(frame)
        slot.close()

    worker = Worker("feed", feed, fail_on_fault)
    worker.start()
    return worker


def all_results(stages: Stages) -> list[FrameResult]:
    found = []
    while not stages.finished:
        result = stages.next(LONG)
        found += [result] if result else []
    return found


@pytest.mark.parametrize("engines", [1, 2, 3])
def test_a_recording_gives_every_frame_in_order_with_the_same_crossings(engines: int) -> None:
    observed, sensor = observed_frames(), Sensor()
    offered = frames(observed, sensor)
    plain = pipeline(Scripted(observed))
    expected = [crossing for frame in offered for crossing in plain.process(frame).crossings]
    slot = Latest[Frame](lossless=True)
    detector = Scripted(observed, [ScriptedEngine() for _ in range(engines)])
    with running(slot, pipeline(detector)) as stages:
        feeder = start_feeding(offered, slot)
        found = all_results(stages)
    assert feeder.join(LONG)
    assert [result.frame.index for result in found] == list(range(len(observed)))
    crossings: list[Crossing] = [crossing for result in found for crossing in result.crossings]
    assert crossings == expected
    assert len(crossings) == 1
    assert slot.dropped == 0


def test_each_engine_runs_in_a_thread_of_its_own() -> None:
    observed = observed_frames()
    engines = [ScriptedEngine(), ScriptedEngine()]
    slot = Latest[Frame](lossless=True)
    with running(slot, pipeline(Scripted(observed, engines))) as stages:
        start_feeding(frames(observed, Sensor()), slot)
        all_results(stages)
    for number, engine in enumerate(engines, 1):
        assert engine.threads <= {f"engine {number}"}


def test_a_frame_that_is_ready_waits_for_an_earlier_one() -> None:
    """The engine of frame 0 is held; the other engine finishes frame 1 meanwhile, and yet it comes out second."""
    one_done, hold = threading.Event(), threading.Event()

    def work(number: int) -> None:
        if number == 0:
            assert hold.wait(LONG)
        if number == 1:
            one_done.set()

    observed = observed_frames()
    slot = Latest[Frame]()
    with running(slot, pipeline(Scripted(observed, [ScriptedEngine(work), ScriptedEngine(work)]))) as stages:
        offered = frames(observed, Sensor())
        for frame in offered[:2]:
            slot.put(frame)
            assert stages.next(0) is None
        assert one_done.wait(LONG)
        assert stages.next(0) is None
        hold.set()
        found = [stages.next(LONG), stages.next(LONG)]
    assert [result.frame.index for result in found if result] == [0, 1]


def test_a_frame_does_not_wait_for_a_later_one() -> None:
    """The camera stops after one frame: that frame comes out all the same, and then none."""
    observed, slot = observed_frames(), Latest[Frame]()
    with running(slot, pipeline(Scripted(observed, [ScriptedEngine(), ScriptedEngine()]))) as stages:
        slot.put(frames(observed, Sensor())[0])
        result = stages.next(LONG)
        assert result is not None
        assert result.frame.index == 0
        assert stages.next(0) is None
        assert not stages.finished


def test_when_engines_are_too_slow_the_newest_frame_stays_and_others_count_as_dropped() -> None:
    """One engine is held at its first frame: a second frame waits for it, and the slot holds the newest of the rest."""
    hold = threading.Event()
    observed = observed_frames()
    slot = Latest[Frame]()
    with running(slot, pipeline(Scripted(observed, [ScriptedEngine(lambda _number: wait(hold))]))) as stages:
        for frame in frames(observed, Sensor())[:10]:
            slot.put(frame)
            assert stages.next(0) is None
        slot.close()
        hold.set()
        found = all_results(stages)
    assert [result.frame.index for result in found] == [0, 1, 9]
    assert slot.dropped == 7


def test_an_exception_of_an_engine_comes_out_at_the_turn_of_its_frame() -> None:
    def fail(number: int) -> None:
        if number == 2:
            raise DetectorError("inference failed: out of memory")

    observed = observed_frames()
    slot = Latest[Frame](lossless=True)
    with running(slot, pipeline(Scripted(observed, [ScriptedEngine(fail), ScriptedEngine(fail)]))) as stages:
        feeder = start_feeding(frames(observed, Sensor()), slot)
        found = [stages.next(LONG), stages.next(LONG)]
        with pytest.raises(DetectorError, match="out of memory"):
            stages.next(LONG)
        slot.close()
    assert [result.frame.index for result in found if result] == [0, 1]
    assert feeder.join(LONG)


def test_a_result_has_the_tracks_of_its_own_frame() -> None:
    """The overlay draws the tracks onto the frame."""
    observed, sensor = observed_frames(), Sensor()
    plain, staged = pipeline(Scripted(observed)), pipeline(Scripted(observed, [ScriptedEngine(), ScriptedEngine()]))
    slot = Latest[Frame](lossless=True)
    with running(slot, staged) as stages:
        start_feeding(frames(observed, sensor), slot)
        for frame in frames(observed, sensor):
            expected, result = plain.process(frame), stages.next(LONG)
            assert result is not None
            assert result.frame.index == frame.index
            assert result.tracks.boxes.tolist() == expected.tracks.boxes.tolist()


def test_close_leaves_frames_that_no_engine_has_begun_and_ends_the_engines() -> None:
    begun, hold, worked = threading.Event(), threading.Event(), list[int]()

    def work(number: int) -> None:
        worked.append(number)
        begun.set()
        assert hold.wait(LONG)

    observed, slot = observed_frames(), Latest[Frame]()
    stages = Stages(slot, pipeline(Scripted(observed, [ScriptedEngine(work)])), fail_on_fault)
    stages.workers[0].start()
    for frame in frames(observed, Sensor())[:2]:
        slot.put(frame)
        assert stages.next(0) is None
    assert begun.wait(LONG)
    stages.close()
    hold.set()
    join_all(stages.workers, LONG)
    assert worked == [0]


def test_a_further_engine_is_loaded_when_the_first_is_always_busy() -> None:
    """Each of 151 frames comes while the only engine is held with the one before it."""
    held, observed = threading.Semaphore(0), observed_frames(12.0)

    def hold(_number: int) -> None:
        assert held.acquire(timeout=LONG)

    first = ScriptedEngine(hold)
    second = ScriptedEngine(loaded=False)
    slot, offered = Latest[Frame](), frames(observed, Sensor())
    with running(slot, pipeline(Scripted(observed, [first, second]))) as stages:
        for number, frame in enumerate(offered[:151]):
            assert not second.loaded
            slot.put(frame)
            assert stages.next(0) is None
            if 0 < number < 150:
                held.release()
                result = stages.next(LONG)
                assert result is not None
                assert result.frame.index == number - 1
        wait(second.ready)
        held.release(2)


def test_an_engine_that_is_fast_enough_stays_the_only_one() -> None:
    observed = observed_frames()
    detector = Scripted(observed, [ScriptedEngine(), ScriptedEngine(loaded=False)])
    slot = Latest[Frame]()
    with running(slot, pipeline(detector)) as stages:
        for frame in frames(observed, Sensor()):
            slot.put(frame)
            assert stages.next(LONG) is not None
    assert not detector.engines[1].loaded
