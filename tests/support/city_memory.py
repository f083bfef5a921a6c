"""What a city remembers of its devices, written as ingest leaves it: hours of counts, and figures of quarters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from sqlalchemy import select

from edge_app.city.database.engine import Connection, insert_new
from edge_app.city.database.tables import FIGURE, LINE, QUARTER
from edge_app.city.records import COLUMNS
from edge_app.records import DIRECTIONS

_QUARTER_S: Final = 900
WELL: Final[Mapping[str, Any]] = {
    "frames_per_s": 15.0,
    "dropped_share": 0.0,
    "stages_ms": {},
    "unsent": 1,
    "memory_mb": 120.0,
    "temperature_c": 50.0,
    "throttled_share": 0.0,
    "disk_free_mb": 9000.0,
    "starts": 1,
}
"""Figures of a program that is well."""


def add_lines(connection: Connection, names: Sequence[str]) -> dict[str, int]:
    """Make a line for each device, SITE/DEVICE, and return their keys."""
    rows = [dict(zip(("topic_site", "device"), name.split("/"), strict=True)) for name in names]
    insert_new(connection, LINE, [{**row, "name": "main", "told": [], "longest_s": 900} for row in rows])
    found = connection.execute(select(LINE.c.id, LINE.c.topic_site, LINE.c.device))
    return {f"{row.topic_site}/{row.device}": row.id for row in found}


def add_hours(connection: Connection, counted: Mapping[tuple[int, int], Mapping[str, float]]) -> None:
    """Note hours that were seen whole. counted: line and hour, UTC s -> vehicles by class."""
    rows = []
    for (line, hour), vehicles in counted.items():
        for quarter in range(4):
            counts = dict.fromkeys(COLUMNS, 0)
            for name, many in vehicles.items():
                counts[f"{name}_{DIRECTIONS[0]}"] = int(many) // 4 + (quarter < int(many) % 4)
            row: dict[str, Any] = {
                "line_id": line,
                "start": hour + quarter * _QUARTER_S,
                "covered_s": 900.0,
                "length_s": 900,
            }
            row |= {"straddling_s": 0, "intervals": 15, "flagged_s": 0, "doubtful": 0, "flags": {}, "settings": []}
            rows.append({**row, **counts})
    insert_new(connection, QUARTER, rows)


def add_figures(
    connection: Connection,
    name: str,
    begin: int,
    end: int,
    software: Mapping[str, Any] = WELL,
    output: Mapping[str, Any] | None = None,
) -> None:
    """Note figures of a device for the quarters in [begin, end), UTC s. output: of its detector."""
    site, _, device = name.partition("/")
    content = {"software": dict(software), "input": None, "output": dict(output) if output else None}
    starts = range(begin, end, _QUARTER_S)
    rows = [{"topic_site": site, "device": device, "start": start, "content": content} for start in starts]
    insert_new(connection, FIGURE, rows)
