"""The tables of the ledger's file, and the rule by which they change.

A device is updated, and sometimes set back to the release before, with a queue of intervals that nobody has received
yet. Both releases must read the file, and neither may lose a row of it. Therefore:

- Changes are additive. No table of an earlier release gets, loses or reorders a column: release 1.0 reads `line`,
  `interval` and `crossing` by position and publishes every row of `outbox`. It ignores rows of `about` that it does
  not know.
- What an earlier release would misread goes into a table of its own, which is created where it is missing. Rows that
  a spell of the earlier release has left behind are found by their keys and removed (`PRUNE`).
- `user_version` is raised only with a migration there and back: every release refuses a higher number.
"""

from __future__ import annotations

from typing import Final

VERSION: Final = 1
APPLICATION_ID: Final = 0x65646765  # "edge": no other program's database is taken for a ledger

TABLES: Final = (
    "CREATE TABLE about (name TEXT PRIMARY KEY, value NOT NULL) WITHOUT ROWID",
    "CREATE TABLE line (id TEXT PRIMARY KEY, seq INTEGER NOT NULL, totals TEXT NOT NULL, start REAL NOT NULL,"
    " closed_end REAL NOT NULL) WITHOUT ROWID",
    "CREATE TABLE interval (line TEXT, start REAL, interval_s REAL NOT NULL, observed_s REAL NOT NULL,"
    " frames INTEGER NOT NULL, dropped INTEGER NOT NULL, quality TEXT NOT NULL, save INTEGER NOT NULL,"
    " PRIMARY KEY (line, start)) WITHOUT ROWID",
    "CREATE TABLE crossing (start REAL NOT NULL, at REAL NOT NULL, frame INTEGER NOT NULL, track INTEGER NOT NULL,"
    " label TEXT NOT NULL, line TEXT NOT NULL, direction TEXT NOT NULL, score REAL NOT NULL)",
    "CREATE TABLE outbox (key INTEGER PRIMARY KEY AUTOINCREMENT, line TEXT NOT NULL, start REAL NOT NULL,"
    " closed_end REAL NOT NULL, payload TEXT NOT NULL, checksum INTEGER NOT NULL, late INTEGER)",
    # Counting the rows of 60 days would read them all, and their number is needed at each interval.
    "CREATE TRIGGER queued AFTER INSERT ON outbox BEGIN UPDATE about SET value = value + 1 WHERE name = 'queued'; END",
    "CREATE TRIGGER sent AFTER DELETE ON outbox BEGIN UPDATE about SET value = value - 1 WHERE name = 'queued'; END",
)
"""Tables of contract 1.0."""

ADDED: Final = (
    # Under which configuration an open interval counts: one process has one, but a kill can leave those of two.
    "CREATE TABLE IF NOT EXISTS open_interval (line TEXT, start REAL, config TEXT NOT NULL, model TEXT NOT NULL,"
    " classes TEXT NOT NULL, PRIMARY KEY (line, start)) WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS installation (number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE,"
    " site TEXT NOT NULL, device TEXT NOT NULL)",
    "CREATE TABLE IF NOT EXISTS series (installation TEXT, line TEXT, seq INTEGER NOT NULL, totals TEXT NOT NULL,"
    " PRIMARY KEY (installation, line)) WITHOUT ROWID",
    # Beside each row of the outbox of 1.1: rows of 1.0 belong to no installation.
    "CREATE TABLE IF NOT EXISTS waiting (key INTEGER PRIMARY KEY, installation TEXT NOT NULL, line TEXT NOT NULL,"
    " seq INTEGER NOT NULL, config TEXT NOT NULL, UNIQUE (installation, line, seq))",
    "CREATE TABLE IF NOT EXISTS archive (number INTEGER PRIMARY KEY AUTOINCREMENT, installation TEXT NOT NULL,"
    " line TEXT NOT NULL, seq INTEGER NOT NULL, config TEXT NOT NULL, running_s INTEGER NOT NULL,"
    " payload BLOB NOT NULL, UNIQUE (installation, line, seq))",
    "CREATE INDEX IF NOT EXISTS archive_config ON archive (config)",
    "CREATE TRIGGER IF NOT EXISTS archived AFTER INSERT ON archive BEGIN UPDATE about SET value = value +"
    " length(new.payload) + 200 WHERE name = 'archived_bytes'; END",
    "CREATE TRIGGER IF NOT EXISTS expired AFTER DELETE ON archive BEGIN UPDATE about SET value = value -"
    " length(old.payload) - 200 WHERE name = 'archived_bytes'; END",
    "CREATE TABLE IF NOT EXISTS lost (installation TEXT NOT NULL, line TEXT NOT NULL, first INTEGER NOT NULL,"
    " last INTEGER NOT NULL, reason TEXT NOT NULL)",
    "CREATE TABLE IF NOT EXISTS config_text (prefix TEXT, config TEXT, payload TEXT NOT NULL,"
    " sent INTEGER NOT NULL, PRIMARY KEY (prefix, config)) WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS retained (line TEXT PRIMARY KEY) WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS command (number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE,"
    " topic TEXT NOT NULL, correlation BLOB NOT NULL, reply TEXT)",
    # What was measured in an open interval beside the count, JSON: contract 1.2.
    "CREATE TABLE IF NOT EXISTS measure (line TEXT, start REAL, sums TEXT NOT NULL, PRIMARY KEY (line, start))"
    " WITHOUT ROWID",
    "INSERT OR IGNORE INTO about VALUES ('running_s', 0), ('archived_bytes', 0)",
)
"""Tables that contracts 1.1 and 1.2 add; 200 bytes are what a row of the archive takes beside its payload and with its
indexes."""

PRUNE: Final = (
    "DELETE FROM waiting WHERE key NOT IN (SELECT key FROM outbox)",
    *(
        f"DELETE FROM {table} WHERE NOT EXISTS"
        f" (SELECT 1 FROM interval i WHERE i.line = {table}.line AND i.start = {table}.start)"
        for table in ("open_interval", "measure")
    ),
)
