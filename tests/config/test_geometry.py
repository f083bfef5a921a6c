"""Test the table [geometry]: what is missing or impossible is told with its key."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_app.config.load import load
from edge_app.errors import ConfigError
from tests.support.config_cases import LINE

CORNERS = "rectangle = [[0.35, 0.8], [0.65, 0.8], [0.58, 0.5], [0.42, 0.5]]\n"
POINT = "[0.1, 0.2, 0.0, 0.0]"


@pytest.mark.parametrize(
    ("table", "problem"),
    [
        (CORNERS, "geometry.sides_m: rectangle and sides_m belong together"),
        ("sides_m = [3.5, 12.0]\n", "geometry.sides_m: rectangle and sides_m belong together"),
        (CORNERS + "sides_m = [0.0, 12.0]\n", "geometry.sides_m"),
        (CORNERS + "sides_m = [3.5, 1000.0]\n", "geometry.sides_m"),
        (CORNERS + "sides_m = [3.5, inf]\n", "geometry.sides_m"),
        ("rectangle = [[0.1, 0.1], [0.2, 0.2], [0.3, 1.3], [0.1, 0.4]]\nsides_m = [3.5, 12.0]\n", "geometry.rectangle"),
        (CORNERS + f"sides_m = [3.5, 12.0]\npoints = [{POINT}]\n", "geometry.points: points are given beside"),
        (f"points = [{POINT}]\n", "geometry.points: needs at least four points, but has 1"),
        ("points = [[5.0, 0.2, 0.0, 0.0]]\n", "geometry.points"),
        ("points = [[nan, 0.2, 0.0, 0.0]]\n", "geometry.points"),
        ("points = [[0.1, 0.2, inf, 0.0]]\n", "geometry.points"),
        ("distortion = 3.0\n", "geometry.distortion"),
    ],
)
def test_a_wrong_geometry_is_told_with_its_key(toml: Path, table: str, problem: str) -> None:
    toml.write_text(f"[geometry]\n{table}{LINE}")
    with pytest.raises(ConfigError) as raised:
        load(toml, {})
    assert any(text.startswith(problem) for text in raised.value.problems), raised.value.problems
