"""Test which looks the meter keeps and when it tells a speed, and the whole way with the shipped detector."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

import numpy as np
import pytest

from edge_app.assembly.counter import build_detector, build_pipeline
from edge_app.assembly.measures import build_meters
from edge_app.config.model import Config
from edge_app.detectors.manifest import default_model
from edge_app.errors import ConfigError, SourceEnded
from edge_app.measures.ground import Geometry
from edge_app.measures.speed_meter import Measured, SpeedMeter
from edge_app.records import Crossing, Detections, Frame, FrameResult, Tracks
from edge_app.sources.street.street import Street
from edge_app.sources.street.view import View
from tests.support.road_passages import VIEWS, Passage, passages

START = 1_800_000_000.0
ACROSS = VIEWS["across the road, 1280x720 at 15/s"]


def results(one: Passage, size: tuple[int, int] = (1280, 720)) -> list[FrameResult]:
    """Return what the pipeline finds of a vehicle that crosses at 0 s and is confirmed by the look after 0.2 s."""
    image, found = np.zeros((*size[::-1], 3), np.uint8), []
    confirmed = int(np.searchsorted(one.times, 0.2))
    for index, (time, box) in enumerate(zip(one.times.tolist(), one.boxes, strict=True)):
        crossing = Crossing(START, 0, 7, one.solid.label, "main", "left_to_right", 0.9)
        frame = Frame(image, index, START + time, 100.0 + time)
        found.append(FrameResult(frame, detected(box), tracked(box), (crossing,) if index == confirmed else ()))
    return found


def detected(box: np.ndarray) -> Detections:
    far = np.array([10, 10, 60, 40], np.float32)  # another vehicle
    return Detections(np.stack([far, box]), np.array([0.9, 0.9], np.float32), np.zeros(2, np.int16))


def tracked(box: np.ndarray) -> Tracks:
    """Return its track, whose box lags a little."""
    one, zero = np.ones(1, np.float32), np.zeros((1, 2), np.float32)
    return Tracks(
        ids=np.array([7], np.int64),
        boxes=(box + np.float32(3))[None],
        centroids=zero,
        velocities=zero,
        classes=np.zeros(1, np.int16),
        scores=one,
        seen=np.ones(1, np.bool_),
        origins=zero,
        born=np.zeros(1),
        first_seen=np.zeros(1),
    )


def a_passage(seed: int = 2) -> tuple[Passage, SpeedMeter]:
    one = next(passages(ACROSS, 1, seed))
    picture, road = (tuple((float(x), float(y)) for x, y in array) for array in (one.plane.picture, one.plane.road))
    return one, SpeedMeter(Geometry(picture, road))


def observed(meter: SpeedMeter, frames: Sequence[FrameResult]) -> list[tuple[float, Measured]]:
    return [(frame.frame.monotonic - 100, told) for frame in frames for told in meter.observe(frame)]


def test_a_speed_is_told_half_a_second_after_the_line() -> None:
    one, meter = a_passage()
    ((time, told),) = observed(meter, results(one))
    assert 0.5 <= time < 0.6
    assert told.crossing.track_id == 7
    assert told.speed is not None
    assert told.speed.kmh == pytest.approx(one.kmh, rel=0.06)
    expected = one.measure()
    assert expected is not None
    assert told.speed.kmh == pytest.approx(expected.kmh, rel=1e-3), "the boxes of the detector, not those of the track"


def test_where_no_speed_is_measured_a_crossing_is_told_with_the_frame_that_confirms_it() -> None:
    one, _ = a_passage()
    ((time, told),) = observed(SpeedMeter(None, waits=False), results(one))
    assert 0.2 <= time < 0.3
    assert told.speed is None


def test_a_crossing_at_the_end_of_a_recording_is_told_by_finish() -> None:
    one, meter = a_passage()
    assert not observed(meter, [r for r in results(one) if r.frame.monotonic < 100.4])
    (told,) = meter.finish()
    assert told.speed is not None
    assert not list(meter.finish())


def test_boxes_that_the_edge_of_the_frame_cuts_off_are_not_used() -> None:
    one, meter = a_passage()
    one.boxes[:, 2] = 1279.5
    ((_, told),) = observed(meter, results(one))
    assert told.speed is None


def test_a_camera_that_returns_with_another_size_loses_no_crossing() -> None:
    one, meter = a_passage()
    frames = results(one)
    before = [r for r in frames if r.frame.monotonic < 100.3]
    after = results(one, (640, 360))[len(before) :]
    ((_, told),) = observed(meter, [*before, *after])
    assert told.crossing.track_id == 7


def test_looks_are_forgotten() -> None:
    one, meter = a_passage()
    observed(meter, results(one))
    empty = FrameResult(
        Frame(np.zeros((720, 1280, 3), np.uint8), 0, START + 9, 109.0), Detections.empty(), Tracks.empty()
    )
    meter.observe(empty)
    assert not len(meter._looks)


def test_a_geometry_without_a_plane_is_told_with_its_table() -> None:
    crossed = {"rectangle": [(0.3, 0.8), (0.6, 0.5), (0.6, 0.8), (0.4, 0.5)], "sides_m": (3.5, 12.0)}
    with pytest.raises(ConfigError, match=r"^geometry: the corners"):
        build_meters(Config.model_validate({"source": {"kind": "street"}, "geometry": crossed}))
    assert build_meters(Config.model_validate({"source": {"kind": "street"}})) is None


@pytest.mark.long
@pytest.mark.skipif(not default_model().exists(), reason=f"no {default_model().name}: build it, see models/")
@pytest.mark.parametrize(("width", "height", "fps"), [(640, 360, 10.0)])
def test_the_shipped_detector_measures_the_rendered_street(width: int, height: int, fps: float) -> None:
    street, view = Street(width=width, height=height, fps=fps, seconds=30, seed=5), View(width, height)
    marks = [view.project(x, distance) for x, distance in ((-3, 16.5), (3, 16.5), (3, 23), (-3, 23))]
    geometry = {"rectangle": [(x / width, y / height) for x, y in marks], "sides_m": (6.0, 6.5)}
    config = Config.model_validate(
        {"source": {"kind": "street"}, "detector": {"second_look": False}, "geometry": geometry}
    )
    meter, pipeline = build_meters(config), build_pipeline(config, build_detector(config))
    assert meter is not None
    found: list[Measured] = []
    with suppress(SourceEnded):
        while (frame := street.read(1.0)) is not None:
            found += meter.observe(pipeline.process(frame))
    found += meter.finish()
    true, speeds = street.truth(30.0), street.speeds(30.0)
    errors = []
    for told in found:
        if told.speed is None:
            continue
        vehicle = min(true, key=lambda t: abs(t.at - told.crossing.at) + (t.direction != told.crossing.direction))
        errors.append(told.speed.kmh / (speeds[vehicle.track_id] * 3.6) - 1)
    assert len(errors) >= 0.8 * len(true) > 5
    assert np.abs(errors).max() < 0.06
    assert abs(np.mean(errors)) < 0.02
