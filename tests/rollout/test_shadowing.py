"""Test a candidate in its process: equal counts of equal detectors, and what becomes of one that fails."""

from __future__ import annotations

import json
import os
import signal
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edge_app.assembly.counter import build_pipeline
from edge_app.assembly.live import candidate_settings
from edge_app.config.model import Config
from edge_app.detectors.manifest import default_model
from edge_app.detectors.tflite import TfliteDetector
from edge_app.records import Detections, Frame, FrameResult, Tracks
from edge_app.rollout import candidate_process, candidate_program
from edge_app.rollout.candidate_messages import Answer, slots_for
from edge_app.rollout.candidate_process import CandidateProcess
from edge_app.rollout.shadow import Compared, Comparison
from edge_app.rollout.shadow_messages import ShadowNumbers
from edge_app.rollout.shadowing import Shadow
from edge_app.sources.street.street import Street
from tests.support.brokers import eventually

CONFIG = Config.model_validate({"source": {"kind": "street"}, "counting": {"interval_s": 10}})
NOTHING = Detections.empty()
SMALL = default_model().with_name("ssdlite_mobilenet_v2_300x300.tflite")


@pytest.fixture
def eager(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(candidate_process, "_PROGRAM", "tests.support.eager_candidate")


def shadow(model: Path, found: list[Compared]) -> Shadow:
    comparison = Comparison(["street"], CONFIG.counting.classes, 10, 3.0)
    return Shadow("0123456789ab", candidate_settings(CONFIG, model), comparison, found.append)


def frame(width: int = 64, height: int = 48) -> Frame:
    return Frame(np.zeros((height, width, 3), np.uint8), 0, 1_780_000_000.0, 1.0)


def waited(value: bool) -> bool:
    time.sleep(0.002)
    return value


def ready(process: CandidateProcess) -> bool:
    process.read()
    time.sleep(0.01)
    return process.ready or bool(process.failed)


def answered(process: CandidateProcess, found: list[Answer]) -> bool:
    found += process.read()
    time.sleep(0.01)
    return bool(found) or bool(process.failed)


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.long
@pytest.mark.usefixtures("eager")
def test_the_same_file_counts_the_same_in_every_interval() -> None:
    """Each frame of a street is counted as in service, and shown to the candidate in its own process."""
    found: list[Compared] = []
    detector = TfliteDetector(SMALL)
    pipeline, street = build_pipeline(CONFIG, detector), Street(fps=6, flow=(40.0, 40.0), seed=3)
    with shadow(SMALL, found) as beside:
        eventually(lambda: waited(beside.health.state != "starting"), 60.0)
        for _ in range(6 * 24):
            seen = street.read(1.0)
            assert seen is not None
            beside.offer(pipeline.process(seen))
            eventually(lambda: waited(not beside.backlog), 30.0)
        health = beside.health
    detector.close()
    (one,) = found
    assert one.in_service == one.candidate
    assert (one.start % 60, one.frames) == (10, 60)
    assert health.vehicles == health.in_service_vehicles > 0
    assert (health.compared, health.given_up, health.state) == (1, 1, "comparing")


@pytest.mark.usefixtures("eager")
def test_nobody_waits_for_a_candidate_that_falls_behind() -> None:
    """Frames come as fast as they can be offered."""
    found: list[Compared] = []
    with shadow(SMALL, found) as beside:
        eventually(lambda: waited(beside.health.state != "starting"), 60.0)
        began, spent = frame(1280, 720), list[float]()
        for n in range(2000):
            seen = replace(began, index=n, captured_at=began.captured_at + n / 15, monotonic=n / 15)
            before = time.perf_counter()
            beside.offer(FrameResult(seen, NOTHING, Tracks.empty()))
            spent.append(time.perf_counter() - before)
            time.sleep(0.0005)
        health = beside.health
    assert not found
    assert health.compared == 0
    assert "no processor time was left" in health.why
    assert sorted(spent)[len(spent) // 2] < 0.005


def test_it_has_the_lowest_priority_alone_and_ends_with_the_service() -> None:
    process = CandidateProcess(candidate_settings(CONFIG, SMALL))
    eventually(lambda: waited(os.sched_getscheduler(process.pid) == os.SCHED_IDLE), 60.0)
    assert os.sched_getscheduler(0) != os.SCHED_IDLE

    def closed() -> bool:
        process.close()
        return not alive(process.pid)

    eventually(closed, 60.0)  # while others are busy, even its end waits for a core
    process.close()


def test_a_system_that_refuses_the_lowest_priority_has_no_candidate(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "sched_setscheduler", refuse)
    monkeypatch.setattr(candidate_program, "Path", lambda _path: Path(os.devnull))
    assert candidate_program.step_aside() == (
        "the system refuses it the lowest priority (Operation not permitted), without which it could slow the service: "
        "allow the unit sched_setscheduler"
    )


@pytest.mark.usefixtures("eager")
def test_a_candidate_that_does_not_load_says_why_and_nothing_else_happens(tmp_path: Path) -> None:
    (tmp_path / "broken.tflite").write_bytes(b"no model")
    (tmp_path / "broken.json").write_text(SMALL.with_suffix(".json").read_text())
    with shadow(tmp_path / "broken.tflite", []) as beside:
        eventually(lambda: waited(beside.health.state == "failed"), 60.0)
        beside.offer(FrameResult(frame(), NOTHING, Tracks.empty()))
        assert "is not the file its manifest describes" in beside.health.why


@pytest.mark.usefixtures("eager")
def test_a_candidate_that_is_killed_says_so_and_nothing_else_happens() -> None:
    with shadow(SMALL, []) as beside:
        eventually(lambda: waited(beside.health.state != "starting"), 60.0)
        assert beside.pid is not None
        os.kill(beside.pid, signal.SIGKILL)
        eventually(lambda: waited(beside.health.state == "failed"), 10.0)
        assert beside.health.why == "its process was ended by SIGKILL"
        beside.offer(FrameResult(frame(), NOTHING, Tracks.empty()))


@pytest.mark.usefixtures("eager")
def test_frames_of_another_size_find_room_when_no_other_waits() -> None:
    process, found = CandidateProcess(candidate_settings(CONFIG, SMALL)), list[Answer]()
    try:
        eventually(lambda: ready(process), 60.0)
        for number, size in enumerate([(64, 48), (640, 360), (320, 180)], 1):
            assert process.show(frame(*size), once=False)
            eventually(lambda: answered(process, found), 30.0)
            assert [answer.number for answer in found] == [number]
            found.clear()
        assert process.show(frame(), once=False)
        assert not process.show(frame(1280, 720), once=False)
    finally:
        process.close()


@pytest.mark.usefixtures("eager")
def test_frames_wait_up_to_a_number_and_all_are_answered_in_order() -> None:
    process, found = CandidateProcess(candidate_settings(CONFIG, SMALL)), list[Answer]()
    try:
        eventually(lambda: ready(process), 60.0)
        os.kill(process.pid, signal.SIGSTOP)
        shown = 0
        while process.show(frame(1280, 720), once=False):
            shown += 1
        assert shown == slots_for(1280 * 720 * 3) == 11
        os.kill(process.pid, signal.SIGCONT)
        eventually(lambda: answered(process, found) and len(found) == shown, 60.0)
        assert [answer.number for answer in found] == [*range(1, shown + 1)]
        assert process.show(frame(1280, 720), once=False)
    finally:
        process.close()


@pytest.mark.parametrize(("size", "slots"), [((640, 360), 45), ((1280, 720), 11), ((1920, 1080), 8)])
def test_small_frames_may_wait_for_longer(size: tuple[int, int], slots: int) -> None:
    assert slots_for(size[0] * size[1] * 3) == slots


def test_numbers_rise_over_restarts_and_begin_anew_with_an_installation(tmp_path: Path) -> None:
    file = tmp_path / "shadow.json"
    assert ShadowNumbers(file).take("5b1f09c4", ["a", "b"]) == {"a": 1, "b": 1}
    again = ShadowNumbers(file)
    assert again.take("5b1f09c4", ["a"]) == {"a": 2}
    assert again.take("5b1f09c4", ["a", "b"]) == {"a": 3, "b": 2}
    assert again.take("0c9e77a1", ["a"]) == {"a": 1}


def test_a_number_that_cannot_be_kept_is_a_hole(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    numbers = ShadowNumbers(folder / "shadow.json")
    with pytest.raises(FileNotFoundError):
        numbers.take("5b1f09c4", ["a"])
    folder.mkdir()
    assert numbers.take("5b1f09c4", ["a"]) == {"a": 2}


@pytest.mark.parametrize("text", ["", "{}", "[]", json.dumps({"installation": "5b1f09c4", "newest": {"a": "x"}})])
def test_a_damaged_file_of_numbers_is_no_fault(tmp_path: Path, text: str) -> None:
    file = tmp_path / "shadow.json"
    file.write_text(text)
    assert ShadowNumbers(file).take("5b1f09c4", ["a"]) == {"a": 1}
