"""Read what was measured beside the counts of a site, out of the database and the archive."""

from __future__ import annotations

import json
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import Connection, and_, select

from edge_app.city.archive import Archive
from edge_app.city.database.archived import Asked, read_all
from edge_app.city.database.attached import Attached, attached_lines
from edge_app.city.database.tables import ATTACHMENT, LINE, MEASURE
from edge_app.records import FLOWS


class Content(NamedTuple):
    """Measures of one interval. start: UTC s. turned: its line is turned at the site."""

    start: int
    turned: bool
    content: dict[str, Any]


def read_measures(connection: Connection, archive: Archive | None, site: str, start: int, end: int) -> list[Content]:
    """Return the measures of the intervals of a site that begin in [start, end), UTC s, by time.

    Raises StoreError: when a file of the archive cannot be read.
    """
    found = list[Content]()
    for attached in attached_lines(connection, site):
        contents = _contents(connection, archive, attached.within(start, end))
        found += [Content(begin, attached.turned, json.loads(text)) for (begin, _), text in contents.items()]
    return sorted(found, key=lambda content: content.start)


def read_flows(
    connection: Connection, archive: Archive | None, site: str, start: int, end: int
) -> list[dict[str, Any]]:
    """Return the turning flows of the devices that count at a site, of intervals that begin in [start, end), UTC s.

    Raises StoreError: when a file of the archive cannot be read.
    """
    of_device = LINE.alias("of_device")
    same = and_(of_device.c.topic_site == LINE.c.topic_site, of_device.c.device == LINE.c.device)
    columns = of_device.c.id, ATTACHMENT.c.begins, ATTACHMENT.c.ends, ATTACHMENT.c.turned
    rows = connection.execute(
        select(*columns)
        .join_from(ATTACHMENT, LINE, LINE.c.id == ATTACHMENT.c.line_id)
        .join(of_device, and_(same, of_device.c.name == FLOWS))
        .where(ATTACHMENT.c.site_id == site)
        .distinct()
    ).all()
    found = dict[tuple[int, UUID], str]()  # by id: several lines of one device may count at one site
    for row in rows:
        found |= _contents(connection, archive, Attached(*row).within(start, end))
    return [json.loads(text) for text in found.values()]


def _contents(connection: Connection, archive: Archive | None, asked: Asked) -> dict[tuple[int, UUID], str]:
    """Return the measures of a line as JSON, by start and id."""
    if asked.start >= asked.end:
        return {}
    within = MEASURE.c.line_id == asked.line, MEASURE.c.start >= asked.start, MEASURE.c.start < asked.end
    rows = connection.execute(select(MEASURE.c.start, MEASURE.c.id, MEASURE.c.content).where(*within))
    found = {(start, key): content for start, key, content in rows}
    for kept in read_all(connection, archive, asked):
        if kept.interval.measures:
            found[kept.interval.start, kept.interval.id] = kept.interval.measures
    return found
