"""Find devices that were carried to another place: their lines count at another site from then on.

A site that somebody has edited keeps its line, and its series breaks there: where the line counts is theirs to say.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, func, select

from edge_app.city.database.engine import among, change
from edge_app.city.database.tables import ATTACHMENT, DEVICE, DIRTY, QUARTER
from edge_app.city.records import LineName

_SAME_PLACE_M: Final = 100.0
_DEGREE_M: Final = 111_320.0


class Place(NamedTuple):
    """Where a line counts. lat, lon: degrees, both None where that is not known."""

    road: str
    lat: float | None
    lon: float | None

    def __str__(self) -> str:
        return self.road if self.lat is None else f"{self.road} ({self.lat}, {self.lon})"


def is_another(before: Place, after: Place) -> bool:
    """Return whether two places are not the same: further apart than a correction, or unlike roads without positions.

    A position that is corrected by some tens of metres is the same place, and so is a road that is spelled anew there.
    """
    if before.lat is None or before.lon is None or after.lat is None or after.lon is None:
        return before.road.split() != after.road.split()
    narrow = math.cos(math.radians((before.lat + after.lat) / 2))
    east = (after.lon - before.lon + 180) % 360 - 180
    return math.hypot(after.lat - before.lat, narrow * east) * _DEGREE_M > _SAME_PLACE_M


def told_places(connection: Connection, devices: Collection[tuple[str, str]]) -> dict[LineName, Place]:
    """Return where the lines of devices were when these told what they are last; the road as they tell it."""
    columns = DEVICE.c.topic_site, DEVICE.c.device, DEVICE.c.meta
    of_devices = among(connection, DEVICE.c.device, {device for _, device in devices})
    places: dict[LineName, Place] = {}
    for site, device, meta in connection.execute(select(*columns).where(of_devices)):
        location = meta.get("location") or {}
        for line in meta.get("lines") or ():
            name = LineName(site, device, line["id"])
            places[name] = Place(line.get("road") or "", location.get("lat"), location.get("lon"))
    return places


def counted_before(connection: Connection, lines: Collection[int], at: int) -> set[int]:
    """Return which lines have counted before a time, UTC s, also where that is not yet added up."""
    found = set[int]()
    for table in (QUARTER, DIRTY):
        some = select(table.c.line_id).where(among(connection, table.c.line_id, lines), table.c.start < at)
        found.update(connection.execute(some.distinct()).scalars())
    return found


def end_attachments(connection: Connection, attachments: Collection[int], at: int) -> None:
    """Let attachments end at a time, UTC s."""
    change(connection, ATTACHMENT, ["id"], [{"id": one, "ends": at} for one in sorted(attachments)])


def attach_anew(connection: Connection, rows: Mapping[int, Any], reasons: Mapping[int, str], at: int) -> None:
    """Attach lines anew to the sites they count at, whose series break there. rows: attachments, by line."""
    end_attachments(connection, [row.attachment for row in rows.values()], at)
    anew = [
        {
            "site_id": row.id,
            "line_id": line,
            "begins": at,
            "ends": row.ends,
            "turned": row.turned,
            "breaks": True,
            "reason": reasons[line],
        }
        for line, row in sorted(rows.items())
    ]
    if anew:
        connection.execute(ATTACHMENT.insert(), anew)


def ended(connection: Connection, lines: Collection[int]) -> dict[int, int]:
    """Return when the last attachment of lines ended, UTC s; without those that were never attached."""
    last = select(ATTACHMENT.c.line_id, func.max(ATTACHMENT.c.ends)).group_by(ATTACHMENT.c.line_id)
    rows = connection.execute(last.where(among(connection, ATTACHMENT.c.line_id, lines)))
    return {line: ends for line, ends in rows}  # noqa: C416 -- dict() of rows has no type


def counting_nowhere(connection: Connection, lines: Collection[int]) -> set[int]:
    """Return which lines have counted since the last of their attachments ended."""
    last = select(func.max(ATTACHMENT.c.ends)).where(ATTACHMENT.c.line_id == QUARTER.c.line_id).scalar_subquery()
    since = select(QUARTER.c.line_id).where(among(connection, QUARTER.c.line_id, lines), QUARTER.c.start >= last)
    return set(connection.execute(since.distinct()).scalars())
