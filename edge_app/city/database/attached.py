"""Tell which quarters count at a site, and in which of its directions."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, and_, case, or_

from edge_app.city.database.tables import ATTACHMENT, QUARTER
from edge_app.city.records import COLUMNS


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
