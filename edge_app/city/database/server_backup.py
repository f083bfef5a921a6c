"""Save and restore a PostgreSQL database by PostgreSQL's own programs.

They know every version's ways, and see one moment of all tables.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from sqlalchemy import Connection, create_engine, inspect, text
from sqlalchemy.engine import URL
from sqlalchemy.engine.interfaces import IsolationLevel
from sqlalchemy.exc import SQLAlchemyError

from edge_app.city.database.days import COUNTS
from edge_app.city.database.engine import UTF8, reason
from edge_app.city.database.restored import Access, carry_over, has_audit, read_access
from edge_app.city.database.tables import METADATA
from edge_app.errors import ConfigError, StoreError

TABLES: Final = {COUNTS, "alembic_version"}
"""Tables by which a database of the city is known."""
_DROP: Final = (
    f"DROP TABLE IF EXISTS {', '.join([*(table.name for table in METADATA.sorted_tables), 'alembic_version'])} CASCADE"
)
_KEEP_AUDIT: Final = "CREATE TEMPORARY TABLE replaced_audit AS SELECT * FROM audit"
_FIND_TABLES: Final = "RESET search_path"
"""A backup names each table in full, and lets nothing be found otherwise."""
_DROP_ORPHANS: Final = (
    f"DROP SEQUENCE IF EXISTS {', '.join(f'{table.name}_id_seq' for table in METADATA.sorted_tables)}"
)
"""A server still carries out the statement at which a restore was killed: that may leave a sequence without a table."""
_LOCKS_A_TABLE: Final = 4
"""The table of a day, its key, and where PostgreSQL keeps its long texts, with the key of that."""
_SHARE: Final = 0.75
"""Of the locks that a server has room for, what one transaction takes at most."""


def dump(parsed: URL, file: Path) -> None:
    """Write a PostgreSQL database, as it is at one moment, into a file. Raises ConfigError, StoreError."""
    place = f"--dbname={_plain(parsed)}"
    _run("pg_dump", place, "--format=custom", "--no-owner", "--no-privileges", f"--file={file}", login=parsed)


def restore_server(parsed: URL, file: Path, *, replace: bool) -> Access | None:
    """Bring a PostgreSQL database back from a file of `dump`, and return who could come in before, None without one.

    Nothing is changed where that fails. replace: also where there are tables already, which are lost but for the audit.
    Raises ConfigError, StoreError.
    """
    content = _run("pg_restore", "--list", str(file), refusal=f"{file} is no backup of a city's PostgreSQL database")
    if not all(f" {name} " in content for name in TABLES):
        raise ConfigError(f"{file} is a backup of another database")
    with opened(parsed.set(drivername="postgresql+psycopg"), "AUTOCOMMIT") as connection:
        there, whole = _state(connection)
        if whole and not replace:
            raise ConfigError(
                f"the database {parsed.database} has tables already: `--replace` puts the backup in their place"
            )
        needed, room = there + _LOCKS_A_TABLE * content.count(" TABLE "), _locks(connection)
        if whole and needed > room:
            raise ConfigError(
                f"the backup and the database {parsed.database} have more days than the server can lock at once: "
                "restore into an empty database (createdb) and name that in database.url, or set "
                f"max_locks_per_transaction = {_enough(connection, needed)} in postgresql.conf and restart the server"
            )
        noted = has_audit(connection)
        before = read_access(connection) if noted else None
    if needed > room:
        _restore_in_parts(parsed, file, content)
        return before
    # Not pg_restore's --clean, which cannot drop partitions that came after the backup.
    drop = f"{_KEEP_AUDIT}; {_DROP}" if noted else _DROP
    after = (f"--command={_FIND_TABLES}; {carry_over('pg_temp.replaced_audit')}",) if noted else ()
    _transfer(parsed, file, "--single-transaction", f"--command={drop}", after=after)
    return before


def _state(connection: Connection) -> tuple[int, bool]:
    """Return how many locks it takes to drop the tables that are there, and whether there is a database of the city.

    One without a version is what a restore has left that was killed.
    """
    relations = text(
        "SELECT count(*) + 2 * count(*) FILTER (WHERE reltoastrelid <> 0) FROM pg_class"
        " WHERE relnamespace = current_schema()::regnamespace"
    )
    tables = set(inspect(connection).get_table_names())
    if "alembic_version" in tables:
        whole = bool(connection.execute(text("SELECT count(*) FROM alembic_version")).scalar())
    else:
        whole = False
    return (connection.execute(relations).scalar_one() if tables else 0), whole


def _locks(connection: Connection) -> int:
    """Return how many locks one transaction may take: not those that others need meanwhile."""
    settings = ("max_locks_per_transaction", "max_connections", "max_prepared_transactions")
    each, connections, prepared = (int(connection.exec_driver_sql(f"SHOW {name}").scalar_one()) for name in settings)
    return int(_SHARE * each * (connections + prepared))


def _enough(connection: Connection, needed: int) -> int:
    """Return the max_locks_per_transaction with which so many locks are allowed."""
    each = int(connection.exec_driver_sql("SHOW max_locks_per_transaction").scalar_one())
    return each * -(-needed // max(1, _locks(connection)))


def _restore_in_parts(parsed: URL, file: Path, content: str) -> None:
    """Restore into an empty database, one statement at a time: a partition more than is locked at once does not matter.

    The version comes last: without it nobody takes what is there for a database. What fails is taken away again.
    """
    _clear(parsed)
    entries = [line for line in content.splitlines() if line and not line.startswith(";")]
    last = [line for line in entries if " TABLE DATA " in line and " alembic_version " in line]
    whole = False
    try:
        for part in ([line for line in entries if line not in last], last):
            with tempfile.NamedTemporaryFile("w", suffix=".list") as chosen:
                chosen.write("\n".join(part) + "\n")
                chosen.flush()
                _transfer(parsed, file, chosen=chosen.name)
        whole = True
    finally:
        if not whole:
            with suppress(StoreError):  # told is why the restore has failed
                _clear(parsed)


def _clear(parsed: URL) -> None:
    """Drop all tables, each day by itself."""
    days = text(
        "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = current_schema()::regnamespace"
        f" AND relname ~ '^{COUNTS}_[0-9]+$'"
    )
    with opened(parsed.set(drivername="postgresql+psycopg"), "AUTOCOMMIT") as connection:
        for name in connection.execute(days).scalars().all():
            connection.exec_driver_sql(f"DROP TABLE {name}")
        connection.exec_driver_sql(_DROP)
        connection.exec_driver_sql(_DROP_ORPHANS)


def _transfer(parsed: URL, file: Path, *options: str, after: Sequence[str] = (), chosen: str = "") -> None:
    """Run what is in a backup. chosen: a file with a list of what to run, "" for all of it.

    options, after: of psql, before the backup and behind it.

    Raises StoreError: at the first statement that fails.
    """
    read = ["pg_restore", "--no-owner", "--no-privileges", "--file=-", str(file)]
    read += [f"--use-list={chosen}"] if chosen else []
    write = [_found("psql"), "--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", f"--dbname={_plain(parsed)}"]
    write += [*options, "--file=-", *after]
    with (
        tempfile.TemporaryFile("w+") as told,
        subprocess.Popen(
            write, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=told, env=_login(parsed)
        ) as target,
        subprocess.Popen(read, stdout=subprocess.PIPE, stderr=told) as source,
    ):
        assert source.stdout
        assert target.stdin
        with suppress(BrokenPipeError):  # the target has ended, and says why
            shutil.copyfileobj(source.stdout, target.stdin)
        source.stdout.close()
        if source.wait():
            target.kill()  # before it sees the end of what was cut off, and commits it
        with suppress(BrokenPipeError):
            target.stdin.close()
        if target.wait():
            told.seek(0)
            raise StoreError(f"the backup cannot be restored ({_words(told.read()) or 'it was interrupted'})")


@contextmanager
def opened(url: URL, level: IsolationLevel | None = None) -> Iterator[Connection]:
    """Yield a connection to a database as it is, its tables of whatever release. Raises StoreError."""
    utf8 = UTF8 if url.drivername.startswith("postgresql") else {}
    engine = create_engine(url, connect_args=dict(utf8), **({"isolation_level": level} if level else {}))
    try:
        with engine.connect() as connection:
            yield connection
    except SQLAlchemyError as error:
        raise StoreError(f"database {url.database} cannot be read ({reason(error)})") from error
    finally:
        engine.dispose()


def _plain(parsed: URL) -> str:
    """Return the URL for PostgreSQL's own programs, which get the password by their environment.

    No password may be in it, not a masked one either: it would go before that of the environment.
    """
    whole = URL.create("postgresql", parsed.username, None, parsed.host, parsed.port, parsed.database, parsed.query)
    return whole.render_as_string(hide_password=False)


def _login(parsed: URL) -> dict[str, str]:
    return {**os.environ, **({"PGPASSWORD": str(parsed.password)} if parsed.password else {})}


def _found(program: str) -> str:
    if shutil.which(program) is None:
        raise ConfigError(f"{program} is not installed: sudo apt install postgresql-client, of the server's version")
    return program


def _words(text: str) -> str:
    return " ".join(text.split())[:300]


def _run(program: str, *arguments: str, login: URL | None = None, refusal: str = "") -> str:
    """Return what one of PostgreSQL's programs prints. refusal: sentence where it fails, instead of its own."""
    environment = None if login is None else _login(login)
    command = (_found(program), *arguments)
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode and refusal:
        raise ConfigError(refusal)
    if done.returncode:
        raise StoreError(f"{program} failed ({_words(done.stderr) or f'exit status {done.returncode}'})")
    return done.stdout
