"""Frames without inference: the same crossings as with it, whatever the engines do, and nothing lost meanwhile."""

from __future__ import annotations

import random
import threading
from collections.abc import Sequence
from dataclasses import replace
from functools import cache

import cv2
import numpy as np
import pytest

from edge_app.counting.motion import Motion
from edge_app.counting.pipeline import Pipeline
from edge_app.counting.stages import Stages
from edge_app.counting.tracker import Tracker
from edge_app.detectors import Outputs
from edge_app.detectors.letterbox import Picture, letterbox
from edge_app.errors import DetectorError, SourceEnded
from edge_app.records import LABELS, Crossing, Detections, Frame, FrameResult, Image, Line
from edge_app.sources.recording import Recording
from edge_app.system.threads import Latest, Worker, join_all
from tests.support.scripted import COUNTED, NOON, Scripted, frames
from tests.support.shared import SHARED, needs
from tests.support.trajectories import BAND, Sensor, straight

FPS, LONG = 15.0, 10.0
LINE = Line("main", (0.5, 1.0), (0.5, 0.0))
CAR = LABELS.index("car")


class LampEngine:
    """Engine of a detector of lamps: the box of everything bright is a car.

    fails_from: number of inferences after which it fails. delays: s by which each inference is late, in turn.
    """

    loaded = True

    def __init__(self, fails_from: int | None = None, delays: Sequence[float] = ()) -> None:
        self._fails_from, self._delays, self.calls = fails_from, delays, 0

    def load(self) -> None:
        raise AssertionError("is loaded")

    def infer(self, picture: Picture) -> Outputs:
        self.calls += 1
        if self._fails_from is not None and self.calls > self._fails_from:
            raise DetectorError("inference failed: the accelerator is gone")
        if self._delays:
            threading.Event().wait(self._delays[self.calls % len(self._delays)])
        rows, columns = np.nonzero(picture.pixels[0, :, :, 1] > 200)
        n = int(len(rows) > 20)
        box = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1] if n else [0] * 4
        codes = np.array([box] * n, np.float32).reshape(n, 4)
        return Outputs(np.zeros(n, np.intp), np.zeros(n, np.intp), np.full(n, 0.8, np.float32), codes)


class LampDetector:
    def __init__(self, *engines: LampEngine) -> None:
        self.engines = engines or (LampEngine(),)

    def prepare(self, image: Image) -> Picture:
        return letterbox(image, 320, 180, 114)

    def decode(self, picture: Picture, outputs: Outputs) -> Detections:
        boxes = picture.to_original(outputs.codes)
        return Detections(boxes, outputs.scores, np.full(len(boxes), CAR, np.int16))

    def close(self) -> None:
        pass


def lamp_at(time: float) -> float | None:
    """Return the place of the only car, px: it passes at 16 s, and comes at 28 s, stands for 12 s and drives back."""
    if 14 <= time < 19:
        return 80 * (time - 14) - 40
    if 27 <= time < 29.5:
        return 80 * (time - 27) - 40
    if 29.5 <= time < 41:
        return 160.0
    return 160 - 80 * (time - 41) if 41 <= time < 44 else None


@cache
def scene(seconds: float = 50.0) -> tuple[Frame, ...]:
    """Return frames of 320 x 180 px with noise: a road, and a bright car of 40 x 20 px."""
    rng, found = np.random.default_rng(2), []
    road = cv2.blur(rng.integers(40, 120, (180, 320), np.uint8), (5, 5)).astype(np.float32)
    for index in range(round(seconds * FPS)):
        picture, x = road + rng.normal(0, 3, road.shape), lamp_at(index / FPS)
        if x is not None:
            picture[80:100, max(0, round(x) - 20) : max(0, round(x) + 20)] = 235
        image = np.repeat(picture.clip(0, 255).astype(np.uint8)[..., None], 3, axis=2)
        found.append(Frame(image, index, NOON + index / FPS, 100 + index / FPS))
    return tuple(found)


def lamp_pipeline(*engines: LampEngine, motion: bool = True) -> Pipeline:
    found = Motion() if motion else None
    return Pipeline(LampDetector(*engines), Tracker(), (LINE,), COUNTED, band=BAND, motion=found)


