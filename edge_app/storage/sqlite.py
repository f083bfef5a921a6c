"""The ledger's file, `ledger.sqlite3` in the state folder, and the outbox in it. The only file that knows SQLite.

Two connections use it: `journal.Journal` in the thread that counts, `Outbox` in the thread that publishes. It is made
for an SD card: in WAL mode a commit is an append of one or two pages of 1 KB without fsync, and survives SIGKILL of the
process; a `synced` one adds the fsync that a power cut asks for. What has been offered to the broker must never be
offered with another content, so closing an interval and sealing a message are always synced.

Every error of SQLite leaves this file as StoreError, or as DamagedError when the file cannot be trusted any more.
"""

from __future__ import annotations

import itertools
import logging
import os
import sqlite3
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from edge_app.errors import StoreError
from edge_app.records import Counts, IntervalCounts

FILE: Final = "ledger.sqlite3"
SUSPECT: Final = FILE + ".suspect"
"""Left by the outbox when it finds the file damaged: only the ledger, which can refill a new one, sets it aside."""
VERSION: Final = 1
_WAIT_S: Final = 2.0
_REMEDIES: Final = {
    "full": "make room on its disk",
    "no space": "make room on its disk",
    "readonly": "make it writable",
    "read-only": "make it writable",
    "permission": "make it writable",
    "locked": "end the other program that uses it",
}

log = logging.getLogger(__name__)


class DamagedError(StoreError):
    """The file is no ledger, or no longer a sound one."""


@dataclass(frozen=True, slots=True)
class ClosedInterval:
    """What a payload is made of. seq: number of the interval on its line, from 1, without gaps. totals: all that was
    counted on the line since installation, this interval included, in the classes of `counts`."""

    counts: IntervalCounts
    seq: int
    totals: Counts
    boot_id: str


@dataclass(frozen=True, slots=True)
class Outgoing:
    """An interval to be delivered. payload: JSON without `late`. late: the flag it was sealed with, None before."""

    key: int
    line: str
    start: float
    end: float
    payload: str
    late: bool | None


def set_aside(folder: Path) -> Path | None:
    """Rename the file and what belongs to it, so that a new one can be begun; returns the new name, None if it is gone.

    Raises StoreError when the folder cannot be written.
    """
    path = folder / FILE
    kept = next(p for n in itertools.count(1) if not (p := path.with_name(f"{FILE}.corrupt-{n}")).exists())
    try:
        for suffix in ("-wal", "-shm", ""):
            with suppress(FileNotFoundError):
                path.with_name(path.name + suffix).rename(kept.with_name(kept.name + suffix))
        (folder / SUSPECT).unlink(missing_ok=True)
    except OSError as error:
        raise StoreError(f"The damaged {path} cannot be set aside ({error.strerror}): remove it") from error
    return kept if kept.exists() else None


class Connection:
    """SQLite in WAL mode with its errors explained. It may move from thread to thread, used by one at a time."""

    def __init__(self, folder: Path, *, create: bool) -> None:
        self.path = folder / FILE
        with self._explained():
            if create:
                self.path.touch()
            # Asked before the file is opened: one that is replaced in between is then seen as replaced.
            self._inode = self.path.stat().st_ino
            self._sqlite = sqlite3.connect(
                f"{self.path.resolve().as_uri()}?mode=rw",
                uri=True,
                timeout=_WAIT_S,
                isolation_level=None,
                check_same_thread=False,
            )
        try:
            self.rows("PRAGMA page_size=1024")
            self.rows("PRAGMA journal_mode=WAL")
            self.rows("PRAGMA secure_delete=OFF")  # on by default in some builds: twice the writing
        except StoreError:
            self.close()
            raise

    def rows(self, sql: str, *values: Any) -> list[Any]:
        """All rows that a statement returns."""
        with self._explained():
            return self._sqlite.execute(sql, values).fetchall()

    def value(self, sql: str, *values: Any) -> Any:
        """The first column of the first row; None without rows."""
        rows = self.rows(sql, *values)
        return rows[0][0] if rows else None

    def number(self, name: str) -> int:
        """One of the whole numbers that are kept about the file."""
        value = self.value("SELECT value FROM about WHERE name = ?", name)
        if not isinstance(value, int):
            raise DamagedError(f"{self.path} is damaged (no number {name!r})")
        return value

    def run_many(self, sql: str, values: Iterable[tuple[Any, ...]]) -> None:
        with self._explained():
            self._sqlite.executemany(sql, values)

    @contextmanager
    def transaction(self, *, synced: bool) -> Iterator[None]:
        """All or nothing, for ever once this returns: against SIGKILL, and against a power cut if `synced`."""
        self.rows(f"PRAGMA synchronous={'FULL' if synced else 'NORMAL'}")
        self.rows("BEGIN IMMEDIATE")
        try:
            yield
            self.rows("COMMIT")
        finally:
            if self._sqlite.in_transaction:
                with suppress(sqlite3.Error):
                    self._sqlite.execute("ROLLBACK")

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            if self._is_damage(error):
                raise DamagedError(f"{self.path} is damaged ({reason})") from error
            remedy = next((text for sign, text in _REMEDIES.items() if sign in reason.lower()), "check its disk")
            raise StoreError(f"{self.path} cannot be used ({reason}): {remedy}") from error

    def _is_damage(self, error: Exception) -> bool:
        # Python maps SQLITE_CORRUPT and SQLITE_NOTADB, and nothing else that happens here, to the bare DatabaseError; a
        # message of SQLite that is no text quotes a name from a schema that is none.
        if type(error) in (sqlite3.DatabaseError, UnicodeDecodeError):
            return True
        signs = ["no such table", "no such column", "has no column", "decode", "malformed", "unsupported file format"]
        if os.access(self.path, os.W_OK):
            signs.append("readonly")  # a header that forbids to write, not a disk that does
        return isinstance(error, sqlite3.Error) and any(sign in str(error).lower() for sign in signs)

    def replaced(self) -> bool:
        """Whether another file, or none, has taken the place of the one that is open."""
        try:
            return self.path.stat().st_ino != self._inode
        except OSError:
            return True

    def close(self) -> None:
        with suppress(sqlite3.Error):
            self._sqlite.close()


