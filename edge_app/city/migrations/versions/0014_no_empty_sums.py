"""Delete sums without an interval, and tell of steps what lies beyond their own end."""

from __future__ import annotations

from collections.abc import Mapping
from zoneinfo import ZoneInfo

import sqlalchemy as sa
from alembic import op

from edge_app.city.calendar import STEPS, step_around

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

_QUARTER_S = 900
_CHANGE = sa.text(
    "UPDATE step SET straddling_s = straddling_s + :beyond WHERE site_id = :site AND step = :step AND start = :start"
)


def upgrade() -> None:
    # A zero that nobody has counted: an interval only reaches into them.
    op.execute("DELETE FROM quarter WHERE intervals = 0")
    op.execute("DELETE FROM step WHERE length_s = 0")
    op.execute("UPDATE step SET straddling_s = 0 WHERE straddling_s <> 0")
    connection = op.get_bind()
    zones = {row.id: ZoneInfo(row.time_zone) for row in connection.execute(sa.text("SELECT id, time_zone FROM site"))}
    for site, tz in zones.items():
        changes = [
            {"site": site, "step": step, "start": start, "beyond": beyond}
            for (step, start), beyond in _beyond(connection, site, tz).items()
        ]
        if changes:
            connection.execute(_CHANGE, changes)


def _beyond(connection: sa.Connection, site: str, tz: ZoneInfo) -> Mapping[tuple[str, int], int]:
    """Return the seconds of intervals beyond the end of each step of a site that has any, by step and begin."""
    quarters = sa.text(
        "SELECT quarter.start, straddling_s FROM quarter JOIN attachment ON quarter.line_id = attachment.line_id"
        " AND quarter.start >= attachment.begins AND (attachment.ends IS NULL OR quarter.start < attachment.ends)"
        " WHERE attachment.site_id = :site AND straddling_s > 0"
    )
    found: dict[tuple[str, int], int] = {}
    for start, straddling_s in connection.execute(quarters, {"site": site}):
        for step in STEPS:
            begin, end = step_around(start, step, tz)
            if (over := start + _QUARTER_S + straddling_s - end) > 0:
                found[step, begin] = found.get((step, begin), 0) + over
    return found
