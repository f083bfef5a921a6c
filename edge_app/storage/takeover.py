"""Copy what happened while the disk failed from the tables in memory to the file, within one transaction of the file.

It may be repeated: after an error nobody knows whether the disk has kept the transaction.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edge_app.storage.sqlite import Connection


@dataclass(frozen=True, slots=True)
class Numbered:
    """Number that an interval has, or had before it was numbered anew under another installation."""

    installation: str
    line: str
    seq: int


def copy_tables(memory: Connection, disk: Connection, *, dropped_before: int) -> None:
    """Copy all but the open intervals, which the ledger itself knows.

    dropped_before: number of lost intervals in memory at the begin.
    """
    running_s = disk.number("running_s")
    for table, columns in _COPIED.items():
        marks = ", ".join("?" * len(columns.split(",")))
        rows = memory.rows(f"SELECT {columns} FROM {table}")
        disk.run_many(f"INSERT OR {_ON_CONFLICT.get(table, 'REPLACE')} INTO {table} ({columns}) VALUES ({marks})", rows)
    for first, *row in memory.rows("SELECT running_s, installation, line, seq, config, payload FROM archive"):
        if not _is_known(disk, *row[:3]):
            disk.rows("INSERT INTO archive VALUES (NULL, ?, ?, ?, ?, ?, ?)", *row[:4], running_s + first, row[4])
    for key, *row in memory.rows(
        "SELECT o.key, w.installation, w.line, w.seq, w.config, o.start, o.closed_end, o.payload, o.checksum, o.late"
        " FROM outbox o JOIN waiting w ON w.key = o.key ORDER BY o.key"
    ):
        if not _is_known(disk, *row[:3]):
            _queue(disk, key, row)
    for name, value in (
        ("dropped", memory.number("dropped") - dropped_before),
        ("running_s", memory.number("running_s")),
    ):
        disk.rows("UPDATE about SET value = value + ? WHERE name = ?", value, name)


def withdraw(disk: Connection, numbers: Sequence[Numbered]) -> None:
    """Remove intervals that a failed transaction has left on disk after all, and that have other numbers now."""
    for number in numbers:
        found = disk.rows(
            "SELECT key FROM waiting WHERE installation = ? AND line = ? AND seq = ?",
            *(number.installation, number.line, number.seq),
        )
        for (key,) in found:
            disk.rows("DELETE FROM outbox WHERE key = ?", key)
            disk.rows("DELETE FROM waiting WHERE key = ?", key)


_COPIED = {
    "line": "id, seq, totals, start, closed_end",
    "installation": "id, site, device",
    "series": "installation, line, seq, totals",
    "lost": "installation, line, first, last, reason",
    "config_text": "prefix, config, payload, sent",
    "retained": "line",
    "command": "id, topic, correlation, reply",
}
_ON_CONFLICT = {"installation": "IGNORE", "command": "IGNORE"}


def _is_known(disk: Connection, installation: str, line: str, seq: int) -> bool:
    return any(
        disk.rows(f"SELECT 1 FROM {table} WHERE installation = ? AND line = ? AND seq = ?", installation, line, seq)
        for table in ("waiting", "archive")
    )


def _queue(disk: Connection, key: int, row: Sequence[object]) -> None:
    """Put an interval into the outbox under its key, by which the publisher knows it, if that is free."""
    installation, line, seq, config, *content = row
    free = not disk.rows("SELECT 1 FROM outbox WHERE key = ?", key)
    disk.rows(
        "INSERT INTO outbox (key, line, start, closed_end, payload, checksum, late) VALUES (?, ?, ?, ?, ?, ?, ?)",
        *(key if free else None, line, *content),
    )
    disk.rows("INSERT INTO waiting VALUES (last_insert_rowid(), ?, ?, ?, ?)", installation, line, seq, config)
