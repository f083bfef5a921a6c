"""Days of intervals: partitions in PostgreSQL, stretches of one table in SQLite. Days are UTC."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, Select, delete, func, select, text

from edge_app.city.archive import LINES_A_PART, part_of
from edge_app.city.database.tables import INTERVAL, LINE, MEASURE

DAY_S: Final = 86_400
COUNTS: Final = "counts"
"""Table of intervals, the only one in partitions."""
_MAKING: Final = 7201
_MOVING: Final = 7202
_ADDING: Final = 7203
"""Locks of PostgreSQL: for whoever makes a partition, moves days, and adds steps up."""
_WAIT_S: Final = 3
"""For whoever reads a partition that is to be dropped: everybody else would wait behind."""
_AT_ONCE: Final = 10_000


def day_of(start: int) -> int:
    """Return the first second of the day of a time, UTC s."""
    return start // DAY_S * DAY_S


def keep_days(connection: Connection, *, alone: bool = False) -> None:
    """Let nobody move intervals out of the database until the end of the transaction, whose first step this is.

    alone: neither let anybody store or add up any.
    """
    if connection.dialect.name == "postgresql":
        kind = "" if alone else "_shared"
        connection.execute(text(f"SELECT pg_advisory_xact_lock{kind}({_MOVING})"))
        return
    driver: Any = connection.connection.driver_connection
    if not driver.in_transaction:  # SQLite has one writer at a time, from its first change on
        connection.exec_driver_sql("BEGIN IMMEDIATE")


def add_up_alone(connection: Connection) -> None:
    """Let nobody else add up steps until the end of the transaction: each would miss the quarters of the other.

    SQLite has one writer at a time anyway.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(text(f"SELECT pg_advisory_xact_lock({_ADDING})"))


def make_room(connection: Connection, days: Iterable[int]) -> None:
    """Make the partitions of days, where the database has partitions. days: their first seconds, UTC."""
    if connection.dialect.name != "postgresql":
        return
    for day in sorted(set(days)):
        name = _partition(day)
        if connection.execute(text("SELECT to_regclass(:name)"), {"name": name}).scalar() is None:
            connection.execute(text(f"SELECT pg_advisory_xact_lock({_MAKING})"))  # two workers make one once
            bounds = f"FOR VALUES FROM ({day}) TO ({day + DAY_S})"
            connection.execute(text(f"CREATE TABLE IF NOT EXISTS {name} PARTITION OF {COUNTS} {bounds}"))


def days_before(connection: Connection, before: int) -> list[int]:
    """Return the days that have intervals and end at a time or earlier, oldest first. before: UTC s."""
    if connection.dialect.name == "postgresql":
        return [day for day in _partitions(connection) if day + DAY_S <= before and _has_rows(connection, day)]
    found, after = list[int](), -(2**40)
    while True:  # from day to day by the index: the table itself is long
        of_line = select(func.min(INTERVAL.c.start)).where(INTERVAL.c.line_id == LINE.c.id, INTERVAL.c.start >= after)
        oldest = connection.execute(select(func.min(of_line.scalar_subquery())).select_from(LINE)).scalar()
        if oldest is None or day_of(oldest) + DAY_S > before:
            return found
        found.append(day_of(oldest))
        after = found[-1] + DAY_S


def parts_of(connection: Connection, day: int) -> list[int]:
    """Return the parts of lines that have intervals on a day."""
    newest = connection.execute(select(func.max(LINE.c.id))).scalar() or 0
    found = []
    for part in range(part_of(newest) + 1 if newest else 0):
        rows = of_part(select(INTERVAL.c.start), day, part).limit(1)
        if connection.execute(rows).first() is not None:
            found.append(part)
    return found


def write_csv(connection: Connection, rows: Select[Any], day: int, part: int, file: Path) -> None:
    """Write the intervals of a day and a part of the lines as CSV, as a statement about them and their lines tells.

    Raises OSError: when the file cannot be written.
    """
    statement = of_part(rows, day, part)
    if connection.dialect.name == "postgresql":
        compiled = statement.compile(connection.engine, compile_kwargs={"literal_binds": True})
        driver: Any = connection.connection.driver_connection
        with (
            file.open("wb") as to,
            driver.cursor() as cursor,
            cursor.copy(f"COPY ({compiled}) TO STDOUT (FORMAT csv)") as copying,
        ):
            for chunk in copying:
                to.write(chunk)
        return
    found = connection.execution_options(yield_per=_AT_ONCE).execute(statement)
    with file.open("w", encoding="utf-8", newline="") as text_file:
        csv.writer(text_file, lineterminator="\n").writerows(found)


def of_part(rows: Select[Any], day: int, part: int) -> Select[Any]:
    """Return a statement about intervals, of a day and a part of the lines alone, joined with these."""
    return rows.join(LINE, LINE.c.id == INTERVAL.c.line_id).where(
        LINE.c.id.between(*_lines_of(part)),
        INTERVAL.c.line_id.between(*_lines_of(part)),
        INTERVAL.c.start >= day,
        INTERVAL.c.start < day + DAY_S,
    )


def drop_day(connection: Connection, day: int, parts: Iterable[int]) -> None:
    """Remove the intervals of a day, those of some parts of the lines, with their measures.

    Raises sqlalchemy.exc.SQLAlchemyError: also where somebody reads that day for longer.
    """
    parts = set(parts)
    of_partition = connection.dialect.name == "postgresql" and parts >= set(parts_of(connection, day))
    for table in (MEASURE,) if of_partition else (MEASURE, INTERVAL):
        for part in sorted(parts):
            lines = select(LINE.c.id).where(LINE.c.id.between(*_lines_of(part)))
            within = table.c.line_id.in_(lines), table.c.start >= day, table.c.start < day + DAY_S
            connection.execute(delete(table).where(*within))
    if of_partition:
        connection.execute(text(f"SET LOCAL lock_timeout = '{_WAIT_S}s'"))
        connection.execute(text(f"DROP TABLE IF EXISTS {_partition(day)}"))


def _lines_of(part: int) -> tuple[int, int]:
    return part * LINES_A_PART + 1, (part + 1) * LINES_A_PART


def _partition(day: int) -> str:
    return f"{COUNTS}_{day // DAY_S}"


def _partitions(connection: Connection) -> list[int]:
    """Return the days that have a partition, oldest first."""
    statement = text(f"SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = '{COUNTS}'::regclass")
    names = connection.execute(statement).scalars()
    return sorted(int(name.rpartition("_")[2]) * DAY_S for name in names)


def _has_rows(connection: Connection, day: int) -> bool:
    return bool(connection.execute(text(f"SELECT EXISTS (SELECT FROM {_partition(day)})")).scalar())
