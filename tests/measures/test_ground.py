"""Test the plane of the road against a camera whose pose is known, and geometries from which none follows."""

from __future__ import annotations

import numpy as np
import pytest

from edge_app.errors import GeometryError
from edge_app.measures.ground import Geometry, GroundPlane, of_rectangle, one_for_each
from edge_app.records import Line
from tests.support.road_camera import RoadCamera

SIZE = (1280, 720)
CORNERS = np.array([[-2.0, 10], [2, 10], [2, 22], [-2, 22]])
PLACES = np.array([[0.0, 12], [5, 30], [-4, 16], [1, 60]])
RECTANGLE = ((0.35, 0.8), (0.65, 0.8), (0.58, 0.5), (0.42, 0.5))


@pytest.mark.parametrize("distortion", [0.0, -0.2, 0.1])
@pytest.mark.parametrize("aside", [0.0, 20.0, -35.0])
def test_places_come_back_and_heights_are_where_the_camera_has_them(aside: float, distortion: float) -> None:
    camera = RoadCamera(*SIZE, 900, 6, 18, aside, distortion=distortion)
    turned = _turned(PLACES, -aside)
    plane = camera.plane(_turned(CORNERS, -aside))
    origin = _turned(CORNERS, -aside)[0]
    pixels = camera.project(np.column_stack([turned, np.zeros(4)]))
    assert plane.on_road(pixels) == pytest.approx(turned - origin, abs=1e-4)
    for up in (0.0, 1.5, 3.0):
        exact = camera.project(np.column_stack([turned, np.full(4, up)]))
        assert plane.in_picture(turned - origin, up) == pytest.approx(exact, abs=1e-4)


@pytest.mark.parametrize("distortion", [0.0, -0.2])
def test_many_planes_map_as_each_does_and_tell_how_the_picture_changes(distortion: float) -> None:
    planes = [RoadCamera(*SIZE, 900, 6, down, distortion=distortion).plane(CORNERS) for down in (16, 18, 20, 24)]
    together, up = one_for_each(planes), np.array([0.0, 0.5, 1.5, 3.0])
    each = [plane.in_picture(place, height) for plane, place, height in zip(planes, PLACES, up, strict=True)]
    assert together.in_picture(PLACES, up) == pytest.approx(np.array(each))
    assert together.on_road(together.in_picture(PLACES)) == pytest.approx(PLACES, abs=1e-6)
    changes = together.changes(PLACES, up)
    for axis in range(2):
        aside = np.eye(2)[axis] * 1e-4
        apart = together.in_picture(PLACES + aside, up) - together.in_picture(PLACES - aside, up)
        assert changes[:, axis] == pytest.approx(apart / 2e-4, rel=1e-4, abs=1e-4)


def _turned(points: np.ndarray, degrees: float) -> np.ndarray:
    angle = np.radians(degrees)
    return np.asarray(points @ np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]]))


def test_a_camera_that_looks_straight_down_has_a_plane_too() -> None:
    plane = GroundPlane([(0.2, 0.8), (0.8, 0.8), (0.8, 0.2), (0.2, 0.2)], [(0, 0), (8, 0), (8, 4.5), (0, 4.5)], SIZE)
    assert plane.on_road([(640, 360)]) == pytest.approx(np.array([[4, 2.25]]))
    assert np.isfinite(plane.in_picture([(4.0, 2.0)], 1.5)).all()


def test_what_lies_above_the_horizon_has_no_place() -> None:
    plane = RoadCamera(*SIZE, 900, 6, 10).plane(CORNERS)
    found = plane.on_road([(640, 10), (640, 500)])
    assert np.isnan(found[0]).all()
    assert np.isfinite(found[1]).all()
    assert np.isnan(plane.in_picture([(0.0, -40.0)])).all()


def test_the_order_of_the_corners_does_not_turn_the_road_over() -> None:
    clockwise = of_rectangle(RECTANGLE, (3.5, 12.0)).plane(SIZE)
    other = of_rectangle(RECTANGLE[::-1], (3.5, 12.0)).plane(SIZE)
    points = np.array([[500.0, 500], [700, 450]])
    lengths = [float(np.hypot(*np.diff(plane.on_road(points), axis=0)[0])) for plane in (clockwise, other)]
    assert lengths[0] == pytest.approx(lengths[1])


@pytest.mark.parametrize(
    ("corners", "reason"),
    [
        ([RECTANGLE[0], RECTANGLE[2], RECTANGLE[1], RECTANGLE[3]], "two of them cross over"),
        ([(0.1, 0.1), (0.2, 0.2), (0.3, 0.3), (0.9, 0.9)], "two of them cross over"),
        ([(0.1, 0.5), (0.9, 0.5), (0.9, 0.502), (0.1, 0.502)], "nearly in a line in the picture"),
    ],
)
def test_corners_that_are_no_rectangle_are_refused(corners: list[tuple[float, float]], reason: str) -> None:
    with pytest.raises(GeometryError, match=reason):
        of_rectangle(corners, (3.5, 12.0)).plane(SIZE)


@pytest.mark.parametrize(
    ("road", "reason"),
    [
        (((0, 0), (1, 0), (2, 0), (3, 0)), "nearly in a line on the road"),
        (((0, 0), (-3.5, 0), (-3.5, 12), (0, 12)), "mirrored"),
        (((0, 0), (3.5, 12), (3.5, 0), (0, 12)), "order"),
    ],
)
def test_points_from_which_no_plane_follows_are_refused(road: tuple[tuple[float, float], ...], reason: str) -> None:
    with pytest.raises(GeometryError, match=reason):
        Geometry(RECTANGLE, road).plane(SIZE)


def test_a_line_at_the_horizon_is_refused() -> None:
    geometry = of_rectangle(RECTANGLE, (3.5, 12.0))
    geometry.refuse_beyond([Line("road", (0.2, 0.7), (0.8, 0.7))])
    with pytest.raises(GeometryError, match='line "sky" reaches the horizon'):
        geometry.refuse_beyond([Line("sky", (0.5, 0.7), (0.5, 0.02))])
