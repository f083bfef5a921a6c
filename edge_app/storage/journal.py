"""Write the ledger to its file: crossings as they are counted, the state of open intervals, and closed intervals.

A closed interval moves from the journal to the outbox, with its number and the totals of its line, in one transaction:
at any moment a crossing is either in the journal or in a payload.
"""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Collection, Sequence
from dataclasses import astuple, replace
from pathlib import Path
from typing import Any, Final

from edge_app.errors import StoreError
from edge_app.records import Crossing, IntervalCounts
from edge_app.storage.archive import KEPT_IN_MEMORY, add_lost, expire, move_to_archive
from edge_app.storage.counts import add_counts, add_sums, zero_counts
from edge_app.storage.folder_lock import ForeignFolderError
from edge_app.storage.saved_state import EncodedInterval, Identity, JournalEntry, LineState, LostInterval, SavedState
from edge_app.storage.schema import ADDED, APPLICATION_ID, PRUNE, TABLES, VERSION
from edge_app.storage.sqlite import FILE, SUSPECT, Connection, DamagedError
from edge_app.storage.takeover import Kept, Mark, Numbered, copy_tables, erase_mark, read_mark, withdraw, write_kept

_VERSION_LIMIT: Final = 1000  # no newer program will reach this schema version: such a number means corruption


