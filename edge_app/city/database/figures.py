"""Keep the figures that devices tell of each quarter of an hour, for some weeks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy import Connection, delete, select

from edge_app.city.database.engine import insert_new
from edge_app.city.database.tables import FIGURE
from edge_app.mqtt.figures import Figures

KEPT_S: Final = 35 * 86_400
"""Time, s, for which figures are kept, as on the device."""


def note_figures(connection: Connection, told: Mapping[tuple[str, str], Figures]) -> None:
    """Keep figures of devices; those of a quarter that is known stay as they are. told: site and device -> figures."""
    rows = [
        {
            "topic_site": site,
            "device": device,
            "start": int(figures.start.timestamp()),
            "content": figures.model_dump(mode="json", exclude={"start"}),
        }
        for (site, device), figures in sorted(told.items())
    ]
    insert_new(connection, FIGURE, rows)


def forget_figures(connection: Connection, now: int) -> None:
    """Delete what is older than `KEPT_S`. now: UTC s."""
    connection.execute(delete(FIGURE).where(FIGURE.c.start < now - KEPT_S))


def read_figures(connection: Connection, device: tuple[str, str], start: int, end: int) -> list[tuple[int, Any]]:
    """Return begin, UTC s, and content of the quarters of a device that begin in [start, end), by time."""
    site, name = device
    of_device = FIGURE.c.topic_site == site, FIGURE.c.device == name
    statement = select(FIGURE.c.start, FIGURE.c.content).where(
        *of_device, FIGURE.c.start >= start, FIGURE.c.start < end
    )
    return [(begin, content) for begin, content in connection.execute(statement.order_by(FIGURE.c.start))]
