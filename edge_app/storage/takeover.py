"""Copy what happened while the disk failed from the tables in memory to the file, within one transaction of the file.

It may be repeated: after an error nobody knows whether the disk has kept the transaction. So it leaves a mark in the
file, until the first save after one that was confirmed. Whoever finds the mark of another process knows that numbers
may have been told that the file does not have.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass
from typing import Any

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
        _insert(disk, table, memory.rows(f"SELECT {columns} FROM {table}"))
    for row in memory.rows("SELECT installation, line, first, last, reason FROM lost"):
        where = "installation = ? AND line = ? AND first = ? AND last <= ? AND reason = ?"
        disk.rows(f"DELETE FROM lost WHERE {where}", *row)
        disk.rows("INSERT INTO lost VALUES (?, ?, ?, ?, ?)", *row)
    for first, *row in memory.rows(_ARCHIVED):
        _archive(disk, row, running_s + first)
    for key, *row in memory.rows(_QUEUED):
        _remove(disk, *row[:3])
        _queue(disk, key, row)
    adds = Mark(attempt, memory.number("dropped") - dropped_before, memory.number("running_s"))
    for name, value in (("dropped", adds.dropped - added.dropped), ("running_s", adds.running_s - added.running_s)):
        disk.rows("UPDATE about SET value = value + ? WHERE name = ?", value, name)
    disk.rows("INSERT OR REPLACE INTO about VALUES ('taken_over', ?)", json.dumps(astuple(adds)))


@dataclass(frozen=True, slots=True)
class Kept:
    """What a file that was taken away keeps: rows of its tables, of the archive and of the queue."""

    tables: Mapping[str, Sequence[Sequence[Any]]]
    archived: Sequence[Sequence[Any]]
    queued: Sequence[Sequence[Any]]
    dropped: int


def read_kept(source: Connection) -> Kept:
    """Read the whole queue, and the newest of the archive, from a file that is open still."""
    return Kept(
        {table: source.rows(f"SELECT {_COPIED[table]} FROM {table}") for table in _KEPT},
        source.rows(f"{_ARCHIVED} ORDER BY number DESC LIMIT ?", _NEWEST)[::-1],
        source.rows(_QUEUED),
        source.number("dropped"),
    )


def write_kept(disk: Connection, kept: Kept) -> None:
    """Add to a file what another one kept after it, within a transaction."""
    for table, rows in kept.tables.items():
        _insert(disk, table, rows)
    running_s = disk.number("running_s")
    for _, *row in kept.archived:
        _archive(disk, row, running_s)
    for key, *row in kept.queued:
        _remove(disk, *row[:3])
        _queue(disk, key, row)
    disk.rows("UPDATE about SET value = max(value, ?) WHERE name = 'dropped'", kept.dropped)


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
_KEPT = ("installation", "series", "config_text", "retained", "command")
_NEWEST = 20_000
"""Rows of the archive that are copied from a file that was taken away, 14 days of one line: counting waits for it."""
_ARCHIVED = "SELECT running_s, installation, line, seq, config, payload FROM archive"
_QUEUED = (
    "SELECT o.key, w.installation, w.line, w.seq, w.config, o.start, o.closed_end, o.payload, o.checksum, o.late"
    " FROM outbox o JOIN waiting w ON w.key = o.key ORDER BY o.key"
)


def _insert(disk: Connection, table: str, rows: Iterable[Sequence[Any]]) -> None:
    columns, conflict = _COPIED[table], _ON_CONFLICT.get(table, "REPLACE")
    marks = ", ".join("?" * len(columns.split(",")))
    disk.run_many(f"INSERT OR {conflict} INTO {table} ({columns}) VALUES ({marks})", map(tuple, rows))


def _archive(disk: Connection, row: Sequence[Any], running_s: int) -> None:
    _remove(disk, *row[:3])
    disk.rows("INSERT INTO archive VALUES (NULL, ?, ?, ?, ?, ?, ?)", *row[:4], running_s, row[4])


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
