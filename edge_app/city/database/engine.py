"""Open the city's database: PostgreSQL at an address, or SQLite in one file.

Only this file and that of the days of intervals know the dialects.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from enum import Enum
from importlib import resources
from pathlib import Path
from typing import Any, Final
from uuid import UUID

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util.exc import CommandError
from sqlalchemy import (
    JSON,
    ColumnElement,
    Engine,
    String,
    Subquery,
    Table,
    and_,
    any_,
    bindparam,
    column,
    create_engine,
    event,
    func,
    literal,
    select,
    text,
    update,
)
from sqlalchemy import Connection as Connection  # others name it by this module
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DataError, DBAPIError, IntegrityError, SQLAlchemyError
from sqlalchemy.types import TypeEngine

from edge_app.city.archive import Archive
from edge_app.city.database.turns import Turns
from edge_app.errors import ConfigError, StoreError

log = logging.getLogger(__name__)
logging.getLogger("alembic").setLevel(logging.WARNING)  # what it does at every start is one sentence here, when it does

_DRIVERS: Final = {"postgresql": "postgresql+psycopg", "postgres": "postgresql+psycopg", "sqlite": "sqlite"}
_WAIT_S: Final = 10.0
_ALIVE: Final = {"keepalives_idle": 30, "keepalives_interval": 10, "keepalives_count": 3, "tcp_user_timeout": 60_000}
"""A server that vanished without a word is told after a minute, not after the system's two hours (libpq; s, ms)."""
_PORT: Final = 5432
UTF8: Final[Mapping[str, str]] = {"client_encoding": "UTF8"}
"""What a connection to PostgreSQL is told, so that it does not guess it from the database."""
_RAISING: Final = 7202
"""Of PostgreSQL's advisory locks, the one of whoever raises the tables."""
_OF_DATA: Final = ("22", "23", "54")
"""Classes of PostgreSQL's error codes for values: of data, of what tables hold together, of sizes."""


class ValueRefusedError(StoreError):
    """The database works, and takes some value of a statement for none that a column can hold."""


class Database:
    """A database whose tables are those of this release. Any thread may use it.

    archive: where the intervals of days that have left it are, None where that is not known.
    """

    def __init__(self, engine: Engine, archive: Archive | None = None) -> None:
        self._engine, self.archive = engine, archive
        self._turns = Turns() if engine.dialect.name == "sqlite" else None

    @contextmanager
    def begin(self) -> Iterator[Connection]:
        """Run a transaction within the context: committed at its end, undone by any exception. Raises StoreError.

        With SQLite the threads of this program take turns, so one transaction may not begin within another.
        """
        turn = self._turns.turn(_WAIT_S) if self._turns else nullcontext()
        with turn, _explained(), self._engine.begin() as connection:
            yield connection

    @contextmanager
    def connect(self) -> Iterator[Connection]:
        """Read within the context. Raises StoreError."""
        with _explained(), self._engine.connect() as connection:
            yield connection

    def close(self) -> None:
        """Close the connections that nobody uses."""
        self._engine.dispose()


@contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except SQLAlchemyError as error:
        if _is_of_data(error):
            raise ValueRefusedError(f"the database refuses a value ({reason(error)})") from error
        if "database is locked" in (why := reason(error)):  # SQLite's words, when another program writes all the time
            raise StoreError("another program writes to the database: try again in a minute", code="busy") from error
        raise StoreError(f"the database cannot be used ({why})") from error


def _is_of_data(error: SQLAlchemyError) -> bool:
    if not isinstance(error, DBAPIError):
        return False
    of_data = isinstance(error, DataError | IntegrityError)  # of SQLite too
    return of_data or str(getattr(error.orig, "sqlstate", "")).startswith(_OF_DATA)