class Journal:
    """Writer of the file, for the counting thread."""

    def __init__(self, folder: Path, initial: SavedState, capacity: int, *, in_memory: bool = False) -> None:
        """Open the file of `folder`, or create one.

        initial: state that a new file gets, except its open intervals and their crossings.
        capacity: rows of the outbox. in_memory: use tables in memory, which nothing outlives.
        Raises DamagedError: for a file that must be replaced. StoreError: when the folder or its disk cannot be used.
        ForeignFolderError: for the file of a newer release.
        """
        if not in_memory:
            _refuse_damaged(folder)
        self._capacity, self._in_memory = capacity, in_memory
        self._marked = not in_memory
        self._db = Connection(folder, create=True, in_memory=in_memory)
        try:
            self._check()
            if not self._db.rows("SELECT 1 FROM sqlite_master"):
                self._create(initial)
            with self._db.transaction(synced=False):  # fails here when the disk is full or read-only
                self._db.rows("UPDATE about SET value = value + 1 WHERE name = 'opened'")
                for statement in (*ADDED, *PRUNE):
                    self._db.rows(statement)
        except StoreError:
            self.close()
            raise

    @property
    def connection(self) -> Connection:
        """Connection to the tables, for a `Standby`."""
        return self._db

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
        lost: Sequence[LostInterval] = (),
        running_s: int = 0,
        identity: Identity | None = None,
        anew: Sequence[LineState] | None = None,
        kept: Kept | None = None,
        synced: bool,
    ) -> int:
        """Save everything in one transaction and return the number of intervals dropped so far.

        crossings: the new ones; of an interval that is not open they are in its payload. closed_intervals: in order of
        their start; for them the oldest rows of a full outbox leave the queue, and are kept in the archive. lost:
        intervals that were dropped before they could be saved.
        running_s: whole seconds that the program has run since the save before. identity: of a new installation, under
        which the next intervals are numbered; rows of lines keep their place for release 1.0. anew: present lines, when
        the file is an older copy: they and the open intervals replace what it has. kept: by the file used meanwhile.
        """
        db = self._db
        with db.transaction(synced=synced):
            if identity:  # first, since closed intervals may already be of the new installation
                self._write_identity(identity)
            if kept:
                write_kept(db, kept)
            if anew is not None:
                self._forget_open(anew)
            for interval in closed_intervals:
                self._move_to_outbox(interval)
            self._forget_closed({interval.state.line for interval in closed_intervals}, open_intervals)
            self._write_open(crossings, open_intervals)
            for number in lost:
                add_lost(db, number.installation, number.line, number.seq, number.seq, "dropped")
            overflow = max(0, db.number("queued") - self._capacity) if closed_intervals else 0
            for (key,) in db.rows("SELECT key FROM outbox ORDER BY key LIMIT ?", overflow):
                move_to_archive(db, key)
            if overflow and self._in_memory:
                expire(db, KEPT_IN_MEMORY)
            if overflow + len(lost):
                db.rows("UPDATE about SET value = value + ? WHERE name = 'dropped'", overflow + len(lost))
            if running_s:
                db.rows("UPDATE about SET value = value + ? WHERE name = 'running_s'", running_s)
            if identity:
                # What an earlier release retained for a line is known by the line alone.
                db.rows("INSERT OR IGNORE INTO retained SELECT id FROM line")
                self._note_numbers()
            if self._marked:
                erase_mark(db)
            dropped = db.number("dropped")
        self._marked = False
        return dropped

    def take_over(
        self,
        memory: Connection,
        crossings: Sequence[JournalEntry],
        open_intervals: Sequence[IntervalCounts],
        *,
        former: Sequence[EncodedInterval],
        withdrawn: Sequence[Numbered],
        identity: Identity,
        dropped_before: int,
        attempt: str,
        failed: Mark | None,
    ) -> int:
        """Copy everything from the tables in memory in one transaction; return the number of intervals lost in all.

        crossings: those of the open intervals, which replace what is open here. former: intervals of the run before,
        which close now under its numbers. withdrawn: numbers that failed transactions may have left here. identity: the
        one that goes on. dropped_before, attempt, failed: see `copy_tables`.
        """
        db = self._db
        with db.transaction(synced=True):
            self._forget_open(())
            withdraw(db, withdrawn)
            for interval in former:
                self._move_to_outbox(interval)
            copy_tables(memory, db, dropped_before=dropped_before, attempt=attempt, failed=failed)
            self._write_open(crossings, open_intervals)
            self._write_identity(identity)
            self._note_numbers()
            return db.number("dropped")

    def taken_away(self) -> bool:
        """Return True when the open file has another name, or none. Raises StoreError: when the disk does not tell."""
        return self._db.replaced()

    def replaced(self) -> bool:
        """Return True when the file was removed or replaced, or the outbox has found it damaged.

        Raises StoreError: when the disk does not tell.
        """
        if self._in_memory:
            return False
        try:
            return self._db.replaced() or self._db.path.with_name(SUSPECT).exists()
        except StoreError:
            raise
        except OSError as error:
            raise _unreadable(self._db.path, error) from error

    def close(self) -> None:
        self._db.close()

    def _check(self) -> None:
        db = self._db
        answer = db.value("PRAGMA quick_check(1)")
        if answer != "ok":
            raise DamagedError(f"{db.path} is damaged ({answer})")
        version, application = db.value("PRAGMA user_version"), db.value("PRAGMA application_id")
        if VERSION < version < _VERSION_LIMIT and application == APPLICATION_ID:
            raise ForeignFolderError(
                f"{db.path} was written by a newer version of this program (schema {version}, here {VERSION}): "
                "install that version, or use another state folder"
            )
        if (version, application) != (VERSION, APPLICATION_ID) and db.rows("SELECT 1 FROM sqlite_master"):
            raise DamagedError(f"{db.path} is not a ledger")

    def _create(self, initial: SavedState) -> None:
        db = self._db
        about = {"dropped": initial.dropped, "queued": 0, "opened": 0}
        with db.transaction(synced=True):
            for statement in (*TABLES, *ADDED):
                db.rows(statement)
            db.run_many("INSERT INTO about VALUES (?, ?)", about.items())
            # Keys continue those of a replaced file: the publisher may still hold one of them.
            db.rows("INSERT INTO sqlite_sequence VALUES ('outbox', ?)", initial.last_key)
            self._write_identity(initial.identity)
            for state in initial.lines:
                if state.seq:  # 1.0 takes a line without an interval for damage
                    self._write_line(state, initial.identity.installation)
                    # What waited in the file that this one replaces, or was kept there, cannot be sent again.
                    add_lost(db, initial.identity.installation, state.line, 1, state.seq, "damaged")
            self._note_numbers()
            db.rows(f"PRAGMA application_id={APPLICATION_ID}")
            db.rows(f"PRAGMA user_version={VERSION}")

    def _move_to_outbox(self, interval: EncodedInterval) -> None:
        db, state = self._db, interval.state
        self._write_line(state, interval.installation)
        self._note_numbers()
        row = (state.line, state.start, state.end, interval.payload, zlib.crc32(interval.payload.encode()))
        db.rows("INSERT INTO outbox (line, start, closed_end, payload, checksum) VALUES (?, ?, ?, ?, ?)", *row)
        key = db.value("SELECT last_insert_rowid()")  # at once: the next statement may insert a row too
        db.rows(
            "INSERT OR IGNORE INTO installation (id, site, device) SELECT ?, coalesce(?, (SELECT value FROM about WHERE"
            " name = 'site')), coalesce(?, (SELECT value FROM about WHERE name = 'device'))",
            interval.installation,
            *(interval.names or (None, None)),
        )
        db.rows(
            "INSERT INTO waiting VALUES (?, ?, ?, ?, ?)",
            *(key, interval.installation, state.line, state.seq, interval.config),
        )

    def _write_open(self, crossings: Sequence[JournalEntry], open_intervals: Sequence[IntervalCounts]) -> None:
        db, starts = self._db, {(interval.line, interval.start) for interval in open_intervals}
        rows = [
            (entry.start, *astuple(entry.crossing)[: len(_CROSSING)])
            for entry in crossings
            if (entry.crossing.line, entry.start) in starts
        ]
        db.run_many(f"INSERT INTO crossing VALUES (?{', ?' * len(_CROSSING)})", rows)
        db.run_many(_UPSERT_INTERVAL, map(_interval_row, open_intervals))
        db.run_many("INSERT OR IGNORE INTO open_interval VALUES (?, ?, ?, ?, ?)", map(_config_row, open_intervals))
        measured = [
            (i.line, i.start, json.dumps(i.measures, separators=(",", ":"))) for i in open_intervals if i.measures
        ]
        db.run_many(_UPSERT_MEASURE, measured)

    def _forget_closed(self, lines: Collection[str], open_intervals: Sequence[IntervalCounts]) -> None:
        """Remove what these lines have open in the file and not here: after a step back it may lie in the future."""
        for line in lines:
            starts = [interval.start for interval in open_intervals if interval.line == line]
            for table in _OPEN:
                marks = ", ".join("?" * len(starts))
                self._db.rows(f"DELETE FROM {table} WHERE line = ? AND start NOT IN ({marks})", line, *starts)

    def _forget_open(self, lines: Sequence[LineState]) -> None:
        """Remove the open intervals, and write the present numbers of these lines."""
        installation = str(self._db.value("SELECT value FROM about WHERE name = 'installation'"))
        for table in _OPEN:
            self._db.rows(f"DELETE FROM {table}")
        for state in lines:
            if state.seq:
                self._write_line(state, installation)
        self._note_numbers()

    def _write_line(self, state: LineState, installation: str) -> None:
        totals = json.dumps(state.totals)
        row = (state.line, state.seq, totals, state.start, state.end)
        self._db.rows("INSERT OR REPLACE INTO line VALUES (?, ?, ?, ?, ?)", *row)
        self._db.rows("INSERT OR REPLACE INTO series VALUES (?, ?, ?, ?)", installation, state.line, state.seq, totals)

    def _write_identity(self, identity: Identity) -> None:
        about = {"installation": identity.installation, "site": identity.site, "device": identity.device}
        self._db.run_many("INSERT OR REPLACE INTO about VALUES (?, ?)", about.items())
        self._db.rows(
            "INSERT OR IGNORE INTO installation (id, site, device) VALUES (?, ?, ?)",
            *(identity.installation, identity.site, identity.device),
        )

    def _note_numbers(self) -> None:
        """Note the numbers in `line`, so that a spell of release 1.0, which goes on with them, is recognised."""
        numbers = json.dumps(dict(self._db.rows("SELECT id, seq FROM line")), sort_keys=True)
        self._db.rows("INSERT OR REPLACE INTO about VALUES ('line_seqs', ?)", numbers)

    def _load(self) -> SavedState:
        db = self._db
        journal = [JournalEntry(start, Crossing(*rest)) for start, *rest in db.rows("SELECT * FROM crossing")]
        about = dict(db.rows("SELECT name, value FROM about"))
        lines = [_line(*row) for row in db.rows("SELECT * FROM line")]
        numbers = {line.line: line.seq for line in lines}
        identity = Identity(str(about["installation"]), str(about.get("site", "")), str(about.get("device", "")))
        series = {line: (seq, totals) for line, seq, totals in db.rows(_SERIES, identity.installation)}
        configs = {(line, start): rest for line, start, *rest in db.rows("SELECT * FROM open_interval")}
        measures = {(line, start): json.loads(sums) for line, start, sums in db.rows("SELECT * FROM measure")}
        return SavedState(
            identity=identity,
            last_key=int(db.value("SELECT seq FROM sqlite_sequence WHERE name = 'outbox'")),
            dropped=db.number("dropped"),
            lines=[_numbered(line, *series.get(line.line, (0, "{}"))) for line in lines],
            intervals=[
                replace(
                    _interval(journal, configs.get((line, start), ("", "", "[]")), line, start, *rest),
                    measures=add_sums({}, measures.get((line, start), {})),
                )
                for line, start, *rest in db.rows("SELECT * FROM interval ORDER BY start")
            ],
            journal=journal,
            foreign=json.loads(str(about.get("line_seqs", "null"))) != numbers,
            taken_over=read_mark(db),
        )