@cache
def seen_with_motion() -> list[FrameResult]:
    """Return the results of the scene, frame after frame."""
    return list(map(lamp_pipeline().process, scene()))


def crossings(results: Sequence[FrameResult]) -> list[Crossing]:
    return [crossing for result in results for crossing in result.crossings]


def test_crossings_are_the_same_and_most_frames_of_an_empty_road_are_still() -> None:
    found, expected = seen_with_motion(), list(map(lamp_pipeline(motion=False).process, scene()))
    assert crossings(found) == crossings(expected)
    assert [c.direction for c in crossings(found)] == ["left_to_right"]
    empty = [result.still for result in found if 6 < result.frame.monotonic - 100 < 14]
    assert np.mean(empty) > 0.9
    assert not any(result.still for result in expected)


def test_every_still_frame_counts_as_a_look_and_shows_who_stands() -> None:
    found = seen_with_motion()
    assert not any(result.unseen or result.slow for result in found)
    stands = [result for result in found if result.still and 38 < result.frame.monotonic - 100 < 40.5]
    assert len(stands) > 20
    assert all(result.tracks.seen.tolist() == [True] for result in stands)
    assert all(len(result.detections) == 1 for result in stands)  # what hides vehicles in pictures needs its box


def test_a_camera_that_returns_with_another_size_is_searched_at_once() -> None:
    counts = lamp_pipeline()
    before = [counts.process(frame) for frame in scene()[: round(13 * FPS)]]
    assert before[-1].still
    large = [replace(frame, image=frame.image.repeat(2, 0).repeat(2, 1)) for frame in scene()[round(13 * FPS) :][:2]]
    assert not counts.process(large[0]).still


@pytest.mark.parametrize("engines", [1, 3])
def test_results_do_not_depend_on_the_number_and_speed_of_the_engines(engines: int) -> None:
    expected, late = seen_with_motion(), random.Random(engines)
    delays = [[late.choice((0.0, 0.0, 0.002, 0.01)) for _ in range(50)] for _ in range(engines)]
    found = staged(lamp_pipeline(*(LampEngine(delays=own) for own in delays)))
    assert [result.still for result in found] == [result.still for result in expected]
    assert crossings(found) == crossings(expected)


def staged(counts: Pipeline) -> list[FrameResult]:
    """Return the results of the scene, taken through the stages as a recording is."""
    slot = Latest[Frame](lossless=True)
    stages = Stages(slot, counts, lambda name, fault: pytest.fail(f"{name}: {fault!r}"))

    def feed(_stop: threading.Event) -> None:
        for frame in scene():
            slot.put(frame)
        slot.close()

    workers = (*stages.workers, Worker("feed", feed, lambda _name, _fault: None))
    for worker in workers:
        worker.start()
    found = []
    try:
        while not stages.finished:
            result = stages.next(LONG)
            found += [result] if result else []
    finally:
        slot.close()
        stages.close()
        join_all(workers, LONG)
    return found


def test_an_engine_that_fails_on_an_empty_road_is_noticed_within_three_seconds() -> None:
    engine = LampEngine()
    counts = lamp_pipeline(engine)
    for frame in scene()[: round(10 * FPS)]:
        counts.process(frame)
    engine._fails_from = engine.calls
    later = scene()[round(10 * FPS) : round(13 * FPS)]
    with pytest.raises(DetectorError, match="accelerator"):
        list(map(counts.process, later))


def test_a_vehicle_that_only_the_network_sees_is_counted() -> None:
    """All pictures are the same. The search that comes in any case finds it; from then on every frame is searched."""
    sensor = Sensor(fps=FPS)
    observed = sensor.observe([straight((0.5, 0.0), (0.5, 1.0), 12.2, 18.2)], 20)
    detector, line = Numbered(observed), Line("main", (0.1, 0.6), (0.9, 0.6))
    counts = Pipeline(detector, Tracker(), (line,), COUNTED, band=BAND, motion=Motion())
    found = []
    for frame in frames(observed, sensor):
        detector.number = frame.index
        found.append(counts.process(frame))
    assert [c.direction for c in crossings(found)] == ["left_to_right"]
    assert np.mean([result.still for result in found[round(7 * FPS) : round(12 * FPS)]]) > 0.9
    assert not any(result.still for result in found[round(14.4 * FPS) : round(18 * FPS)])