def open_database(url: str, *, workers: int = 4, archive: Path | None = None) -> Database:
    """Return a database, its tables raised to this release.

    url: postgresql://USER@HOST/NAME or sqlite:///FILE. workers: connections at a time. archive: folder of the intervals
    of days that have left it.
    Raises ConfigError: for a URL that names none of both, or a folder that is not there.
    Raises StoreError: when it cannot be used, or cannot hold every text.
    """
    engine, where = _engine(url, workers)
    folder = Path(engine.url.database or "").parent
    if engine.dialect.name == "sqlite" and not folder.is_dir():
        raise ConfigError(f"database.url: there is no folder {folder}: make it, or name another")
    try:
        with engine.begin() as connection:
            _judge_encoding(connection, where)
            _migrate(connection, where)
    except StoreError:
        engine.dispose()
        raise
    except CommandError as error:
        raise StoreError(f"database {where}: made by a newer release ({error}): install that one") from error
    except SQLAlchemyError as error:
        raise StoreError(f"database {where} cannot be used ({reason(error)})") from error
    return Database(engine, None if archive is None else Archive(archive))


class Tables(Enum):
    """What the next start of this release does with the tables of a database."""

    READY = "it uses them"
    ABSENT = "it makes them"
    OLDER = "it changes them, and a release before cannot use them any more"


def state_of(url: str) -> tuple[str, Tables]:
    """Return a sentence about a database that nothing is changed in, and what its tables are.

    Raises ConfigError: for a URL that names none. Raises StoreError: when it cannot be used.
    """
    engine, where = _engine(url, 1)
    if engine.dialect.name == "sqlite" and not Path(engine.url.database or "").exists():
        return f"{where}: there is none yet; the first start makes it", Tables.ABSENT
    scripts = ScriptDirectory.from_config(_scripts())
    try:
        with engine.connect() as connection:
            _judge_encoding(connection, where)
            found = MigrationContext.configure(connection).get_current_revision()
            version = ".".join(map(str, connection.dialect.server_version_info or ()))
    except SQLAlchemyError as error:
        raise StoreError(f"database {where} cannot be used ({reason(error)})") from error
    finally:
        engine.dispose()
    kind = f"{where} ({ {'sqlite': 'SQLite', 'postgresql': 'PostgreSQL'}[engine.dialect.name] } {version})"
    if found is None:
        return f"{kind}: nothing is in it yet; the first start makes its tables", Tables.ABSENT
    known = {script.revision for script in scripts.walk_revisions()}
    if found not in known:
        raise StoreError(f"database {where}: made by a newer release: install that one")
    if found != scripts.get_current_head():
        return f"{kind}: of an older release; the next start changes its tables: make a backup before", Tables.OLDER
    return f"{kind}: its tables are those of this release", Tables.READY


def _engine(url: str, workers: int) -> tuple[Engine, str]:
    """Return an engine for a URL, and where the database is, in words. Raises ConfigError."""
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):  # ValueError: a port that is no number
        parsed = None
    if parsed is None or parsed.drivername.partition("+")[0] not in _DRIVERS:
        raise ConfigError("database: must be postgresql://USER@HOST:PORT/NAME or sqlite:///FILE")
    parsed = parsed.set(drivername=_DRIVERS[parsed.drivername.partition("+")[0]])
    if parsed.drivername == "sqlite":
        engine = create_engine(parsed, connect_args={"timeout": _WAIT_S})
        event.listen(engine, "connect", _fast_and_safe)
    else:
        arguments = {"connect_timeout": int(_WAIT_S), **_ALIVE, **UTF8}
        engine = create_engine(parsed, pool_size=workers, pool_pre_ping=True, connect_args=arguments)
    return engine, _place(parsed)


def _judge_encoding(connection: Connection, where: str) -> None:
    """Refuse a database in which names of roads of every language have no place. Raises StoreError."""
    if connection.dialect.name != "postgresql":
        return
    encoding = connection.execute(text("SHOW server_encoding")).scalar_one()
    if encoding != "UTF8":
        raise StoreError(
            f"database {where}: its encoding is {encoding}, in which most names of roads cannot be kept; make one with "
            "createdb --encoding UTF8 --template template0"
        )


def _place(url: URL) -> str:
    """Return where a database is, without a login: no address, of which a check shows no path."""
    return f"{url.database or ''}{f' at {url.host}:{url.port or _PORT}' if url.host else ''}"


