"""Keep the newest contradictions, and know how many there were: one device could fill the disk with them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, delete, func, select, update

from edge_app.city.database.engine import insert_new
from edge_app.city.database.tables import CONTRADICTION, FORGOTTEN, LINE


def read_contradictions(connection: Connection, most: int = 200, before: int | None = None) -> Sequence[Row[Any]]:
    """Return the newest contradictions, newest first. before: only those with a lower id."""
    statement = select(LINE.c.topic_site, LINE.c.device, LINE.c.name, CONTRADICTION).join(
        LINE, LINE.c.id == CONTRADICTION.c.line_id
    )
    if before is not None:
        statement = statement.where(CONTRADICTION.c.id < before)
    return connection.execute(statement.order_by(CONTRADICTION.c.id.desc()).limit(most)).all()


def count_contradictions(connection: Connection) -> dict[str, int]:
    """Return how many contradictions were found so far, by kind; those that were deleted are among them."""
    deleted = {row.kind: row.many for row in connection.execute(select(FORGOTTEN))}
    by_kind = select(CONTRADICTION.c.kind, func.count().label("many")).group_by(CONTRADICTION.c.kind)
    kept = {row.kind: row.many for row in connection.execute(by_kind)}
    return {kind: deleted.get(kind, 0) + kept.get(kind, 0) for kind in sorted(deleted.keys() | kept.keys())}


def forget_contradictions(connection: Connection, most: int) -> int:
    """Delete the oldest contradictions but `most`, note how many of each kind they were, and return their number."""
    ids = select(CONTRADICTION.c.id).order_by(CONTRADICTION.c.id.desc())
    newest_old = connection.execute(ids.offset(most).limit(1)).scalar()
    if newest_old is None:
        return 0
    old, forgotten = CONTRADICTION.c.id <= newest_old, 0
    for kind in sorted(connection.execute(select(CONTRADICTION.c.kind).where(old).distinct()).scalars()):
        # What another worker deletes at the same moment is its own: each counts what it has deleted itself.
        many = connection.execute(delete(CONTRADICTION).where(old, CONTRADICTION.c.kind == kind)).rowcount
        insert_new(connection, FORGOTTEN, [{"kind": kind, "many": 0}])
        here = update(FORGOTTEN).where(FORGOTTEN.c.kind == kind)
        connection.execute(here.values(many=FORGOTTEN.c.many + many))
        forgotten += many
    return forgotten
