"""What the ledger writes: crossings as they are counted, the progress of open intervals, and closed intervals.

A closed interval leaves the journal and enters the outbox, with its number and the totals of its line, in one
transaction: at any moment a crossing is in the journal or in a payload, never in both or neither.
"""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any, Final

from edge_app.errors import StoreError
from edge_app.records import Counts, Crossing, IntervalCounts
from edge_app.storage.intervals import add_counts, zero_counts
from edge_app.storage.sqlite import FILE, SUSPECT, VERSION, Connection, DamagedError

_APPLICATION: Final = 0x65646765  # "edge": nobody else's database is taken for ours
_ABSURD: Final = 1000  # a schema that no newer program will have: rot, not progress
_TABLES: Final = (
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
    # To count 60 days of rows is to read them all, and the length is asked for at each interval.
    "CREATE TRIGGER queued AFTER INSERT ON outbox BEGIN UPDATE about SET value = value + 1 WHERE name = 'queued'; END",
    "CREATE TRIGGER sent AFTER DELETE ON outbox BEGIN UPDATE about SET value = value - 1 WHERE name = 'queued'; END",
)


@dataclass(frozen=True, slots=True)
class LineState:
    """A line as of its newest closed interval start..end. totals: every class ever counted on it."""

    line: str
    seq: int
    totals: Counts
    start: float
    end: float


@dataclass(frozen=True, slots=True)
class Journaled:
    """A crossing and the start of the interval it went into."""

    start: float
    crossing: Crossing


@dataclass(frozen=True, slots=True)
class Closing:
    """A closed interval on its way to the outbox: its line after it, and its payload."""

    state: LineState
    payload: str


@dataclass(frozen=True, slots=True)
class Saved:
    """All that a ledger goes on from. last_key: the newest key that the outbox has given. intervals: the open ones."""

    installation: str
    last_key: int = 0
    dropped: int = 0
    lines: Sequence[LineState] = ()
    intervals: Sequence[IntervalCounts] = ()
    journal: Sequence[Journaled] = ()


class Journal:
    """The counting thread's side of the file."""

    def __init__(self, folder: Path, fresh: Saved, capacity: int) -> None:
        """Open the file of `folder`, or begin one with `fresh` except for its open intervals and their crossings.

        capacity: rows of the outbox. Raises DamagedError for a file that must be set aside, StoreError when the folder
        or its disk cannot be used.
        """
        _refuse_remains(folder)
        self._capacity = capacity
        self._db = Connection(folder, create=True)
        try:
            self._check()
            if not self._db.rows("SELECT 1 FROM sqlite_master"):
                self._begin(fresh)
            with self._db.transaction(synced=False):  # a disk that is full or read-only shows itself here
                self._db.rows("UPDATE about SET value = value + 1 WHERE name = 'opened'")
        except StoreError:
            self.close()
            raise

    def load(self) -> Saved:
        """What the last save left. Raises DamagedError when it makes no sense."""
        try:
            return self._load()
        except (ValueError, TypeError, LookupError, AttributeError, OverflowError) as error:
            raise DamagedError(f"{self._db.path} is damaged ({error})") from error

    def save(
        self,
        crossings: Sequence[Journaled],
        progress: Sequence[IntervalCounts],
        closing: Sequence[Closing],
        *,
        lost: int,
        synced: bool,
    ) -> int:
        """All in one transaction: new crossings, the open intervals, those that closed, in order of their start.

        lost: intervals that were dropped before they got here. Returns how many were dropped since installation.
        """
        db = self._db
        with db.transaction(synced=synced):
            db.run_many(
                "INSERT INTO crossing VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                [(j.start, *astuple(j.crossing)) for j in crossings],
            )
            db.run_many(_UPSERT_INTERVAL, [_interval_row(interval) for interval in progress])
            for closed in closing:
                self._close(closed)
            overflow = max(0, db.number("queued") - self._capacity) if closing else 0
            if overflow:
                db.rows("DELETE FROM outbox WHERE key IN (SELECT key FROM outbox ORDER BY key LIMIT ?)", overflow)
            if overflow + lost:
                db.rows("UPDATE about SET value = value + ? WHERE name = 'dropped'", overflow + lost)
            return db.number("dropped")

    def replaced(self) -> bool:
        """Whether the file was taken away, or is suspected by the outbox."""
        return self._db.replaced() or self._db.path.with_name(SUSPECT).exists()

    def close(self) -> None:
        self._db.close()

    def _check(self) -> None:
        db = self._db
        finding = db.value("PRAGMA quick_check(1)")
        if finding != "ok":
            raise DamagedError(f"{db.path} is damaged ({finding})")
        version, application = db.value("PRAGMA user_version"), db.value("PRAGMA application_id")
        if VERSION < version < _ABSURD and application == _APPLICATION:
            raise StoreError(
                f"{db.path} was written by a newer version of this program (schema {version}, here {VERSION}): "
                "install that version, or use another state folder"
            )
        if (version, application) != (VERSION, _APPLICATION) and db.rows("SELECT 1 FROM sqlite_master"):
            raise DamagedError(f"{db.path} is not a ledger")

    def _begin(self, fresh: Saved) -> None:
        db = self._db
        about = {"installation": fresh.installation, "dropped": fresh.dropped, "queued": 0, "opened": 0}
        with db.transaction(synced=True):
            for statement in _TABLES:
                db.rows(statement)
            db.run_many("INSERT INTO about VALUES (?, ?)", about.items())
            # Keys go on from those of a file that was set aside: the publisher may still hold one.
            db.rows("INSERT INTO sqlite_sequence VALUES ('outbox', ?)", fresh.last_key)
            for state in fresh.lines:
                self._write_line(state)
            db.rows(f"PRAGMA application_id={_APPLICATION}")
            db.rows(f"PRAGMA user_version={VERSION}")

    def _close(self, closed: Closing) -> None:
        state = closed.state
        self._write_line(state)
        for table in ("crossing", "interval"):
            self._db.rows(f"DELETE FROM {table} WHERE line = ? AND start <= ?", state.line, state.start)
        row = (state.line, state.start, state.end, closed.payload, zlib.crc32(closed.payload.encode()))
        self._db.rows("INSERT INTO outbox (line, start, closed_end, payload, checksum) VALUES (?, ?, ?, ?, ?)", *row)

    def _write_line(self, state: LineState) -> None:
        row = (state.line, state.seq, json.dumps(state.totals), state.start, state.end)
        self._db.rows("INSERT OR REPLACE INTO line VALUES (?, ?, ?, ?, ?)", *row)

    def _load(self) -> Saved:
        db = self._db
        journal = [Journaled(start, Crossing(*rest)) for start, *rest in db.rows("SELECT * FROM crossing")]
        return Saved(
            installation=str(db.rows("SELECT value FROM about WHERE name = 'installation'")[0][0]),
            last_key=int(db.value("SELECT seq FROM sqlite_sequence WHERE name = 'outbox'")),
            dropped=db.number("dropped"),
            lines=[_line(*row) for row in db.rows("SELECT * FROM line")],
            intervals=[_interval(journal, *row) for row in db.rows("SELECT * FROM interval ORDER BY start")],
            journal=journal,
        )