def reason(error: SQLAlchemyError) -> str:
    """Return the database's own words for an error, on one line."""
    words = str(error.orig) if isinstance(error, DBAPIError) and error.orig is not None else str(error)
    return " ".join(words.split())[:300]


def insert_new(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert the rows whose key is not there yet. Every row has the same columns."""
    if not rows:
        return
    if connection.dialect.name == "postgresql":
        _insert_many(connection, table, rows, "ON CONFLICT DO NOTHING")
    else:
        connection.execute(sqlite.insert(table).on_conflict_do_nothing(), rows)


def insert_and_tell(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> set[tuple[Any, ...]]:
    """Insert the rows whose key is not there yet, and return the keys of those. Every row has the same columns.

    Whoever else inserts the same keys must wait for this transaction.
    """
    keys = list(table.primary_key)
    if not rows:
        return set()
    if connection.dialect.name == "postgresql":
        return _copy(connection, table, rows)
    given = [tuple(row[key.name] for key in keys) for row in rows]
    asked = wanted(connection, {key.name: key.type for key in keys}, [list(map(_plain, key)) for key in given])
    same = and_(*(key == asked.c[key.name] for key in keys))
    there = {tuple(row) for row in connection.execute(select(*keys).join(asked, same))}
    insert_new(connection, table, rows)
    return set(given) - there


def _plain(value: Any) -> Any:
    return value.hex if isinstance(value, UUID) else value  # as SQLite keeps it


def _copy(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> set[tuple[Any, ...]]:
    """Insert rows by COPY, which costs PostgreSQL a fraction of any other way, over a table of this connection."""
    names, keys = ", ".join(rows[0]), ", ".join(key.name for key in table.primary_key)
    given = f"incoming_{table.name}"
    connection.execute(text(f"CREATE TEMPORARY TABLE IF NOT EXISTS {given} (LIKE {table.name}) ON COMMIT DELETE ROWS"))
    driver: Any = connection.connection.driver_connection
    try:
        with driver.cursor() as cursor, cursor.copy(f"COPY {given} ({names}) FROM STDIN") as copying:
            for row in rows:
                copying.write_row(tuple(row.values()))
    except connection.dialect.loaded_dbapi.Error as error:  # SQLAlchemy has not seen it
        raise DBAPIError(f"COPY {given}", None, error) from error
    insert = f"INSERT INTO {table.name} ({names}) SELECT {names} FROM {given} ORDER BY {keys} ON CONFLICT DO NOTHING"
    return set(map(tuple, connection.execute(text(f"{insert} RETURNING {keys}")).all()))


def put(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert rows, or change those with the same primary key. Every row has the same columns."""
    if not rows:
        return
    keys = [column.name for column in table.primary_key]
    changed = [name for name in rows[0] if name not in keys]
    if connection.dialect.name == "postgresql":
        values = ", ".join(f"{name} = excluded.{name}" for name in changed)
        _insert_many(connection, table, rows, f"ON CONFLICT ({', '.join(keys)}) DO UPDATE SET {values}")
        return
    statement = sqlite.insert(table)
    new = {name: statement.excluded[name] for name in changed}
    connection.execute(statement.on_conflict_do_update(index_elements=keys, set_=new), rows)


def change(connection: Connection, table: Table, keys: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> None:
    """Change rows that are there. keys: columns that say which. Every row has the same columns."""
    if not rows:
        return
    changed = [name for name in rows[0] if name not in keys]
    if connection.dialect.name == "postgresql":
        values = ", ".join(f"{name} = given.{name}" for name in changed)
        same = " AND ".join(f"{table.name}.{key} = given.{key}" for key in keys)
        given = f"json_populate_recordset(NULL::{table.name}, CAST(:rows AS json)) AS given"
        connection.execute(text(f"UPDATE {table.name} SET {values} FROM {given} WHERE {same}"), {"rows": _json(rows)})
        return
    same_row = and_(*(table.c[key] == bindparam(f"key_{key}") for key in keys))
    statement = update(table).where(same_row).values({name: bindparam(f"new_{name}") for name in changed})
    marked = [{f"{'key' if name in keys else 'new'}_{name}": row[name] for name in row} for row in rows]
    connection.execute(statement, marked)


def _insert_many(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]], conflict: str) -> None:
    """Insert rows that go to PostgreSQL as one value: as many statements would take ten times as long."""
    names = ", ".join(rows[0])
    given = f"json_populate_recordset(NULL::{table.name}, CAST(:rows AS json))"
    statement = f"INSERT INTO {table.name} ({names}) SELECT {names} FROM {given} {conflict}"
    connection.execute(text(statement), {"rows": _json(rows)})


