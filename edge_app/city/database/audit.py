"""Keep who has changed what: an entry is in the transaction of its change, so neither is there without the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Row, select

from edge_app.city.database.tables import AUDIT


def note_change(
    connection: Connection, at: float, who: str, action: str, subject: str, change: Mapping[str, Any] | None = None
) -> None:
    """Note a change. at: UTC s. action: for programs, such as site.put. subject: of what. change: key -> old, new."""
    note_changes(connection, at, who, action, {subject: change or {}})


def note_changes(
    connection: Connection, at: float, who: str, action: str, changes: Mapping[str, Mapping[str, Any]]
) -> None:
    """Note the same kind of change of several subjects. changes: by subject, else as above."""
    one = {"at": int(at), "who": who, "action": action}
    rows = [{**one, "subject": subject, "change": dict(change)} for subject, change in changes.items()]
    if rows:
        connection.execute(AUDIT.insert(), rows)


def read_audit(
    connection: Connection, before: int | None = None, most: int = 200, subject: str | None = None
) -> Sequence[Row[Any]]:
    """Return the newest changes, newest first. before: only those with a lower id. subject: only those of it."""
    statement = select(AUDIT).order_by(AUDIT.c.id.desc()).limit(most)
    if before is not None:
        statement = statement.where(AUDIT.c.id < before)
    return connection.execute(statement if subject is None else statement.where(AUDIT.c.subject == subject)).all()
