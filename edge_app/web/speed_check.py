"""Tell what a geometry is worth before a vehicle has passed: whether a plane follows, and the error of speeds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache

from edge_app.errors import GeometryError
from edge_app.measures.expected import KMH, expected_error
from edge_app.measures.ground import Geometry
from edge_app.measures.speed import WORST
from edge_app.records import Line
from edge_app.web.line_check import Finding, finding


def no_plane(error: GeometryError) -> Finding:
    """Return why no plane of the road follows from a geometry."""
    if error.code == "flat":
        return finding("FAIL", "geometry", "flat")
    if error.code == "crossed":
        return finding("FAIL", "geometry", "crossed")
    return Finding("FAIL", "geometry", f"{error}.")


def lines_beyond(geometry: Geometry, lines: Iterable[Line]) -> Iterator[Finding]:
    """Yield a failure for each line that reaches the horizon. Raises GeometryError: when no plane follows."""
    for line in lines:
        try:
            geometry.refuse_beyond([line])
        except GeometryError as error:
            if error.code != "beyond":
                raise
            yield finding("FAIL", f"line {line.id}", "beyond")


def expected_speeds(geometry: Geometry, lines: Iterable[Line], size: tuple[int, int], rate: float) -> Iterator[Finding]:
    """Yield the error to expect of speeds at each line. size: of the frame, px. rate: frames/s.

    The lines lie below the horizon. Raises GeometryError: when no plane follows.
    """
    for line in lines:
        error = _expected(geometry, (line.start, line.end), size, rate)
        values = {"share": f"{error * 100:.0f}" if error < 1 else "> 100", "kmh": f"{KMH:.0f}"}
        what = f"line {line.id}"
        yield finding("ok", what, "speed", **values) if error <= WORST else finding("warn", what, "speed_far", **values)


@lru_cache(maxsize=256)
def _expected(
    geometry: Geometry, ends: tuple[tuple[float, float], tuple[float, float]], size: tuple[int, int], rate: float
) -> float:
    """Return `expected_error`, which the page asks for again and again while somebody draws."""
    return expected_error(geometry, Line("", *ends), size, rate)