class Outbox:
    """The closed intervals that the broker has not acknowledged: the publishing thread's side of the file.

    It is made after the Ledger, which creates the file. Each method raises StoreError when the file cannot be used at
    the moment: wait and call again. When the ledger has set a damaged file aside, the next call goes to the new one,
    whose keys go on from those of the old.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._connection: Connection | None = None
        with self._damage_reported():
            self._open()

    def pending(self, after: int = 0, limit: int = 50) -> list[Outgoing]:
        """The oldest `limit` intervals with a key above `after`, in order of key.

        One whose payload has rotted on the disk is not among them: it is dropped, and counted in `dropped`.
        """
        with self._damage_reported():
            rows = self._open().rows(
                "SELECT key, line, start, closed_end, CAST(payload AS BLOB), late, checksum FROM outbox"
                " WHERE key > ? ORDER BY key LIMIT ?",
                after,
                limit,
            )
            sound = [row for row in rows if isinstance(row[4], bytes) and zlib.crc32(row[4]) == row[6]]
            self._drop({row[0] for row in rows} - {row[0] for row in sound})
        return [
            Outgoing(key, line, start, end, payload.decode(), None if late is None else bool(late))
            for key, line, start, end, payload, late, _ in sound
        ]

    def seal(self, key: int, late: bool) -> bool:
        """Fix the flag for ever, before the first offering; returns the one in force, that of the first sealing."""
        with self._damage_reported():
            db = self._open()
            with db.transaction(synced=True):
                db.rows("UPDATE outbox SET late = ? WHERE key = ? AND late IS NULL", late, key)
                sealed = db.value("SELECT late FROM outbox WHERE key = ?", key)
        return late if sealed is None else bool(sealed)

    def delete(self, key: int) -> None:
        """The broker has it. Not synced: after a power cut it may be sent again, with the same content."""
        with self._damage_reported():
            db = self._open()
            with db.transaction(synced=False):
                db.rows("DELETE FROM outbox WHERE key = ?", key)

    def newest_start(self, line: str) -> float | None:
        """Start of the newest closed interval of the line, sent or not; None before the first."""
        start: float | None = self._value("SELECT start FROM line WHERE id = ?", line)
        return start

    def oldest_end(self) -> float | None:
        """End of the interval that waits longest; None when none waits."""
        end: float | None = self._value("SELECT closed_end FROM outbox ORDER BY key LIMIT 1")
        return end

    @property
    def dropped(self) -> int:
        """Intervals that were lost since installation: the outbox was full, or a payload had rotted."""
        with self._damage_reported():
            return self._open().number("dropped")

    def __len__(self) -> int:
        with self._damage_reported():
            return self._open().number("queued")

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection = None

    def _open(self) -> Connection:
        if self._connection is None or self._connection.replaced():
            self.close()
            self._connection = Connection(self._folder, create=False)
        return self._connection

    def _drop(self, keys: set[int]) -> None:
        if keys:
            log.error("%d intervals in %s have rotted and are dropped", len(keys), FILE)
            db = self._open()
            with db.transaction(synced=True):
                db.run_many("DELETE FROM outbox WHERE key = ?", [(key,) for key in keys])
                db.rows("UPDATE about SET value = value + ? WHERE name = 'dropped'", len(keys))

    def _value(self, sql: str, *values: Any) -> Any:
        with self._damage_reported():
            return self._open().value(sql, *values)

    @contextmanager
    def _damage_reported(self) -> Iterator[None]:
        try:
            yield
        except DamagedError:
            if self._connection is None or not self._connection.replaced():
                with suppress(OSError):  # a disk that takes no file has the ledger's attention anyway
                    (self._folder / SUSPECT).touch()
            raise