_CROSSING: Final = ("at", "frame", "track_id", "label", "line", "direction", "score")
"""Fields of a crossing that the journal keeps; what else is told of it is in the measures of its interval."""
_OPEN: Final = ("crossing", "interval", "open_interval", "measure")
"""Tables of open intervals, each with line and start."""
_SERIES: Final = "SELECT line, seq, totals FROM series WHERE installation = ?"
_UPSERT_MEASURE: Final = (
    "INSERT INTO measure VALUES (?, ?, ?) ON CONFLICT (line, start) DO UPDATE SET sums = excluded.sums"
    " WHERE sums != excluded.sums"  # no page is written for what has not changed
)
_UPSERT_INTERVAL: Final = (
    "INSERT INTO interval VALUES (?, ?, ?, ?, ?, ?, ?, 0) ON CONFLICT (line, start) DO UPDATE SET"
    " observed_s = excluded.observed_s, frames = excluded.frames, dropped = excluded.dropped,"
    # The counter `save` makes each commit change a page: one that changes nothing would not sync earlier crossings.
    " quality = excluded.quality, save = save + 1"
)


def _refuse_damaged(folder: Path) -> None:
    path, wal = folder / FILE, folder / f"{FILE}-wal"
    try:
        if (folder / SUSPECT).exists():
            raise DamagedError(f"{path} was found damaged while it was in use")
        # SQLite would start a new database and silently delete the log of the old one.
        if wal.is_file() and wal.stat().st_size and not (path.is_file() and path.stat().st_size):
            raise DamagedError(f"{path} is empty although it was in use")
    except StoreError:
        raise
    except OSError as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: OSError) -> StoreError:
    return StoreError(f"{path} cannot be used ({error.strerror or error}): check its disk")


