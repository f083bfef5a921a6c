"""Faults of memory, disk, socket and thread start in a running service: waited out and told, nothing is lost."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edge_app.errors import BrokerError, ResourceError, SourceError, StoreError
from edge_app.records import Frame
from edge_app.system.threads import Faults, Worker, start_thread
from tests.support.brokers import collect, mosquitto, needs_mosquitto, subscribed
from tests.support.publisher_cases import opened
from tests.support.scripted import ScriptedEngine
from tests.support.service_cases import LONG, Case

FAULTS = [MemoryError(), OSError(errno.EIO, os.strerror(errno.EIO)), OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))]


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge_app.service._WAIT_S", 0.05)


def run(case: Case) -> None:
    """Run a service on all frames of its case, to the end."""

    def feed(_stop: threading.Event) -> None:
        for offered in case.frames:
            case.camera.slot.put(offered)
        case.camera.slot.close()

    feeder = Worker("feed", feed, lambda _name, fault: pytest.fail(repr(fault)))
    feeder.start()
    case.service.run(threading.Event())
    assert feeder.join(LONG)


@pytest.mark.parametrize("fault", FAULTS, ids=str)
def test_an_engine_that_lacks_something_drops_the_frame(tmp_path: Path, fault: Exception) -> None:
    def fail(number: int) -> None:
        if number in (3, 4):
            raise fault

    case = Case(tmp_path, ScriptedEngine(fail), ScriptedEngine(fail), live=False)
    run(case)
    assert len(case.crossings) == 1
    assert (case.service.frames, case.service.dropped) == (len(case.looks) - 2, 2)


@pytest.mark.parametrize("fault", FAULTS, ids=str)
def test_a_camera_that_lacks_something_is_read_again(
    tmp_path: Path, fault: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge_app.service.PAUSE_S", 0.0)
    case, calls = Case(tmp_path, live=False), [0]
    read = case.camera.read

    def sometimes(timeout: float) -> Frame | None:
        calls[0] += 1
        if calls[0] in (2, 3, 9):
            raise fault
        return read(timeout)

    monkeypatch.setattr(case.camera, "read", sometimes)
    run(case)
    assert (len(case.crossings), case.service.frames) == (1, len(case.looks))


@pytest.mark.parametrize("fault", FAULTS, ids=str)
def test_what_watches_the_counting_cannot_end_it(
    tmp_path: Path, fault: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> Any:
        raise fault

    case = Case(tmp_path, live=False)
    monkeypatch.setattr(case.service, "_on_result", fail)
    case.service._quality = type("Quality", (), {"flags": fail, "raised": ()})()
    run(case)
    assert (len(case.crossings), case.service.frames) == (1, len(case.looks))


def test_any_other_fault_ends_the_service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> Any:
        raise IndexError("a programming error")

    case = Case(tmp_path, live=False)
    monkeypatch.setattr(case.service, "_on_result", fail)
    with pytest.raises(IndexError):
        run(case)


def no_threads(times: int) -> Callable[[threading.Thread], None]:
    """Return a `Thread.start` that fails so many times."""
    start, left = threading.Thread.start, [times]

    def fail(thread: threading.Thread) -> None:
        left[0] -= 1
        if left[0] >= 0:
            raise RuntimeError("can't start new thread")
        start(thread)

    return fail


def test_a_thread_that_cannot_start_once_is_started_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threading.Thread, "start", no_threads(2))
    began = threading.Event()
    worker = Worker("late", lambda _stop: began.set(), lambda _name, fault: pytest.fail(repr(fault)))
    worker.start()
    assert began.wait(LONG)
    assert worker.join(LONG)
    monkeypatch.setattr(threading.Thread, "start", no_threads(1000))
    with pytest.raises(ResourceError, match="late cannot be started now"):
        start_thread(threading.Thread(name="late"), tries_s=0)


def test_faults_are_logged_once_until_the_work_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    faults = Faults("delivery")
    for _ in range(3):
        faults.note(MemoryError())
    faults.clear()
    faults.clear()
    assert [record.message for record in caplog.records] == [
        "delivery: out of memory; it goes on as soon as this is over",
        "delivery: goes on",
    ]
    for final in (ZeroDivisionError(), SourceError("no such recording")):
        with pytest.raises(type(final)):
            faults.note(final)
    for passing in (BrokerError("gone"), StoreError("full"), ResourceError("no thread")):
        faults.note(passing)
    assert faults.count == 6


@needs_mosquitto
@pytest.mark.parametrize("fault", [*FAULTS, RuntimeError("can't start new thread")], ids=str)
def test_the_publisher_goes_on_and_delivers_everything(
    tmp_path: Path, fault: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every 7th reading of a message, and once the start of the dial thread, fails."""
    monkeypatch.setattr("edge_app.mqtt.publisher.PAUSE_S", 0.01)
    with mosquitto(tmp_path) as broker, opened(tmp_path) as state:
        state.close_intervals(30)
        publisher, calls = state.publisher(broker.port), [0]
        if isinstance(fault, RuntimeError):
            monkeypatch.setattr(threading.Thread, "start", no_threads(1))
        else:
            send = publisher._delivery._send

            def sometimes(row: Any) -> bool:
                calls[0] += 1
                if calls[0] % 7 == 0 and calls[0] < 30:
                    raise fault
                return send(row)

            monkeypatch.setattr(publisher._delivery, "_send", sometimes)
        with subscribed(broker.port, "traffic/v1/+/+/counts/+") as reader:
            worker = Worker("publisher", lambda stop: publisher.run(stop, 2.0), lambda _n, f: pytest.fail(repr(f)))
            worker.start()
            collect(reader, lambda messages: len({message.payload for message in messages}) == 30, timeout=20)
            worker.stop()
            assert worker.join(LONG)
        assert len(state.outbox) == 0
