"""Test the service with its threads, a scripted source and scripted engines, and a real ledger.

Threads are held and released by events; nothing sleeps.
"""

from __future__ import annotations

import itertools
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from edge_app.errors import DetectorError
from edge_app.records import Frame
from edge_app.system.clock import SteadyClock
from edge_app.system.threads import Worker
from tests.support.brokers import eventually
from tests.support.scripted import DOWN, NOON, Scripted, ScriptedEngine, frames, pipeline
from tests.support.service_cases import LONG, Case
from tests.support.trajectories import Sensor


def confirming_frame() -> int:
    """Return the number of the frame that confirms the crossing."""
    looks = Sensor().observe([DOWN], 5)
    plain = pipeline(Scripted(looks))
    return next(frame.index for frame in frames(looks, Sensor()) if plain.process(frame).crossings)


def test_a_crossing_waits_for_no_later_frame_and_is_on_disk(tmp_path: Path) -> None:
    """The camera gives no frame after the one that confirms the crossing."""
    case, stop, faults = Case(tmp_path), threading.Event(), list[BaseException]()
    worker = Worker("service", lambda _stop: case.service.run(stop), lambda _name, fault: faults.append(fault))
    worker.start()
    for offered in case.frames[: confirming_frame() + 1]:
        before = case.service.frames
        case.camera.slot.put(offered)
        while case.service.frames == before and worker.alive:  # live: the next one would replace it
            case.counted.wait(0.001)
    assert case.counted.wait(LONG)
    stop.set()
    assert worker.join(LONG)
    assert not faults
    assert [c.direction for c in case.crossings] == ["left_to_right"]
    assert case.service.dropped == 0


def test_a_recording_is_counted_to_its_end_without_a_loss(tmp_path: Path) -> None:
    case = Case(tmp_path, live=False)
    feeder = Worker("feed", lambda _stop: feed(case), lambda _name, fault: pytest.fail(repr(fault)))
    feeder.start()
    case.service.run(threading.Event())
    assert case.service.frames == len(case.looks)
    assert len(case.crossings) == 1
    assert case.service.dropped == 0


@pytest.mark.parametrize("stopped", [False, True])
def test_a_service_that_is_to_begin_anew_says_so_unless_it_was_stopped_too(tmp_path: Path, stopped: bool) -> None:
    case, stop = Case(tmp_path), threading.Event()
    if stopped:
        stop.set()
    case.service.start_again()
    assert case.service.run(stop) is not stopped
    assert case.publisher.stays is not stopped
    assert case.camera.closed.is_set()


def test_a_fault_of_an_engine_ends_the_service(tmp_path: Path) -> None:
    def fail(number: int) -> None:
        if number == 3:
            raise DetectorError("inference failed: no memory")

    case = Case(tmp_path, ScriptedEngine(fail), ScriptedEngine(fail), live=False)
    feeder = Worker("feed", lambda _stop: feed(case), lambda _name, fault: pytest.fail(repr(fault)))
    feeder.start()
    with pytest.raises(DetectorError, match="no memory"):
        case.service.run(threading.Event())
    assert case.service.frames == 3
    assert feeder.join(LONG)


def test_frames_under_way_at_the_stop_are_still_counted(tmp_path: Path) -> None:
    """Both engines are held when the stop comes, and one more frame waits for each of them."""
    begun, hold, stop = threading.Semaphore(0), threading.Event(), threading.Event()

    def work(_number: int) -> None:
        begun.release()
        assert hold.wait(LONG)

    case = Case(tmp_path, ScriptedEngine(work), ScriptedEngine(work), live=False)
    worker = Worker("service", lambda _stop: case.service.run(stop), lambda _name, fault: pytest.fail(repr(fault)))
    worker.start()
    for offered in case.frames[:4]:
        case.camera.slot.put(offered)
    assert all(case.detector.prepared.acquire(timeout=LONG) for _ in range(4))
    assert all(begun.acquire(timeout=LONG) for _ in range(2))
    stop.set()
    assert case.camera.closed.wait(LONG)
    for one in case.service._workers:
        one.stop()
    hold.set()
    assert worker.join(LONG)
    assert case.service.frames == 4