def _line(line: str, seq: int, totals: str, start: float, end: float) -> LineState:
    if not (math.isfinite(start) and math.isfinite(end) and seq > 0):
        raise ValueError(f"line {line!r}")
    return LineState(line, seq, add_counts({}, json.loads(totals)), start, end)


def _numbered(line: LineState, seq: int, totals: str) -> LineState:
    """Return the state of a line with its numbers under the present installation."""
    return LineState(line.line, int(seq), add_counts({}, json.loads(totals)), line.start, line.end)


def _config_row(i: IntervalCounts) -> tuple[Any, ...]:
    return i.line, i.start, i.config, i.model, json.dumps(list(i.counts))


def _interval_row(i: IntervalCounts) -> tuple[Any, ...]:
    return i.line, i.start, i.interval_s, i.observed_s, i.frames, i.dropped, json.dumps(i.quality)


def _interval(
    journal: Sequence[JournalEntry],
    counted_under: Sequence[str],
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
    config, model, classes = counted_under
    crossings = [entry.crossing for entry in journal if entry.crossing.line == line and entry.start == start]
    counts = zero_counts(dict.fromkeys([*json.loads(classes), *(crossing.label for crossing in crossings)]))
    for crossing in crossings:
        counts[crossing.label][crossing.direction] += 1
    flags = tuple(json.loads(quality))
    return IntervalCounts(
        line, start, interval_s, counts, observed_s, frames, dropped, flags, config=config, model=model
    )