def _json(rows: Sequence[Mapping[str, Any]]) -> str:
    text = json.dumps(rows, default=_as_text, separators=(",", ":"))
    # PostgreSQL takes no NUL, and one in a device's text must not stop what is written with it.
    return text if "\\u0000" not in text else json.dumps(_without_nul(json.loads(text)), separators=(",", ":"))


def _as_text(value: Any) -> str:
    """Return what JSON does not have as PostgreSQL reads it: an id, or bytes."""
    return f"\\x{value.hex()}" if isinstance(value, bytes) else str(value)


def _without_nul(value: Any) -> Any:
    if isinstance(value, str):
        return value.replace("\0", "\ufffd")
    if isinstance(value, list):
        return [_without_nul(one) for one in value]
    return {_without_nul(key): _without_nul(one) for key, one in value.items()} if isinstance(value, dict) else value


def wanted(connection: Connection, names: Mapping[str, TypeEngine[Any]], rows: Sequence[Sequence[Any]]) -> Subquery:
    """Return rows of values as something to join with. names: column -> type; every row has a value for each.

    They go to the database as one value, so that the statement around them is compiled once for any number of rows.
    """
    if connection.dialect.name == "postgresql":
        columns = [literal([row[at] for row in rows], postgresql.ARRAY(kind)) for at, kind in enumerate(names.values())]
        table = func.unnest(*columns).table_valued(*(column(name, kind) for name, kind in names.items()), name="given")
        return select(table.render_derived()).subquery("wanted")
    each = func.json_each(literal(json.dumps(rows), String)).table_valued(column("value", JSON), name="given")
    values = [
        func.json_extract(each.c.value, f"$[{at}]", type_=kind).label(name)
        for at, (name, kind) in enumerate(names.items())
    ]
    return select(*values).subquery("wanted")


def among(connection: Connection, column: ColumnElement[Any], values: Collection[Any]) -> ColumnElement[bool]:
    """Return the condition that a column has one of the values, which go to the database as one."""
    if connection.dialect.name == "postgresql":
        return column == any_(literal(list(values), postgresql.ARRAY(column.type)))
    each = func.json_each(literal(json.dumps(list(values)), String)).table_valued("value", name="given")
    return column.in_(select(each.c.value))


def lock_alone(connection: Connection, table: Table) -> None:
    """Let nobody else read or change a table until the end of the transaction, where the database has such locks.

    SQLite has one writer at a time anyway.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(text(f"LOCK TABLE {table.name} IN ACCESS EXCLUSIVE MODE"))


def _fast_and_safe(connection: Any, _: object) -> None:
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _migrate(connection: Connection, where: str) -> None:
    """Raise the tables to this release; a page and its workers may start together, and only one of them does it."""
    if connection.dialect.name == "postgresql":
        connection.execute(select(func.pg_advisory_xact_lock(_RAISING)))
    else:
        connection.exec_driver_sql("BEGIN IMMEDIATE")
    config = _scripts()
    config.attributes["connection"] = connection
    known = MigrationContext.configure(connection)
    before = known.get_current_revision()
    command.upgrade(config, "head")
    if before != (now := known.get_current_revision()):
        log.info("database %s: its tables are %s", where, f"raised from {before} to {now}" if before else "made")


def _scripts() -> Config:
    config = Config()
    config.set_main_option("script_location", str(resources.files("edge_app.city") / "migrations"))
    return config
