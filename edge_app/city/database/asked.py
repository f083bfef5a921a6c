"""Keep which gaps are asked for, how often and until when they rest: the page's workers are other processes.

A row is written when a command has gone out, and when its gap has closed: never because somebody has looked.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from sqlalchemy import Connection, select

from edge_app.city.asking import Asked, DeviceName
from edge_app.city.database.engine import put
from edge_app.city.database.tables import ASKED_GAP, DEVICE, LINE, SERIES
from edge_app.city.records import Gap, LineName

_SILENT_S: Final = 180
"""A device that is said to be offline is away when it was silent for so long: two workers may store what it says, that
it is offline and that it is back, the other way round."""
_PRESENT: Final = ("online", "unknown")


def note_asked(connection: Connection, asked: Sequence[tuple[int, Asked]]) -> None:
    """Note gaps that were asked for, each with the key of its series. Their times are UTC s."""
    rows = [
        {
            "series_id": series,
            "first": one.gap.first,
            "last": one.gap.last,
            "reach": one.reach,
            "asked": round(one.first),
            "newest": round(one.newest),
            "again": round(one.again),
            "times": one.times,
        }
        for series, one in asked
    ]
    put(connection, ASKED_GAP, sorted(rows, key=lambda row: (row["series_id"], row["first"])))


def read_asked(connection: Connection) -> Iterator[tuple[int, Asked]]:
    """Yield the gaps that are asked for, each with the key of its series. Their times are UTC s."""
    named = select(LINE.c.topic_site, LINE.c.device, LINE.c.name, SERIES.c.installation, ASKED_GAP)
    of_lines = named.join(SERIES, SERIES.c.id == ASKED_GAP.c.series_id).join(LINE, LINE.c.id == SERIES.c.line_id)
    for row in connection.execute(of_lines.order_by(ASKED_GAP.c.series_id, ASKED_GAP.c.first)):
        yield row.series_id, _asked(row)


def away_devices(connection: Connection, now: int) -> set[DeviceName]:
    """Return the devices that are not asked for anything until they are back. now: UTC s."""
    device = DEVICE.c.topic_site, DEVICE.c.device
    away = select(*device).where(DEVICE.c.state.not_in(_PRESENT), DEVICE.c.heard <= now - _SILENT_S)
    return {(site, name) for site, name in connection.execute(away)}


def _asked(row: Any) -> Asked:
    gap = Gap(LineName(row.topic_site, row.device, row.name), row.installation, row.first, row.last)
    return Asked(gap, row.reach, row.asked, row.newest, row.again, row.times)
