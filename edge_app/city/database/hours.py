"""Read what lines of devices have counted in whole hours."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, Final

from sqlalchemy import Connection, Select, and_, func, or_, select

from edge_app.city.database.engine import among
from edge_app.city.database.tables import LINE, QUARTER
from edge_app.records import DIRECTIONS, FLOWS, VEHICLES

_HOUR_S: Final = 3600
_SEEN: Final = 0.9
"""Share of an hour that must have been seen."""


def read_hours(
    connection: Connection, devices: Collection[str], spans: Sequence[tuple[int, int]]
) -> dict[tuple[int, str], dict[str, float]]:
    """Return hour, UTC s, and site/device/line -> vehicles by class, for hours that were seen nearly whole.

    spans: begin and end, UTC s; the hours that begin within one of them.
    """
    wanted, rows = set(devices), connection.execute(_lines(devices))
    names = {row.id: f"{name}/{row.name}" for row in rows if (name := f"{row.topic_site}/{row.device}") in wanted}
    hour = (QUARTER.c.start - QUARTER.c.start % _HOUR_S).label("hour")
    classes = [
        func.sum(sum((QUARTER.c[f"{name}_{way}"] for way in DIRECTIONS), start=0)).label(name) for name in VEHICLES
    ]
    statement = select(QUARTER.c.line_id, hour, func.sum(QUARTER.c.covered_s).label("seen_s"), *classes)
    statement = statement.where(among(connection, QUARTER.c.line_id, list(names)))
    within = or_(*(and_(QUARTER.c.start >= begin, QUARTER.c.start < end) for begin, end in spans))
    statement = statement.where(within).group_by(QUARTER.c.line_id, hour)
    return {
        (row["hour"], names[row["line_id"]]): {name: float(row[name]) for name in VEHICLES}
        for row in connection.execute(statement).mappings()
        if row["seen_s"] >= _SEEN * _HOUR_S
    }


def _lines(devices: Collection[str]) -> Select[Any]:
    sites = {name.partition("/")[0] for name in devices}
    return select(LINE.c.id, LINE.c.topic_site, LINE.c.device, LINE.c.name).where(
        LINE.c.name != FLOWS, LINE.c.topic_site.in_(sites)
    )