class Numbered(Scripted):
    """Scripted detector that is told the number of the frame: it never sees the still ones."""

    number = 0

    def prepare(self, image: Image) -> Picture:
        return replace(super().prepare(image), left=self.number)


PARKED = Detections(
    np.array([[100, 100, 200, 150]], np.float32), np.array([0.8], np.float32), np.array([CAR], np.int16)
)


def test_rest_keeps_a_vehicle_that_stands_for_hours() -> None:
    tracker = Tracker()
    for index in range(30):
        tracker.update(PARKED, index / FPS)
    for minute in range(180):
        assert len(tracker.rest(2.0 + 60.0 * minute)) == 0  # it was never seen to drive
        assert len(tracker) == 1
    tracker.update(PARKED, 11_000.0)
    assert len(tracker) == 1


def test_rest_confirms_nothing() -> None:
    tracker = Tracker()
    moved = replace(PARKED, boxes=PARKED.boxes + np.float32(60))
    tracker.update(PARKED, 0.0)
    for index in range(1, 60):
        assert len(tracker.rest(index / FPS)) == 0
    assert len(tracker.update(moved, 4.0)) == 0


def test_rest_forgets_what_was_lost_before_as_an_empty_frame_does() -> None:
    rested, empty = Tracker(), Tracker()
    for tracker in (rested, empty):
        for index in range(20):
            shift = np.array([12 * index, 0, 12 * index, 0], np.float32)
            tracker.update(replace(PARKED, boxes=PARKED.boxes + shift), index / FPS)
        tracker.update(Detections.empty(), 20 / FPS)
    for index in range(21, 80):
        time = index / FPS
        left, right = rested.rest(time), empty.update(Detections.empty(), time)
        assert left.ids.tolist() == right.ids.tolist()
        assert left.centroids.tolist() == right.centroids.tolist()
        assert rested.expects_motion(time) == empty.expects_motion(time) == (index / FPS - 19 / FPS <= 1.0)
    assert len(rested) == len(empty) == 0


def test_doubtful_tracks_take_no_numbers() -> None:
    """A track that begins and is lost unconfirmed, as on a flickering sign, changes no number of a later one."""
    numbers = []
    for flickers in (0, 7):
        tracker, sensor = Tracker(), Sensor(fps=FPS)
        for n in range(flickers):
            tracker.update(PARKED, 5.0 * n)
        shown = [
            tracker.update(one.detections, 100 + one.time)
            for one in sensor.observe([straight((0.1, 0.5), (0.9, 0.5), 0.0, 4.0)], 4)
        ]
        numbers.append({number for tracks in shown for number in tracks.ids.tolist()})
    assert numbers == [{1}, {1}]


@pytest.mark.long
@needs("clips")
def test_a_real_clip_gives_the_same_crossings_with_and_without_motion() -> None:
    """A car park with four cars and an exposure that follows them: a part of it is still."""
    from edge_app.assembly.counter import build_detector, build_pipeline
    from edge_app.config.model import Config

    results: list[list[FrameResult]] = []
    for motion in (True, False):
        line = {"id": "main", "start": (0.0, 0.5), "end": (1.0, 0.5)}
        config = Config.model_validate({"lines": [line], "detector": {"motion": motion, "second_look": False}})
        counts = build_pipeline(config, build_detector(config))
        source, found = Recording(SHARED / "clips" / "intel_car-detection.mp4", fps_limit=6.0), []
        try:
            while (frame := source.read(LONG)) is not None:
                found.append(replace(counts.process(frame), frame=Frame(frame.image[:1, :1], frame.index, 0.0, 0.0)))
        except SourceEnded:
            source.close()
        results.append(found)
    assert crossings(results[0]) == crossings(results[1]) != []
    assert 0 < np.mean([result.still for result in results[0]]) < 0.5