_UPSERT_INTERVAL: Final = (
    "INSERT INTO interval VALUES (?, ?, ?, ?, ?, ?, ?, 0) ON CONFLICT (line, start) DO UPDATE SET"
    " observed_s = excluded.observed_s, frames = excluded.frames, dropped = excluded.dropped,"
    # A synced commit that changes nothing would sync nothing, also not the crossings before it.
    " quality = excluded.quality, save = save + 1"
)


def _refuse_remains(folder: Path) -> None:
    path, wal = folder / FILE, folder / f"{FILE}-wal"
    if (folder / SUSPECT).exists():
        raise DamagedError(f"{path} was found damaged while it was in use")
    # SQLite would begin a new database and delete the log of the old one without a word.
    if wal.is_file() and wal.stat().st_size and not (path.is_file() and path.stat().st_size):
        raise DamagedError(f"{path} is empty although it was in use")


def _line(line: str, seq: int, totals: str, start: float, end: float) -> LineState:
    if not (math.isfinite(start) and math.isfinite(end) and seq > 0):
        raise ValueError(f"line {line!r}")
    return LineState(line, seq, add_counts({}, json.loads(totals)), start, end)


def _interval_row(i: IntervalCounts) -> tuple[Any, ...]:
    return i.line, i.start, i.interval_s, i.observed_s, i.frames, i.dropped, json.dumps(i.quality)


def _interval(
    journal: Sequence[Journaled],
    line: str,
    start: float,
    interval_s: float,
    observed_s: float,
    frames: int,
    dropped: int,
    quality: str,
    _save: int,
) -> IntervalCounts:
    if not (math.isfinite(start) and math.isfinite(observed_s) and interval_s >= 1):
        raise ValueError(f"interval {start} of {line!r}")
    mine = [j.crossing for j in journal if j.crossing.line == line and j.start == start]
    counts = zero_counts({crossing.label for crossing in mine})
    for crossing in mine:
        counts[crossing.label][crossing.direction] += 1
    return IntervalCounts(line, start, interval_s, counts, observed_s, frames, dropped, tuple(json.loads(quality)))
