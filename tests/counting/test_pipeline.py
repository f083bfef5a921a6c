"""Pipeline: detecting, tracking and counting in order, with the right places, times and frame numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import inf

import numpy as np
import pytest

from edge_app.assembly.counter import build_detector, build_pipeline
from edge_app.config.model import Config
from edge_app.counting.pipeline import Pipeline
from edge_app.counting.stage_times import BOUNDS_S, StageTimes
from edge_app.counting.tracker import Tracker
from edge_app.detectors.manifest import default_model
from edge_app.detectors.tflite import TfliteDetector
from edge_app.errors import SourceEnded
from edge_app.offline.scoring import Event, read_truth, score
from edge_app.records import LABELS, Crossing, Detections, Frame, Line
from edge_app.sources.recording import Recording
from tests.support.scripted import COUNTED, DOWN, LINE, NOON, Scripted, frames, pipeline
from tests.support.shared import SHARED, needs
from tests.support.trajectories import BAND, Observation, Sensor, Vehicle, truth


def run(vehicles: list[Vehicle], sensor: Sensor, *lines: Line, classes: Sequence[str] = COUNTED) -> list[Crossing]:
    observations = sensor.observe(vehicles, 6)
    counts = pipeline(Scripted(observations), *lines, classes=classes)
    return [crossing for frame in frames(observations, sensor) for crossing in counts.process(frame).crossings]


@pytest.mark.parametrize("fps", [5.0, 15.0, 60.0])
@pytest.mark.parametrize("size", [(320, 240), (1920, 1080)])
def test_a_crossing_has_the_time_at_which_it_happened_not_was_confirmed(size: tuple[int, int], fps: float) -> None:
    sensor = Sensor(size[0], size[1], fps=fps)
    (found,), (true,) = run([DOWN], sensor), truth([DOWN], LINE)
    assert (found.line, found.label, found.direction) == ("main", "car", "left_to_right")
    assert found.at - NOON == pytest.approx(true.time, abs=0.12)
    assert found.frame / fps == pytest.approx(true.time, abs=0.12 + 0.5 / fps)
    assert 0.5 < found.score < 0.9


def test_dropped_frames_still_have_numbers() -> None:
    """Only every third frame is processed: the time lies between two of them, and the frame is one of them."""
    sensor = Sensor(fps=10, noise=0.0)
    observations = sensor.observe([DOWN], 5)
    processed = [frame for frame in frames(observations, sensor) if frame.index % 3 == 0]
    counts = pipeline(Scripted(observations[::3]))
    (found,) = [crossing for frame in processed for crossing in counts.process(frame).crossings]
    assert found.frame in (18, 21)
    assert found.at - NOON == pytest.approx(2.0, abs=0.1)


def test_only_the_given_classes_are_counted() -> None:
    vehicles = [replace(DOWN, label="bicycle"), replace(DOWN, path=lambda t: (0.2, DOWN.path(t)[1]), label="bus")]
    assert [c.label for c in run(vehicles, Sensor())] == ["bus"]
    assert [c.label for c in run(vehicles, Sensor(), classes=["bicycle"])] == ["bicycle"]
    assert sorted(c.label for c in run(vehicles, Sensor(), classes=LABELS)) == ["bicycle", "bus"]


def test_crossings_of_several_lines_come_in_order_of_time() -> None:
    lines = [Line(f"at-{y}", (0.0, y), (1.0, y)) for y in (0.6, 0.4)]
    assert [c.line for c in run([DOWN], Sensor(), *lines)] == ["at-0.4", "at-0.6"]


def test_without_lines_there_are_no_crossings() -> None:
    observations = Sensor().observe([DOWN], 2)
    counts = Pipeline(Scripted(observations), Tracker(), (), COUNTED, band=BAND)
    assert [crossing for frame in frames(observations, Sensor()) for crossing in counts.process(frame).crossings] == []


def test_the_detector_receives_the_region_alone_and_boxes_are_in_px_of_the_frame() -> None:
    rng = np.random.default_rng(1)
    picture = rng.integers(0, 255, (400, 600, 3), np.uint8)
    box = Detections(np.array([[10, 20, 40, 60]], np.float32), np.array([0.9], np.float32), np.array([0], np.int16))
    detector = Scripted([Observation(0.0, box)])
    counts = Pipeline(detector, Tracker(), (LINE,), COUNTED, band=BAND, region=(0.25, 0.5, 0.75, 1.0))
    result = counts.process(Frame(picture, 0, 0.0, 0.0))
    assert np.array_equal(detector.shown[0], picture[200:400, 150:450])
    assert result.detections.boxes.tolist() == [[160, 220, 190, 260]]


def test_a_region_counts_as_the_whole_picture_does() -> None:
    """The region is the lower half, so the detector returns the same vehicle in other coordinates."""
    sensor, x = Sensor(noise=0.0), np.array([0, 360, 0, 360], np.float32)
    full = sensor.observe([DOWN], 5)
    half = [Observation(t, Detections(d.boxes - x, d.scores, d.classes)) for t, d in full]
    counts = Pipeline(Scripted(half), Tracker(), (LINE,), COUNTED, band=BAND, region=(0, 0.5, 1, 1))
    found = [crossing for frame in frames(half, sensor) for crossing in counts.process(frame).crossings]
    assert found == run([DOWN], sensor)


def test_without_a_region_the_frame_is_not_copied() -> None:
    sensor = Sensor()
    observations = sensor.observe([], 1)
    detector, picture = Scripted(observations), np.zeros((720, 1280, 3), np.uint8)
    pipeline(detector).process(frames(observations, sensor, picture)[0])
    assert detector.shown[0] is picture


def test_counting_goes_on_after_a_change_of_resolution() -> None:
    """The camera returns with fewer pixels: nothing crashes, no crossing is made up, the next vehicle counts."""
    before, after = Sensor(1280, 720), Sensor(640, 480, seed=2)
    first, second = before.observe([DOWN], 3), after.observe([DOWN], 5)
    later = [Frame(f.image, f.index + 45, f.captured_at + 4, f.monotonic + 4) for f in frames(second, after)]
    counts = pipeline(Scripted([*first, *second]))
    found = [crossing for frame in [*frames(first, before), *later] for crossing in counts.process(frame).crossings]
    assert [c.direction for c in found] == ["left_to_right"] * 2
    assert found[1].at - NOON == pytest.approx(6.0, abs=0.15)


def test_every_stage_of_every_frame_is_timed() -> None:
    observations = Sensor().observe([DOWN], 1)
    counts = pipeline(Scripted(observations))
    for frame in frames(observations, Sensor()):
        counts.process(frame)
    stages = counts.times.percentiles()
    assert stages.keys() == {"detect", "track", "count"}
    assert all(0 < times.p50 <= times.p95 < 1000 for times in stages.values())


def test_percentiles_are_milliseconds_of_the_latest_frames() -> None:
    times = StageTimes()
    for _ in range(5000):
        times.add("detect", 99.0)
    for ms in range(1, 2001):
        times.add("detect", ms / 1000)
    assert times.percentiles()["detect"].p50 == pytest.approx(2000 - 1024 / 2, abs=1)
    assert times.percentiles()["detect"].p95 == pytest.approx(2000 - 1024 * 0.05, abs=1)


def test_an_empty_road_has_no_crossings() -> None:
    assert run([], Sensor()) == []


def clip_pipeline(line: Line) -> tuple[TfliteDetector, Pipeline]:
    """Return the detector and the pipeline that the program has by default, without the second look's time."""
    lines = [{"id": line.id, "start": line.start, "end": line.end}]
    config = Config.model_validate({"lines": lines, "detector": {"second_look": False}})
    detector = build_detector(config)
    return detector, build_pipeline(config, detector)


