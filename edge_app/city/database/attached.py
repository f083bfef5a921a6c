"""Tell which lines and quarters count at a site, when, and in which of its directions."""

from __future__ import annotations

from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, and_, case, or_, select

from edge_app.city.database.archived import Asked
from edge_app.city.database.tables import ATTACHMENT, QUARTER
from edge_app.city.records import COLUMNS


class Attached(NamedTuple):
    """A line that counts at a site. begins, ends: UTC s; `ends` is None until now."""

    line: int
    begins: int
    ends: int | None
    turned: bool

    def within(self, start: int, end: int) -> Asked:
        """Return the stretch of [start, end), UTC s, in which it counts there."""
        return Asked(self.line, max(start, self.begins), end if self.ends is None else min(end, self.ends))


def attached_lines(connection: Connection, site: str) -> list[Attached]:
    """Return the lines that count at a site, now or before."""
    columns = ATTACHMENT.c.line_id, ATTACHMENT.c.begins, ATTACHMENT.c.ends, ATTACHMENT.c.turned
    return [Attached(*row) for row in connection.execute(select(*columns).where(ATTACHMENT.c.site_id == site))]


def counts_there() -> ColumnElement[bool]:
    """Return the condition that a quarter lies in the time for which its line is attached to a site."""
    return and_(
        QUARTER.c.line_id == ATTACHMENT.c.line_id,
        QUARTER.c.start >= ATTACHMENT.c.begins,
        or_(ATTACHMENT.c.ends.is_(None), QUARTER.c.start < ATTACHMENT.c.ends),
    )


def counts_of_site() -> dict[str, ColumnElement[Any]]:
    """Return each of COLUMNS as the site has it: a line that is turned counts the other way."""
    # COLUMNS come in pairs, one for each direction.
    return {
        name: case((ATTACHMENT.c.turned, QUARTER.c[COLUMNS[at ^ 1]]), else_=QUARTER.c[name])
        for at, name in enumerate(COLUMNS)
    }
