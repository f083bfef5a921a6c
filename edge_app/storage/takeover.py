"""Copy what happened while the disk failed from the tables in memory to the file, within one transaction of the file.

It may be repeated: after an error nobody knows whether the disk has kept the transaction. So it leaves a mark in the
file, until the first save after one that was confirmed. Whoever finds the mark of another process knows that numbers
may have been told that the file does not have.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import astuple, dataclass

from edge_app.storage.sqlite import Connection


@dataclass(frozen=True, slots=True)
class Numbered:
    """Number that an interval has, or had before it was numbered anew under another installation."""

    installation: str
    line: str
    seq: int


@dataclass(frozen=True, slots=True)
class Mark:
    """Mark of a take-over that may not be confirmed.

    attempt: random id. dropped, running_s: what it has added to these numbers.
    """

    attempt: str
    dropped: int = 0
    running_s: int = 0


def read_mark(disk: Connection) -> Mark | None:
    """Return the mark in the file, None without any. Raises ValueError, TypeError: when it is damaged."""
    value = disk.value("SELECT value FROM about WHERE name = 'taken_over'")
    return None if value is None else Mark(*json.loads(value))


def erase_mark(disk: Connection) -> None:
    disk.rows("DELETE FROM about WHERE name = 'taken_over'")


def copy_tables(
    memory: Connection, disk: Connection, *, dropped_before: int, attempt: str, failed: Mark | None
) -> None:
    """Copy all but the open intervals, which the ledger itself knows, and leave a mark.

    What memory has replaces what an attempt before, which failed and was kept after all, has left of the same
    intervals. dropped_before: number of lost intervals in memory at the begin. attempt: see `Mark`. failed: mark of
    that attempt before, if the disk has it.
    """
    added = failed or Mark("")
    running_s = disk.number("running_s") - added.running_s
    for table, columns in _COPIED.items():
        marks = ", ".join("?" * len(columns.split(",")))
        rows = memory.rows(f"SELECT {columns} FROM {table}")
        disk.run_many(f"INSERT OR {_ON_CONFLICT.get(table, 'REPLACE')} INTO {table} ({columns}) VALUES ({marks})", rows)
    for row in memory.rows("SELECT installation, line, first, last, reason FROM lost"):
        where = "installation = ? AND line = ? AND first = ? AND last <= ? AND reason = ?"
        disk.rows(f"DELETE FROM lost WHERE {where}", *row)
        disk.rows("INSERT INTO lost VALUES (?, ?, ?, ?, ?)", *row)
    for first, *row in memory.rows("SELECT running_s, installation, line, seq, config, payload FROM archive"):
        _remove(disk, *row[:3])
        disk.rows("INSERT INTO archive VALUES (NULL, ?, ?, ?, ?, ?, ?)", *row[:4], running_s + first, row[4])
    for key, *row in memory.rows(
        "SELECT o.key, w.installation, w.line, w.seq, w.config, o.start, o.closed_end, o.payload, o.checksum, o.late"
        " FROM outbox o JOIN waiting w ON w.key = o.key ORDER BY o.key"
    ):
        _remove(disk, *row[:3])
        _queue(disk, key, row)
    adds = Mark(attempt, memory.number("dropped") - dropped_before, memory.number("running_s"))
    for name, value in (("dropped", adds.dropped - added.dropped), ("running_s", adds.running_s - added.running_s)):
        disk.rows("UPDATE about SET value = value + ? WHERE name = ?", value, name)
    disk.rows("INSERT OR REPLACE INTO about VALUES ('taken_over', ?)", json.dumps(astuple(adds)))


def withdraw(disk: Connection, numbers: Sequence[Numbered]) -> None:
    """Remove intervals that a failed transaction has left on disk after all, and that have other numbers now."""
    for number in numbers:
        _remove(disk, number.installation, number.line, number.seq)


_COPIED = {
    "line": "id, seq, totals, start, closed_end",
    "installation": "id, site, device",
    "series": "installation, line, seq, totals",
    "config_text": "prefix, config, payload, sent",
    "retained": "line",
    "command": "id, topic, correlation, reply",
}
_ON_CONFLICT = {"installation": "IGNORE", "command": "IGNORE"}


def _remove(disk: Connection, *number: str | int) -> None:
    where = "installation = ? AND line = ? AND seq = ?"
    for (key,) in disk.rows(f"SELECT key FROM waiting WHERE {where}", *number):
        disk.rows("DELETE FROM outbox WHERE key = ?", key)
        disk.rows("DELETE FROM waiting WHERE key = ?", key)
    disk.rows(f"DELETE FROM archive WHERE {where}", *number)


def _queue(disk: Connection, key: int, row: Sequence[object]) -> None:
    """Put an interval into the outbox under its key, by which the publisher knows it, if that is free."""
    installation, line, seq, config, *content = row
    free = not disk.rows("SELECT 1 FROM outbox WHERE key = ?", key)
    disk.rows(
        "INSERT INTO outbox (key, line, start, closed_end, payload, checksum, late) VALUES (?, ?, ?, ?, ?, ?, ?)",
        *(key if free else None, line, *content),
    )
    disk.rows("INSERT INTO waiting VALUES (last_insert_rowid(), ?, ?, ?, ?)", installation, line, seq, config)
