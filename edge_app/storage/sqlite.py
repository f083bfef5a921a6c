"""Open the ledger's file, `ledger.sqlite3` in the state folder. Only this file uses SQLite.

Two connections use it: `journal.Journal` in the thread that counts, `outbox.Outbox` in the thread that publishes. It is
made for an SD card: in WAL mode a commit appends one or two pages of 1 KB without fsync, and survives SIGKILL of the
process; a `synced` commit adds the fsync that makes it survive a power cut. An interval that was offered to the broker
must never be offered with other content, so closing an interval and sealing a message are always synced.

While the disk fails, the same tables are in memory (`Standby`): one connection, which both threads use under its lock.

Every error of SQLite, and a lack of memory, is raised as StoreError, or as DamagedError when the file can no longer be
trusted.
"""

from __future__ import annotations

import itertools
import os
import sqlite3
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from edge_app.errors import StoreError

FILE: Final = "ledger.sqlite3"
SUSPECT: Final = FILE + ".suspect"
"""Created by the outbox when it finds the file damaged: the ledger, which can fill a new one, then replaces it."""
_WAIT_S: Final = 2.0
_REMEDIES: Final = {
    "full": "make room on its disk",
    "no space": "make room on its disk",
    "readonly": "make it writable",
    "read-only": "make it writable",
    "permission": "make it writable",
    "locked": "end the other program that uses it",
}


class DamagedError(StoreError):
    """Error of a file that is not a ledger or is corrupted."""


def rename_damaged(folder: Path) -> Path | None:
    """Rename the damaged file and its WAL files, to make room for a new one.

    Returns the new path, or None when the file is gone.
    Raises StoreError: when the folder cannot be written.
    """
    path = folder / FILE
    try:
        renamed = next(p for n in itertools.count(1) if not (p := path.with_name(f"{FILE}.corrupt-{n}")).exists())
        for suffix in ("-wal", "-shm", ""):
            with suppress(FileNotFoundError):
                path.with_name(path.name + suffix).rename(renamed.with_name(renamed.name + suffix))
        (folder / SUSPECT).unlink(missing_ok=True)
        return renamed if renamed.exists() else None
    except OSError as error:
        raise StoreError(f"The damaged {path} cannot be renamed ({error.strerror}): remove it") from error


class Connection:
    """Connection to the file in WAL mode that raises errors with their remedy.

    Any thread may use it, but only one at a time. create: create the file if it is absent. in_memory: use tables in
    memory instead of the file. lock: for two threads that share it; a transaction holds it.
    """

    def __init__(self, folder: Path, *, create: bool, in_memory: bool = False) -> None:
        self.path = folder / FILE
        self.lock = threading.RLock()
        self._file_id: tuple[int, int] | None = None
        with self._translated_errors():
            if in_memory:
                self._sqlite = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
                return
            if create:
                self.path.touch(0o600)  # SQLite gives its log the same mode
            # Read before the file is opened, so that a file replaced in between counts as replaced.
            self._file_id = _file_id(self.path)
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
            self.rows("PRAGMA secure_delete=OFF")  # on by default in some builds, where it doubles the writes
        except StoreError:
            self.close()
            raise

    def rows(self, sql: str, *values: Any) -> list[Any]:
        """Run a statement and return all its rows."""
        with self._translated_errors():
            return self._sqlite.execute(sql, values).fetchall()

    def value(self, sql: str, *values: Any) -> Any:
        """Run a statement and return the first column of the first row; None without rows."""
        rows = self.rows(sql, *values)
        return rows[0][0] if rows else None

    def number(self, name: str) -> int:
        """Return a whole number from the table `about`. Raises DamagedError: when it is not there."""
        value = self.value("SELECT value FROM about WHERE name = ?", name)
        if not isinstance(value, int):
            raise DamagedError(f"{self.path} is damaged (no number {name!r})")
        return value

    def run_many(self, sql: str, values: Iterable[tuple[Any, ...]]) -> None:
        """Run a statement once for each tuple of values."""
        with self._translated_errors():
            self._sqlite.executemany(sql, values)

    @contextmanager
    def transaction(self, *, synced: bool) -> Iterator[None]:
        """Commit the statements of the `with` block together, or none of them when it raises.

        synced: make the commit survive a power cut, not only SIGKILL. A thread that shares the connection waits.
        """
        with self.lock:
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
    def _translated_errors(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError, UnicodeDecodeError, MemoryError) as error:
            reason = getattr(error, "strerror", None) or str(error) or "out of memory"
            if self._is_damage(error):
                raise DamagedError(f"{self.path} is damaged ({reason})") from error
            remedy = next((text for word, text in _REMEDIES.items() if word in reason.lower()), "check its disk")
            raise StoreError(f"{self.path} cannot be used ({reason}): {remedy}") from error

    def _is_damage(self, error: BaseException) -> bool:
        # Of the errors that occur here, Python maps only SQLITE_CORRUPT and SQLITE_NOTADB to the bare DatabaseError. A
        # message of SQLite that cannot be decoded quotes a name from a corrupted schema. Rows that contradict a
        # constraint follow from a number that was changed in the file: this program gives each once.
        if type(error) in (sqlite3.DatabaseError, sqlite3.IntegrityError, UnicodeDecodeError):
            return True
        if isinstance(error, MemoryError):
            return False
        # The first ones tell that a table is not as this program makes it.
        words = ["no such table", "no such column", "has no column", "columns but", "on conflict clause"]
        words += ["decode", "malformed", "unsupported file format"]
        if os.access(self.path, os.W_OK):
            words.append("readonly")  # the header of the file forbids writing, not the disk
        return isinstance(error, sqlite3.Error) and any(word in str(error).lower() for word in words)

    def replaced(self) -> bool:
        """Return True when the open file was removed or another file has its name.

        Raises StoreError: when the disk does not tell.
        """
        if self._file_id is None:
            return False
        try:
            return _file_id(self.path) != self._file_id
        except (FileNotFoundError, NotADirectoryError):
            return True
        except OSError as error:
            raise StoreError(f"{self.path} cannot be used ({error.strerror}): check its disk") from error

    def is_same_file(self, other: Connection) -> bool:
        return self._file_id == other._file_id

    def close(self) -> None:
        with suppress(sqlite3.Error):
            self._sqlite.close()


