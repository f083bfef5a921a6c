"""Know which files of the archive are lost for good: a person has said so, with a reason.

Such a file is no longer of the archive. Sums that were made of it stay; what comes late of its day can only be held to
them, so they tell at least so many.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, delete, or_, select

from edge_app.city.archive import LINES_A_PART, ArchiveFile
from edge_app.city.database import engine
from edge_app.city.database.days import DAY_S
from edge_app.city.database.tables import ATTACHMENT, LOST


@dataclass(frozen=True, slots=True)
class LostFile:
    """A file that is lost for good. reason: why, for people. who, at: who has said so; UTC s."""

    file: ArchiveFile
    reason: str
    who: str
    at: int


def lost_files(connection: Connection, days: Collection[int] | None = None) -> list[LostFile]:
    """Return the files that are lost, the oldest day first. days: only those of these."""
    statement = select(LOST).order_by(LOST.c.day, LOST.c.part, LOST.c.name)
    if days is not None:
        statement = statement.where(engine.among(connection, LOST.c.day, days))
    return [_lost(row) for row in connection.execute(statement)]


def lost_of_site(connection: Connection, site: str, start: int, end: int) -> list[LostFile]:
    """Return the lost files with days that touch [start, end), UTC s, of lines that counted at a site on them."""
    counted = (
        ATTACHMENT.c.site_id == site,
        (ATTACHMENT.c.line_id - 1) // LINES_A_PART == LOST.c.part,
        ATTACHMENT.c.begins < LOST.c.day + DAY_S,
        or_(ATTACHMENT.c.ends.is_(None), ATTACHMENT.c.ends > LOST.c.day),
    )
    touching = LOST.c.day > start - DAY_S, LOST.c.day < end, select(ATTACHMENT.c.id).where(*counted).exists()
    return [_lost(row) for row in connection.execute(select(LOST).where(*touching).order_by(LOST.c.day, LOST.c.part))]


def add_lost(connection: Connection, lost: Iterable[LostFile]) -> None:
    """Note files as lost."""
    rows = [
        {
            **{name: getattr(one.file, name) for name in ArchiveFile.__slots__},
            "reason": one.reason,
            "who": one.who,
            "at": one.at,
        }
        for one in lost
    ]
    connection.execute(LOST.insert(), rows)


def forget_lost(connection: Connection, names: Sequence[str]) -> None:
    """Forget that files were lost, since their intervals are in the archive again."""
    if names:
        connection.execute(delete(LOST).where(LOST.c.name.in_(names)))


def _lost(row: Any) -> LostFile:
    file = ArchiveFile(row.day, row.part, row.name, row.intervals, row.vehicles, row.size, row.sha256)
    return LostFile(file, row.reason, row.who, row.at)
