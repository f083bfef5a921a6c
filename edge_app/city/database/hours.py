"""Read what devices have counted in whole hours, all their lines together."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, Final

from sqlalchemy import Connection, Select, and_, func, or_, select

from edge_app.city.database.engine import among
from edge_app.city.database.tables import LINE, QUARTER
from edge_app.records import DIRECTIONS, FLOWS, VEHICLES

_HOUR_S: Final = 3600
_SEEN: Final = 0.9
"""Share of an hour of each line that must have been seen."""


def read_hours(
    connection: Connection, devices: Collection[str], spans: Sequence[tuple[int, int]]
) -> dict[tuple[int, str], dict[str, float]]:
    """Return hour, UTC s, and site/device -> vehicles by class, for hours that were seen nearly whole.

    spans: begin and end, UTC s; the hours that begin within one of them.
    """
    names = {row.id: f"{row.topic_site}/{row.device}" for row in connection.execute(_lines(devices))}
    names = {line: name for line, name in names.items() if name in set(devices)}
    hour = (QUARTER.c.start - QUARTER.c.start % _HOUR_S).label("hour")
    classes = [
        func.sum(sum((QUARTER.c[f"{name}_{way}"] for way in DIRECTIONS), start=0)).label(name) for name in VEHICLES
    ]
    statement = select(QUARTER.c.line_id, hour, func.sum(QUARTER.c.covered_s).label("seen_s"), *classes)
    statement = statement.where(among(connection, QUARTER.c.line_id, list(names)))
    within = or_(*(and_(QUARTER.c.start >= begin, QUARTER.c.start < end) for begin, end in spans))
    statement = statement.where(within).group_by(QUARTER.c.line_id, hour)
    sums, whole = dict[tuple[int, str], dict[str, float]](), dict[tuple[int, str], bool]()
    for row in connection.execute(statement).mappings():
        key = row["hour"], names[row["line_id"]]
        whole[key] = whole.get(key, True) and row["seen_s"] >= _SEEN * _HOUR_S
        of_hour = sums.setdefault(key, dict.fromkeys(VEHICLES, 0.0))
        for name in VEHICLES:
            of_hour[name] += float(row[name])
    return {key: of_hour for key, of_hour in sums.items() if whole[key]}


def _lines(devices: Collection[str]) -> Select[Any]:
    sites = {name.partition("/")[0] for name in devices}
    return select(LINE.c.id, LINE.c.topic_site, LINE.c.device).where(LINE.c.name != FLOWS, LINE.c.topic_site.in_(sites))
