"""Test the speeds that are drawn at vehicles in sight: right, of the last second, and forgotten."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from edge_app.drawing.scene import Privacy
from edge_app.errors import PreviewError
from edge_app.measures.ground import Geometry
from edge_app.measures.live_speeds import LiveSpeeds
from edge_app.preview.live import Preview
from edge_app.records import FrameResult
from tests.measures.test_speed_meter import ACROSS, results
from tests.support.road_passages import passages


def a_vehicle() -> tuple[float, list[FrameResult], Geometry]:
    """Return the km/h of a vehicle at the line, its frames until half a second behind it, and the geometry."""
    one = next(passages(ACROSS, 1, 2))
    picture, road = (tuple((float(x), float(y)) for x, y in array) for array in (one.plane.picture, one.plane.road))
    frames = [clocked(result) for result in results(one) if result.frame.monotonic <= 100.5]
    return one.kmh, frames, Geometry(picture, road)


def clocked(result: FrameResult, late: float = 1.0) -> FrameResult:
    """Return the result as of a camera with a clock of its own whose pictures arrive later and later."""
    at = result.frame.monotonic
    return replace(result, frame=replace(result.frame, media_s=at, monotonic=late * at))


def speeds(live: LiveSpeeds, result: FrameResult) -> dict[int, float]:
    sighted = live.sighted(result.tracks)
    return sighted.speeds() if sighted else {}


def test_a_vehicle_in_sight_has_the_speed_of_the_last_second() -> None:
    kmh, frames, geometry = a_vehicle()
    live = LiveSpeeds(geometry)
    for n, result in enumerate(frames):
        live.observe(result)
        assert n >= 4 or not speeds(live, result), "five looks are needed"
    assert speeds(live, frames[-1]) == {7: pytest.approx(kmh, rel=0.1)}


def test_a_recording_that_begins_again_forgets_the_vehicles_of_before() -> None:
    _, frames, geometry = a_vehicle()
    live = LiveSpeeds(geometry)
    for result in (*frames, frames[0]):
        live.observe(result)
    assert not speeds(live, frames[0])


def test_a_frame_from_which_no_plane_follows_has_no_speeds() -> None:
    _, frames, geometry = a_vehicle()
    live = LiveSpeeds(Geometry(((0.1, 0.5), (0.4, 0.5), (0.6, 0.5), (0.9, 0.5)), geometry.road))
    for result in frames:
        live.observe(result)
    assert not speeds(live, frames[-1])


def test_the_service_measures_only_for_somebody_who_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    _, frames, geometry = a_vehicle()
    asked: list[object] = []
    monkeypatch.setattr(LiveSpeeds, "observe", lambda _, result: asked.append(result))
    preview = Preview((), (), Privacy(), geometry=geometry)
    preview.update(frames[0])
    assert not asked
    preview.speeds(640)
    preview.update(frames[1])
    assert asked == [frames[1]]


def test_speeds_are_drawn_at_the_vehicles() -> None:
    _, frames, geometry = a_vehicle()
    preview, plain = (Preview((), (), Privacy(), geometry=one) for one in (geometry, None))
    with pytest.raises(PreviewError, match="no fresh picture"):
        preview.speeds(640)
    for result in frames:
        preview.update(result)
        plain.update(result)
    assert np.any(preview.speeds(640) != plain.speeds(640))


def test_another_geometry_tells_other_speeds_at_once_of_the_same_looks() -> None:
    kmh, frames, geometry = a_vehicle()
    live = LiveSpeeds(geometry)
    for result in frames:
        live.observe(result)
    live.use(Geometry(geometry.picture, tuple((2 * x, 2 * y) for x, y in geometry.road)))
    assert speeds(live, frames[-1]) == {7: pytest.approx(2 * kmh, rel=0.15)}


def test_pictures_that_come_late_change_no_speed() -> None:
    kmh, frames, geometry = a_vehicle()
    live = LiveSpeeds(geometry)
    for result in frames:
        live.observe(clocked(result, late=3.0))
    assert speeds(live, frames[-1]) == {7: pytest.approx(kmh, rel=0.1)}


def test_without_the_cameras_clock_no_speed_is_told() -> None:
    _, frames, geometry = a_vehicle()
    live = LiveSpeeds(geometry)
    for result in frames:
        live.observe(replace(result, frame=replace(result.frame, media_s=None)))
    assert not speeds(live, frames[-1])
