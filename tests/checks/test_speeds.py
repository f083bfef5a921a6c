"""Test what `check` says of speeds: the error to expect at each line, and geometries from which none follow."""

from __future__ import annotations

from typing import Any

import pytest

from edge_app.checks.road import check_speeds
from edge_app.config.model import Config
from edge_app.web.line_check import Finding

RECTANGLE = [(0.35, 0.8), (0.65, 0.8), (0.58, 0.5), (0.42, 0.5)]


def found(geometry: dict[str, Any], line: tuple[float, float] = (0.7, 0.7)) -> list[Finding]:
    lines = [{"id": "main", "start": (0.3, line[0]), "end": (0.7, line[1])}]
    return list(check_speeds(Config.model_validate({"lines": lines, "geometry": geometry}), (1280, 720), 15.0))


def test_the_error_at_each_line_is_told() -> None:
    (finding,) = found({"rectangle": RECTANGLE, "sides_m": (3.5, 12.0)})
    assert finding.level == "ok"
    assert finding.what == "line main"
    assert finding.sentence == "speeds here will be off by about 3 % at 30 km/h (one standard deviation)."


def test_a_line_far_from_the_rectangle_is_a_warning() -> None:
    (finding,) = found({"rectangle": RECTANGLE, "sides_m": (3.5, 12.0)}, (0.32, 0.32))
    assert finding.level == "warn"
    assert "mark a larger rectangle" in finding.sentence


def test_without_a_geometry_nothing_is_said() -> None:
    assert not found({})


@pytest.mark.parametrize(
    ("geometry", "line", "reason"),
    [
        ({"rectangle": [RECTANGLE[i] for i in (0, 2, 1, 3)], "sides_m": (3.5, 12.0)}, (0.7, 0.7), "cross over"),
        ({"rectangle": RECTANGLE, "sides_m": (3.5, 12.0)}, (0.7, 0.01), "reaches the horizon"),
        ({"points": [(x, 0.5, x, 0.0) for x in (0.1, 0.3, 0.5, 0.9)]}, (0.7, 0.7), "nearly in a line"),
    ],
)
def test_a_geometry_without_a_plane_is_a_failure(
    geometry: dict[str, Any], line: tuple[float, float], reason: str
) -> None:
    (finding,) = found(geometry, line)
    assert (finding.level, finding.what) == ("FAIL", "geometry")
    assert reason in finding.sentence
