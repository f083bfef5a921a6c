"""Build what is measured beside the count: the plane of the road, and sums by interval."""

from __future__ import annotations

from collections.abc import Sequence

from edge_app.assembly.counter import build_lines
from edge_app.config.model import Config
from edge_app.errors import ConfigError, GeometryError
from edge_app.measures.ground import Geometry, of_rectangle
from edge_app.measures.interval_sums import GRACE_S, IntervalSums, closes_late, nothing
from edge_app.measures.meters import Meters
from edge_app.records import Line
from edge_app.storage.ledger import CLOSES_S


def build_geometry(config: Config) -> Geometry | None:
    """Return where points of the picture lie on the road, None where that is not given.

    Raises ConfigError: when no plane follows from it, or a line lies beyond.
    """
    try:
        geometry = geometry_of(config)
        if geometry is not None:
            geometry.refuse_beyond(build_lines(config))
    except GeometryError as error:
        raise ConfigError(f"geometry: {error}") from error
    return geometry


def geometry_of(config: Config) -> Geometry | None:
    """Return the same whatever the lines. Raises GeometryError: corners that are no picture of a rectangle."""
    g = config.geometry
    if g.rectangle is not None and g.sides_m is not None:
        return of_rectangle(g.rectangle, g.sides_m, g.distortion)
    if g.points:
        return Geometry(tuple(p[:2] for p in g.points), tuple(p[2:] for p in g.points), g.distortion)
    return None


def build_meters(config: Config) -> Meters | None:
    """Build the meters of a recording, None where nothing is measured. Raises ConfigError: as `build_geometry` does."""
    geometry, lines = build_geometry(config), build_lines(config)
    return Meters(lines, geometry) if nothing(lines, geometry) else None


def build_measures(config: Config, lines: Sequence[Line]) -> IntervalSums | None:
    """Build what the service measures beside the count, None where nothing is configured.

    Raises ConfigError: as `build_geometry` does.
    """
    geometry = build_geometry(config)
    if nothing(lines, geometry) or config.mqtt.crossings:
        return IntervalSums(lines, geometry, config.counting.interval_s)
    return None


def closing_grace_s(lines: Sequence[Line]) -> float:
    """Return the time, s, after its end at which an interval closes."""
    return GRACE_S if closes_late(lines) else CLOSES_S