class Reader:
    """Connection that only reads the file of a service that may be running, within the context.

    In WAL mode a reader keeps no writer waiting. Each statement is a transaction of its own. `file_id` is another one
    when the file was replaced.
    """

    def __init__(self, path: Path) -> None:
        self._path, self.file_id = path, _file_id(path)
        # Without these files no service runs, and SQLite would make them, which it may not in a read-only folder.
        in_use = all(path.with_name(path.name + suffix).exists() for suffix in ("-wal", "-shm"))
        uri = f"{path.resolve().as_uri()}?mode=ro{'' if in_use else '&immutable=1'}"
        self._sqlite = sqlite3.connect(uri, uri=True, timeout=_WAIT_S, isolation_level=None, check_same_thread=False)

    @classmethod
    def open(cls, folder: Path) -> Reader | None:
        """Open the file in a state folder; return None when there is none. Raises StoreError when it cannot be read."""
        try:
            return cls(folder / FILE)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (OSError, sqlite3.Error) as error:
            raise _unreadable(folder / FILE, error) from error

    def rows(self, sql: str, *values: Any) -> list[Any]:
        """Run a query and return all its rows. Raises StoreError."""
        try:
            return self._sqlite.execute(sql, values).fetchall()
        except (sqlite3.Error, OSError, UnicodeDecodeError, MemoryError) as error:
            raise _unreadable(self._path, error) from error

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(sqlite3.Error):
            self._sqlite.close()


def _unreadable(path: Path, error: BaseException) -> StoreError:
    reason = getattr(error, "strerror", None) or str(error) or "out of memory"
    return StoreError(f"{path} cannot be read ({reason}): use the service's user, or sudo")


def _file_id(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_dev, status.st_ino


class Standby:
    """Place of the ledger's tables while the disk fails.

    connection: the tables in memory; None while the file is used. The counting thread sets it, and holds the lock of
    the connection when it takes the tables away.
    """

    def __init__(self) -> None:
        self.connection: Connection | None = None


class SharedFile:
    """The ledger's file as the publishing thread uses it: opened when needed, and again when it has been replaced.

    Create it after the Ledger, which creates the file. standby: the ledger's tables in memory, used while there are
    any. `generation` grows whenever other tables are used than before.
    """

    def __init__(self, folder: Path, standby: Standby | None = None) -> None:
        self._folder = folder
        self._standby = standby or Standby()
        self._connection: Connection | None = None
        self._used: Connection | None = None
        self.generation = 0
        with self.use():
            pass

    @property
    def in_memory(self) -> bool:
        return self._standby.connection is not None

    @contextmanager
    def use(self) -> Iterator[Connection]:
        """Yield the connection. A file that is found damaged is reported to the ledger, which replaces it."""
        while (standby := self._standby.connection) is not None:
            with standby.lock:
                if standby is self._standby.connection:
                    self.close()
                    self._note(standby)
                    yield standby
                    return
        try:
            if self._connection is None or self._connection.replaced():
                self.close()
                self._connection = Connection(self._folder, create=False)
            self._note(self._connection)
            yield self._connection
        except DamagedError:
            # The ledger notices a disk that cannot be read or written by itself.
            with suppress(OSError):
                if self._connection is None or not self._connection.replaced():
                    (self._folder / SUSPECT).touch(0o600)
            raise

    def _note(self, connection: Connection) -> None:
        self.generation += connection is not self._used
        self._used = connection

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection = None