def counted(line: Line, clip: str, first: float = inf) -> list[tuple[int, Crossing]]:
    """Return the crossings in the first frames of a clip, each with the index of the frame that confirmed it."""
    source, (detector, counts) = Recording(SHARED / "clips" / clip, fps_limit=15.0), clip_pipeline(line)
    found: list[tuple[int, Crossing]] = []
    try:
        while (frame := source.read(1.0)) is not None and frame.index < first:
            found += [(frame.index, crossing) for crossing in counts.process(frame).crossings]
    except SourceEnded:
        pass
    finally:
        source.close()
        detector.close()
    return found


@pytest.mark.long
@needs("clips")
@needs("truth")
@pytest.mark.skipif(not default_model().exists(), reason=f"no {default_model().name}: build it, see models/")
def test_a_real_road_is_counted_nearly_right_and_the_same_every_time() -> None:
    """A quiet residential road: eight cars, and long stretches in which nothing may be counted."""
    true = read_truth(SHARED / "truth" / "us_residential_road.json")
    found = counted(true.line, true.clip)
    events = [Event(crossing.frame / true.fps, crossing.label, crossing.direction) for _, crossing in found]
    assert score(true, events).any_class.f1 >= 0.85
    assert counted(true.line, true.clip, first=150) == [pair for pair in found if pair[0] < 150] != []


def test_the_number_of_duplicates_survives_a_change_of_resolution() -> None:
    sensor = Sensor(640, 480)
    observations = sensor.observe([DOWN], 2)
    counts = pipeline(Scripted(observations))
    small, large = frames(observations, sensor)[:2], frames(observations, Sensor(1280, 960))[2:3]
    for frame in small:
        counts.process(frame)
    counts._counters[0]._duplicates.count += 2
    assert counts.duplicates == 2
    counts.process(large[0])
    assert counts._counters[0].duplicates == 0
    assert counts.duplicates == 2


def test_a_histogram_counts_every_frame_since_the_start() -> None:
    times = StageTimes()
    assert times.histograms() == {}
    spent = [0.001, 0.0011, 0.03, 0.03, 7.0]
    for _ in range(1000):  # more than the percentiles remember
        for seconds in spent:
            times.add("detect", seconds)
    found = times.histograms()["detect"]
    assert found.cumulative == tuple(1000 * sum(s <= bound for s in spent) for bound in (*BOUNDS_S, float("inf")))
    assert found.seconds == pytest.approx(1000 * sum(spent))
