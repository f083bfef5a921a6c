"""Write the ledger to its file: crossings as they are counted, the state of open intervals, and closed intervals.

A closed interval moves from the journal to the outbox, with its number and the totals of its line, in one transaction:
at any moment a crossing is either in the journal or in a payload.
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

_APPLICATION_ID: Final = 0x65646765  # "edge": no other program's database is taken for a ledger
_VERSION_LIMIT: Final = 1000  # no newer program will reach this schema version: such a number means corruption
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
    # Counting the rows of 60 days would read them all, and their number is needed at each interval.
    "CREATE TRIGGER queued AFTER INSERT ON outbox BEGIN UPDATE about SET value = value + 1 WHERE name = 'queued'; END",
    "CREATE TRIGGER sent AFTER DELETE ON outbox BEGIN UPDATE about SET value = value - 1 WHERE name = 'queued'; END",
)


@dataclass(frozen=True, slots=True)
class LineState:
    """State of a line after its newest closed interval.

    seq: number of that interval. totals: counts of every class ever counted on the line. start, end: of that interval,
    UTC s.
    """

    line: str
    seq: int
    totals: Counts
    start: float
    end: float


@dataclass(frozen=True, slots=True)
class JournalEntry:
    """Crossing with the start of the interval in which it was counted, UTC s."""

    start: float
    crossing: Crossing


@dataclass(frozen=True, slots=True)
class EncodedInterval:
    """Closed interval ready for the outbox: the state of its line after it, and its payload."""

    state: LineState
    payload: str


@dataclass(frozen=True, slots=True)
class SavedState:
    """State from which a ledger continues after a restart.

    last_key: the newest key that the outbox has assigned. dropped: intervals lost since installation. intervals: the
    open ones. journal: the crossings in them.
    """

    installation: str
    last_key: int = 0
    dropped: int = 0
    lines: Sequence[LineState] = ()
    intervals: Sequence[IntervalCounts] = ()
    journal: Sequence[JournalEntry] = ()


class Journal:
    """Writer of the file, for the counting thread."""

    def __init__(self, folder: Path, initial: SavedState, capacity: int) -> None:
        """Open the file of `folder`, or create one.

        initial: state that a new file gets, except its open intervals and their crossings.
        capacity: rows of the outbox.
        Raises DamagedError: for a file that must be replaced. StoreError: when the folder or its disk cannot be used.
        """
        _refuse_damaged(folder)
        self._capacity = capacity
        self._db = Connection(folder, create=True)
        try:
            self._check()
            if not self._db.rows("SELECT 1 FROM sqlite_master"):
                self._create(initial)
            with self._db.transaction(synced=False):  # fails here when the disk is full or read-only
                self._db.rows("UPDATE about SET value = value + 1 WHERE name = 'opened'")
        except StoreError:
            self.close()
            raise

    def load(self) -> SavedState:
        """Return the state that the last save left. Raises DamagedError: when it is inconsistent."""
        try:
            return self._load()
        except (ValueError, TypeError, LookupError, AttributeError, OverflowError) as error:
            raise DamagedError(f"{self._db.path} is damaged ({error})") from error

    def save(
        self,
        crossings: Sequence[JournalEntry],
        open_intervals: Sequence[IntervalCounts],
        closed_intervals: Sequence[EncodedInterval],
        *,
        lost: int,
        synced: bool,
    ) -> int:
        """Save everything in one transaction and return the number of intervals dropped since installation.

        crossings: the new ones. closed_intervals: in order of their start; the oldest rows of a full outbox are dropped
        for them. lost: intervals that were dropped before they could be saved.
        """
        db = self._db
        with db.transaction(synced=synced):
            db.run_many(
                "INSERT INTO crossing VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                [(entry.start, *astuple(entry.crossing)) for entry in crossings],
            )
            db.run_many(_UPSERT_INTERVAL, [_interval_row(interval) for interval in open_intervals])
            for interval in closed_intervals:
                self._move_to_outbox(interval)
            overflow = max(0, db.number("queued") - self._capacity) if closed_intervals else 0
            if overflow:
                db.rows("DELETE FROM outbox WHERE key IN (SELECT key FROM outbox ORDER BY key LIMIT ?)", overflow)
            if overflow + lost:
                db.rows("UPDATE about SET value = value + ? WHERE name = 'dropped'", overflow + lost)
            return db.number("dropped")

    def replaced(self) -> bool:
        """Return True when the file was removed or replaced, or the outbox has found it damaged."""
        return self._db.replaced() or self._db.path.with_name(SUSPECT).exists()

    def close(self) -> None:
        self._db.close()

    def _check(self) -> None:
        db = self._db
        answer = db.value("PRAGMA quick_check(1)")
        if answer != "ok":
            raise DamagedError(f"{db.path} is damaged ({answer})")
        version, application = db.value("PRAGMA user_version"), db.value("PRAGMA application_id")
        if VERSION < version < _VERSION_LIMIT and application == _APPLICATION_ID:
            raise StoreError(
                f"{db.path} was written by a newer version of this program (schema {version}, here {VERSION}): "
                "install that version, or use another state folder"
            )
        if (version, application) != (VERSION, _APPLICATION_ID) and db.rows("SELECT 1 FROM sqlite_master"):
            raise DamagedError(f"{db.path} is not a ledger")

    def _create(self, initial: SavedState) -> None:
        db = self._db
        about = {"installation": initial.installation, "dropped": initial.dropped, "queued": 0, "opened": 0}
        with db.transaction(synced=True):
            for statement in _TABLES:
                db.rows(statement)
            db.run_many("INSERT INTO about VALUES (?, ?)", about.items())
            # Keys continue those of a replaced file: the publisher may still hold one of them.
            db.rows("INSERT INTO sqlite_sequence VALUES ('outbox', ?)", initial.last_key)
            for state in initial.lines:
                self._write_line(state)
            db.rows(f"PRAGMA application_id={_APPLICATION_ID}")
            db.rows(f"PRAGMA user_version={VERSION}")

    def _move_to_outbox(self, interval: EncodedInterval) -> None:
        state = interval.state
        self._write_line(state)
        for table in ("crossing", "interval"):
            self._db.rows(f"DELETE FROM {table} WHERE line = ? AND start <= ?", state.line, state.start)
        row = (state.line, state.start, state.end, interval.payload, zlib.crc32(interval.payload.encode()))
        self._db.rows("INSERT INTO outbox (line, start, closed_end, payload, checksum) VALUES (?, ?, ?, ?, ?)", *row)

    def _write_line(self, state: LineState) -> None:
        row = (state.line, state.seq, json.dumps(state.totals), state.start, state.end)
        self._db.rows("INSERT OR REPLACE INTO line VALUES (?, ?, ?, ?, ?)", *row)

    def _load(self) -> SavedState:
        db = self._db
        journal = [JournalEntry(start, Crossing(*rest)) for start, *rest in db.rows("SELECT * FROM crossing")]
        return SavedState(
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
    # The counter `save` makes each commit change a page: one that changes nothing would not sync earlier crossings.
    " quality = excluded.quality, save = save + 1"
)


def _refuse_damaged(folder: Path) -> None:
    path, wal = folder / FILE, folder / f"{FILE}-wal"
    if (folder / SUSPECT).exists():
        raise DamagedError(f"{path} was found damaged while it was in use")
    # SQLite would start a new database and silently delete the log of the old one.
    if wal.is_file() and wal.stat().st_size and not (path.is_file() and path.stat().st_size):
        raise DamagedError(f"{path} is empty although it was in use")


def _line(line: str, seq: int, totals: str, start: float, end: float) -> LineState:
    if not (math.isfinite(start) and math.isfinite(end) and seq > 0):
        raise ValueError(f"line {line!r}")
    return LineState(line, seq, add_counts({}, json.loads(totals)), start, end)


def _interval_row(i: IntervalCounts) -> tuple[Any, ...]:
    return i.line, i.start, i.interval_s, i.observed_s, i.frames, i.dropped, json.dumps(i.quality)


def _interval(
    journal: Sequence[JournalEntry],
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
    crossings = [entry.crossing for entry in journal if entry.crossing.line == line and entry.start == start]
    counts = zero_counts({crossing.label for crossing in crossings})
    for crossing in crossings:
        counts[crossing.label][crossing.direction] += 1
    return IntervalCounts(line, start, interval_s, counts, observed_s, frames, dropped, tuple(json.loads(quality)))
