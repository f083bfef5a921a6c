"""Keep the figures that devices tell of each quarter of an hour, for some weeks."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Final

from sqlalchemy import Connection, case, delete, func, select, tuple_

from edge_app.city.database.engine import insert_new
from edge_app.city.database.tables import FIGURE
from edge_app.mqtt.figures import Figures
from edge_app.records import DIRECTIONS

KEPT_S: Final = 35 * 86_400
"""Time, s, for which figures are kept, as on the device."""
_HOUR_S: Final = 3600
_LEAST_CROSSINGS: Final = 20
"""Crossings of an hour of which a share says something."""


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


def read_output(
    connection: Connection, devices: Collection[str], figures: Collection[str], start: int, end: int
) -> dict[str, dict[int, dict[str, float]]]:
    """Return site/device -> hour, UTC s -> shares that its detector told of its output, by figure.

    The hours that begin in [start, end) and have twenty crossings; quarters weigh by theirs.
    """
    output = {name: FIGURE.c.content["output", name].as_float() for name in figures}
    crossings = sum((FIGURE.c.content["output", "directions", way].as_integer() for way in DIRECTIONS), start=0)
    hour = (FIGURE.c.start - FIGURE.c.start % _HOUR_S).label("hour")
    sums = [func.sum(share * crossings).label(name) for name, share in output.items()]
    weights = [
        func.sum(case((share.is_not(None), crossings))).label(f"weight_{name}") for name, share in output.items()
    ]
    key = FIGURE.c.topic_site, FIGURE.c.device
    statement = select(*key, hour, *sums, *weights).where(
        tuple_(*key).in_([tuple(name.split("/", 1)) for name in devices]), FIGURE.c.start >= start, FIGURE.c.start < end
    )
    found: dict[str, dict[int, dict[str, float]]] = {}
    grouped = statement.group_by(*key, hour).having(func.sum(crossings) >= _LEAST_CROSSINGS)
    for row in connection.execute(grouped).mappings():
        told = {name: row[name] / row[f"weight_{name}"] for name in figures if row[f"weight_{name}"]}
        found.setdefault(f"{row['topic_site']}/{row['device']}", {})[row["hour"]] = told
    return found
