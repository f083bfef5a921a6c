"""Let one process at a time work under a name of the broker: two would take each other's connection again and again.

PostgreSQL keeps the lock for as long as a connection lasts, SQLite has it on a file beside the database. Both end with
the process, however it ends, so that nobody has to wait for a lease.
"""

from __future__ import annotations

import fcntl
import os
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime, timezone
from glob import escape
from pathlib import Path
from typing import Final, Protocol
from zlib import crc32

from sqlalchemy import Connection, NullPool, create_engine, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import SQLAlchemyError

from edge_app.city.database.engine import reason
from edge_app.errors import StoreError

_CLASS: Final = 7203
"""Of PostgreSQL's advisory locks, those of workers."""
_LOOK_S: Final = 5.0
_CONNECT_S: Final = 5
_GONE_S: Final = (30, 10, 3)
"""After which PostgreSQL takes the machine of a worker for gone: wait, wait between questions, and their number."""
_LONGEST_NAME: Final = 63
"""PostgreSQL cuts names of applications off there."""


class WorkerLock(Protocol):
    """Lock on the name of a worker."""

    def hold(self) -> None:
        """Make sure that the lock is held still. Raises StoreError: when another process has it by now."""
        ...


@contextmanager
def worker_lock(url: str, name: str, *, clock: Callable[[], float] = time.monotonic) -> Iterator[WorkerLock]:
    """Hold the lock on the name of a worker within the context.

    url: of the database. name: under which the broker keeps messages for the worker. clock: s, never steps.
    Raises StoreError: while another process has it, which is named; and when the database cannot be used.
    """
    parsed = make_url(url)
    lock = _OfFile(parsed, name) if parsed.drivername == "sqlite" else _OfServer(parsed, name, clock)
    try:
        lock.take()
        yield lock
    finally:
        lock.close()


def workers_at(database: Path) -> Sequence[str]:
    """Return who is at work on a database of SQLite, in words."""
    return [who for file in sorted(database.parent.glob(f"{escape(database.name)}-*.lock")) if (who := _at_work(file))]


def _at_work(file: Path) -> str:
    """Return who has the lock on a file, "" when nobody has."""
    with suppress(FileNotFoundError), file.open("rb") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return lock.read(400).decode("utf-8", "replace")
    return ""


def _me() -> str:
    return f"process {os.getpid()} on {socket.gethostname()}"


def _taken(name: str, who: str) -> StoreError:
    return StoreError(
        f"a worker {name} is at work on this database already: {who}. End that one, or start a further worker under "
        "another name: edge-app city ingest --worker NAME"
    )


class _OfFile:
    """Lock on a file beside a database of SQLite; it tells who has it."""

    def __init__(self, url: URL, name: str) -> None:
        database = Path(url.database or "")
        self._file, self._name = database.with_name(f"{database.name}-{name.replace('/', '_')}.lock"), name
        self._handle = -1

    def take(self) -> None:
        try:
            self._handle = os.open(self._file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
            fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.ftruncate(self._handle, 0)
            os.pwrite(self._handle, f"{_me()}, since {_told(datetime.now(timezone.utc))}".encode(), 0)
        except BlockingIOError:
            raise _taken(self._name, os.pread(self._handle, 400, 0).decode("utf-8", "replace")) from None
        except OSError as error:
            raise StoreError(f"{self._file} cannot be written ({error.strerror})") from error

    def hold(self) -> None:
        """Do nothing: the lock lasts as long as the process."""

    def close(self) -> None:
        if self._handle >= 0:
            os.close(self._handle)


class _OfServer:
    """Advisory lock of PostgreSQL, on a connection of its own, whose name tells who has it."""

    def __init__(self, url: URL, name: str, clock: Callable[[], float]) -> None:
        self._name, self._clock, self._look_at = name, clock, 0.0
        self._key = {"class": _CLASS, "key": crc32(name.encode()) & 0x7FFF_FFFF}
        arguments = {"connect_timeout": _CONNECT_S, "application_name": f"edge-app city, {_me()}"[:_LONGEST_NAME]}
        self._engine = create_engine(
            url.set(drivername="postgresql+psycopg"),
            poolclass=NullPool,
            isolation_level="AUTOCOMMIT",
            connect_args=arguments,
        )
        self._connection: Connection | None = None

    def take(self) -> None:
        try:
            self._take()
        except SQLAlchemyError as error:
            self.close()
            raise StoreError(f"the database cannot be used ({reason(error)})") from error

    def _take(self) -> None:
        self._connection = connection = self._engine.connect()
        for what, value in zip(("idle", "interval", "count"), _GONE_S, strict=True):
            connection.exec_driver_sql(f"SET tcp_keepalives_{what} = {value}")
        if not connection.execute(text("SELECT pg_try_advisory_lock(:class, :key)"), self._key).scalar_one():
            who = self._holder(connection)
            self._leave()
            raise _taken(self._name, who)
        self._look_at = self._clock() + _LOOK_S

    def _holder(self, connection: Connection) -> str:
        question = (
            "SELECT application_name, backend_start FROM pg_locks JOIN pg_stat_activity USING (pid) WHERE granted"
            " AND locktype = 'advisory' AND classid = :class AND objid = :key AND objsubid = 2"
            " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
        )
        row = connection.execute(text(question), self._key).first()
        # Whoever has ended since has left the name to the next start.
        return f"{row.application_name.partition(', ')[2]}, since {_told(row.backend_start)}" if row else "just ended"

    def hold(self) -> None:
        """Ask the database whether the connection lasts, now and then, and take the lock anew where it does not."""
        if self._clock() < self._look_at:
            return
        self._look_at = self._clock() + _LOOK_S
        try:
            if self._connection is not None:
                self._connection.execute(text("SELECT 1"))
                return
        except SQLAlchemyError:
            self._leave()
        with suppress(SQLAlchemyError):  # the database is away, which the worker tells, and so is every lock
            self._take()

    def _leave(self) -> None:
        if self._connection is not None:
            with suppress(SQLAlchemyError):
                self._connection.invalidate()
                self._connection.close()
            self._connection = None

    def close(self) -> None:
        with suppress(SQLAlchemyError):
            if self._connection is not None:
                self._connection.close()
        self._connection = None
        self._engine.dispose()


def _told(at: datetime) -> str:
    return f"{at.astimezone(timezone.utc):%Y-%m-%d %H:%M} UTC"
