"""Read what was measured beside the counts of a site."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from sqlalchemy import Connection, and_, or_, select

from edge_app.city.database.tables import ATTACHMENT, LINE, MEASURE
from edge_app.records import FLOWS


class Content(NamedTuple):
    """Measures of one interval. start: UTC s. turned: its line is turned at the site."""

    start: int
    turned: bool
    content: dict[str, Any]


def read_measures(connection: Connection, site: str, start: int, end: int) -> list[Content]:
    """Return the measures of the intervals of a site that begin in [start, end), UTC s, by time."""
    statement = (
        select(MEASURE.c.start, ATTACHMENT.c.turned, MEASURE.c.content)
        .join(ATTACHMENT, and_(ATTACHMENT.c.line_id == MEASURE.c.line_id, _while_attached()))
        .where(ATTACHMENT.c.site_id == site, MEASURE.c.start >= start, MEASURE.c.start < end)
        .order_by(MEASURE.c.start)
    )
    return [Content(row.start, row.turned, json.loads(row.content)) for row in connection.execute(statement)]


def read_flows(connection: Connection, site: str, start: int, end: int) -> list[dict[str, Any]]:
    """Return the turning flows of the devices that count at a site, of intervals that begin in [start, end), UTC s."""
    of_device = LINE.alias("of_device")
    same = and_(of_device.c.topic_site == LINE.c.topic_site, of_device.c.device == LINE.c.device)
    statement = (
        select(MEASURE.c.id, MEASURE.c.content)
        .join(of_device, and_(of_device.c.id == MEASURE.c.line_id, of_device.c.name == FLOWS))
        .join(LINE, same)
        .join(ATTACHMENT, and_(ATTACHMENT.c.line_id == LINE.c.id, _while_attached()))
        .where(ATTACHMENT.c.site_id == site, MEASURE.c.start >= start, MEASURE.c.start < end)
    )
    # By its id: several lines of one device may count at one site.
    return [json.loads(text) for text in {row.id: row.content for row in connection.execute(statement)}.values()]


def _while_attached() -> Any:
    after = MEASURE.c.start >= ATTACHMENT.c.begins
    return and_(after, or_(ATTACHMENT.c.ends.is_(None), MEASURE.c.start < ATTACHMENT.c.ends))
