"""Test the grid of metres: its lines lie where a camera of known pose sees whole metres of the road."""

from __future__ import annotations

import numpy as np
import pytest

from edge_app.measures.grid import road_grid
from edge_app.measures.ground import of_rectangle
from tests.support.road_camera import RoadCamera

SIZE = (1280, 720)


@pytest.mark.parametrize("distortion", [0.0, -0.2])
@pytest.mark.parametrize(("corner", "step"), [((4.0, 12.0), 1), ((4.0, 40.0), 5), ((30.0, 180.0), 20)])
def test_lines_of_the_grid_have_whole_steps_on_the_road(
    corner: tuple[float, float], step: int, distortion: float
) -> None:
    camera = RoadCamera(*SIZE, 900, 6, 18, 0.0, distortion=distortion)
    (right, ahead), near = corner, 14.0
    corners = np.array([[-right / 2, near], [right / 2, near], [right / 2, near + ahead], [-right / 2, near + ahead]])
    plane = camera.plane(corners)
    grid = road_grid(plane)
    assert grid.step_m == step
    assert 8 <= len(grid.lines) <= 64
    for line in grid.lines:
        assert len(line) == 2 if not distortion else len(line) > 2
        places = plane.on_road(line * SIZE)
        off = np.abs(places / step - np.round(places / step)).max(axis=0)
        assert off.min() < 1e-3, "one axis of a line has one multiple of the step"


def test_a_grid_ends_before_what_lies_behind_the_camera() -> None:
    """The rectangle begins beneath the camera, so a half of its length before it is behind."""
    plane = of_rectangle(((0.0, 1.0), (1.0, 1.0), (0.55, 0.2), (0.45, 0.2)), (4.0, 60.0)).plane(SIZE)
    lines = road_grid(plane).lines
    assert lines
    assert all(np.isfinite(line).all() and np.abs(line).max() <= 3 for line in lines)