@pytest.mark.parametrize("lasting", [True, False])
@pytest.mark.parametrize("step", [-7200.0, -20.0, 40.0, 3600.0])
def test_frames_under_way_while_the_clock_is_set_are_counted_by_the_time_that_is_told(
    tmp_path: Path, step: float, lasting: bool
) -> None:
    """The four frames in the engines, the one that confirms the crossing among them, carry the time of before.

    lasting: the step is followed at once; otherwise the time of before goes on, and later frames carry another one.
    """
    free, error, stop = threading.Event(), [0.0], threading.Event()
    free.set()

    def work(_number: int) -> None:
        assert free.wait(LONG)

    def monotonic() -> float:
        return max(100.0, case.service.frames / 15.0 + 100.0)

    case = Case(
        *(tmp_path, ScriptedEngine(work), ScriptedEngine(work)),
        wall=lambda: monotonic() - 100.0 + NOON + error[0],
        monotonic=monotonic,
        clock=SteadyClock(settle_s=0.0) if lasting else None,
    )
    worker = Worker("service", lambda _stop: case.service.run(stop), lambda _name, fault: pytest.fail(repr(fault)))
    worker.start()
    offered, held = case.frames, confirming_frame() - 2
    for frame in offered[:held]:
        put(case, frame)
    for _ in range(held):
        assert case.detector.prepared.acquire(timeout=LONG)
    free.clear()
    for frame in offered[held : held + 4]:
        case.camera.slot.put(frame)
        assert case.detector.prepared.acquire(timeout=LONG)  # one at a time: the next one would replace it
    error[0] = step
    free.set()
    assert case.counted.wait(LONG)
    for frame in offered[held + 4 :]:
        put(case, replace(frame, captured_at=frame.captured_at + step))
    stop.set()
    assert worker.join(LONG)
    (crossing,) = case.crossings
    assert crossing.at == pytest.approx(NOON + 2.0 + (step if lasting else 0.0), abs=0.12)
    assert case.ledger.late_crossings == 0
    assert any("clock_stepped" in interval.quality for interval in case.ledger.open)


@pytest.mark.parametrize(
    ("gaps", "told"),
    [
        ((0.1,) * 60, []),
        ((*(0.1,) * 8, *(0.5, 0.5, 0.5, 0.1, 0.1, 0.1) * 5), ["rarely"]),
        ((*(0.5,) * 8, *(0.1,) * 6, 61.0, 0.1), ["rarely", "often enough"]),
    ],
    ids=["never", "again and again", "no more"],
)
def test_frames_are_too_rare_by_the_clock_that_never_steps_and_that_is_logged_once_a_minute_at_most(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, gaps: tuple[float, ...], told: list[str]
) -> None:
    """The clock of the system is set with every frame."""
    caplog.set_level("INFO")
    case, stop, now = Case(tmp_path, wall=lambda: wall[-1], monotonic=lambda: now[-1]), threading.Event(), [100.0]
    wall, steps = [NOON], itertools.cycle([3600.0, -3600.0, 86_400.0, -7200.0])
    worker = Worker("service", lambda _stop: case.service.run(stop), lambda _name, fault: pytest.fail(repr(fault)))
    worker.start()
    for frame, gap in zip(case.frames, gaps, strict=False):
        now.append(now[-1] + gap)
        wall.append(NOON + next(steps))
        put(case, replace(frame, captured_at=wall[-1], monotonic=now[-1]))
    stop.set()
    assert worker.join(LONG)
    said = [record.message for record in caplog.records if record.message.startswith("frames come")]
    assert len(said) == len(told)
    assert all(words in message for words, message in zip(told, said, strict=True))


def put(case: Case, frame: Frame) -> None:
    """Give one frame to the camera and wait until it is counted."""
    before, pause = case.service.frames, threading.Event()
    case.camera.slot.put(frame)
    # Also after the crossing: the next frame would replace this one.
    eventually(lambda: pause.wait(0.001) or case.service.frames > before, LONG)


def feed(case: Case) -> None:
    """Give all frames to the camera, then end it."""
    for offered in case.frames:
        case.camera.slot.put(offered)
    case.camera.slot.close()
