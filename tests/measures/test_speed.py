"""Test speeds of solids that pass under cameras of many kinds, with the errors of detectors and of people."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from edge_app.measures import footprint
from edge_app.measures.expected import expected_error
from edge_app.measures.ground import Geometry
from edge_app.measures.scale_error import scale_error, speed_error
from edge_app.measures.speed import measure, slope
from edge_app.measures.speed_sums import SpeedSums, percentile
from edge_app.records import Line
from tests.support.road_passages import VIEWS, passages
from tests.trials import street_views
from tests.trials.speeds import BANDS, WAYS, row


@pytest.mark.long
@pytest.mark.parametrize("name", [name for name in VIEWS if "10/s" in name or "across" in name])  # the trial has all
def test_speeds_are_right_and_their_error_is_stated(name: str) -> None:
    found = list(passages(VIEWS[name], 300, seed=3))
    rows = [row(found, band) for band in BANDS]
    for one in rows:
        assert one.measured >= 0.8
        assert abs(one.mean) <= 0.02 or abs(one.mean_kmh) <= 1.0
        assert one.spread <= 0.06 or one.spread_kmh <= 2.0
    within = sum(one.within * one.vehicles for one in rows) / sum(one.vehicles for one in rows)
    assert 0.58 <= within <= 0.88  # 68 % is right; 300 vehicles tell it to 5 %


def test_the_solid_is_nearer_to_the_truth_than_the_edge_and_the_middle_of_the_box() -> None:
    wrong: dict[str, list[float]] = {way: [] for way in WAYS}
    for one in passages(VIEWS["near, along the road, 1280x720 at 25/s"], 40, seed=5):
        for way, places in WAYS.items():
            wrong[way].append(float(np.hypot(*slope(one.times, places(one)))) * 3.6 / one.kmh - 1)
    solid, edge, middle = (abs(float(np.mean(wrong[way]))) for way in WAYS)
    assert solid < 0.015
    assert solid < edge < middle


def test_a_few_wrong_boxes_move_no_speed() -> None:
    one = next(passages(VIEWS["across the road, 1280x720 at 15/s"], 1, seed=2))
    right = one.measure()
    one.boxes[::6] += np.float32(60)
    wrong = one.measure()
    assert right is not None
    assert wrong is not None
    assert wrong.kmh == pytest.approx(right.kmh, rel=0.06)


@pytest.mark.parametrize("kept", [slice(0), slice(1), slice(None, 4), slice(14, 17)])
def test_too_few_looks_give_no_speed(kept: slice) -> None:
    one = next(passages(VIEWS["across the road, 1280x720 at 15/s"], 1, seed=2))
    assert measure(0.0, one.times[kept], one.boxes[kept], "car", one.plane, speed_error) is None


def test_boxes_that_stand_have_no_speed_and_raise_nothing() -> None:
    one = next(passages(VIEWS["across the road, 1280x720 at 15/s"], 1, seed=2))
    still = np.repeat(one.boxes[:1], len(one.times), axis=0)
    assert measure(0.0, one.times, still, "car", one.plane, speed_error) is None


def test_boxes_at_the_horizon_have_no_place() -> None:
    one = next(passages(VIEWS["near, along the road, 1280x720 at 25/s"], 1, seed=2))
    high = one.boxes - np.array([0, 1500, 0, 1500], np.float32)
    assert np.isnan(footprint.places(one.plane, high, footprint.SOLIDS["car"], one.heading)).all()
    assert measure(0.0, one.times, high, "car", one.plane, speed_error) is None


def test_lengths_far_from_the_marks_are_worse() -> None:
    plane = next(passages(VIEWS["near, along the road, 1280x720 at 25/s"], 1, seed=2)).plane
    within, beyond = (scale_error(plane, np.array([1.75, y]), np.array([0, 1.0])) for y in (5.0, 60.0))
    assert 0.02 < within < 0.03
    assert beyond > 2 * within


def test_sums_may_be_added_up() -> None:
    speeds = [0.0, 1.99, 2.0, 31.0, 47.5, 48.1, None]
    whole, parts = SpeedSums(), [SpeedSums(), SpeedSums()]
    for index, kmh in enumerate(speeds):
        whole.add(kmh)
        parts[index % 2].add(kmh)
    assert (whole.n, whole.unmeasured) == (6, 1)
    assert whole.as_fields()["bins"] == {"0": 2, "2": 1, "30": 1, "46": 1, "48": 1}
    assert whole.bins == parts[0].bins + parts[1].bins
    assert whole.sum_inverse == pytest.approx(sum(part.sum_inverse for part in parts))
    assert whole.n / whole.sum_inverse < whole.sum / whole.n, "the space mean is never above the time mean"


def test_a_percentile_lies_within_its_bin() -> None:
    assert percentile(Counter({30: 10, 40: 10}), 0.5) == 32
    assert percentile(Counter({30: 10, 40: 10}), 0.75) == 41
    assert np.isnan(percentile(Counter(), 0.85))


def test_the_expected_error_grows_with_distance_and_falls_with_the_rate() -> None:
    plane = next(passages(VIEWS["near, along the road, 1280x720 at 25/s"], 1, seed=2)).plane
    points = (tuple((float(x), float(y)) for x, y in array) for array in (plane.picture, plane.road))
    geometry = Geometry(*points)  # type: ignore[arg-type]
    near, far = Line("near", (0.3, 0.7), (0.7, 0.7)), Line("far", (0.45, 0.06), (0.55, 0.06))
    assert 0.02 < expected_error(geometry, near, plane.size, 15.0) < 0.05
    assert expected_error(geometry, far, plane.size, 15.0) > 0.1
    assert expected_error(geometry, near, plane.size, 5.0) > expected_error(geometry, near, plane.size, 25.0)


@pytest.mark.parametrize("view", street_views.VIEWS.values())
def test_a_turned_camera_sees_the_drawn_street_where_it_is(view: street_views.StreetView) -> None:
    x, y = street_views.sources(view.camera)
    for right, ahead in view.rectangle:
        column, row = np.round(view.camera.project(np.array([(right, ahead, 0.0)]))[0] - 0.5).astype(int)
        drawn = street_views._DRAWN.project(right, ahead)
        assert (x[row, column], y[row, column]) == pytest.approx(drawn, abs=1.5)
