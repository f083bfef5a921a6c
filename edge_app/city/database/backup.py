"""Save the city's database to one file while it is used, and bring it back.

PostgreSQL's own programs do it there: they know every version's ways, and see one moment of all tables.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final
from urllib.parse import quote

from sqlalchemy import Connection, create_engine, inspect
from sqlalchemy.engine import URL, make_url
from sqlalchemy.engine.interfaces import IsolationLevel
from sqlalchemy.exc import SQLAlchemyError

from edge_app.city.database.engine import open_database, reason
from edge_app.city.database.tables import METADATA
from edge_app.errors import ConfigError, EdgeAppError, StoreError

_TABLES: Final = {"counts", "alembic_version"}
"""Tables by which a database of the city is known."""


def back_up(url: str, file: Path) -> None:
    """Write the whole database, as it is at one moment, into a file that is there only when it is whole.

    Raises ConfigError: where the file is there already or its folder is not, or PostgreSQL's programs are missing.
    Raises StoreError: when it cannot be read or written.
    """
    parsed = make_url(url)
    if file.exists():
        raise ConfigError(f"{file} is there already: name a new file, so that no older backup is lost")
    if not file.parent.is_dir():
        raise ConfigError(f"{file.parent} is no folder")
    part = file.with_name(f".{file.name}.part")
    part.unlink(missing_ok=True)
    try:
        part.touch(mode=0o600)  # it holds every count
        if parsed.drivername == "sqlite":
            _copy(Path(parsed.database or ""), part)
        else:
            place = f"--dbname={_plain(parsed)}"
            _run("pg_dump", place, "--format=custom", "--no-owner", "--no-privileges", f"--file={part}", login=parsed)
        part.replace(file)
    except EdgeAppError:
        raise
    except OSError as error:
        raise StoreError(f"{file} cannot be written ({error.strerror})") from error
    finally:
        part.unlink(missing_ok=True)


def restore(url: str, file: Path, *, replace: bool) -> None:
    """Bring a database back from a file of `back_up`; nothing is changed where that fails.

    replace: also where there are tables already, which are lost.
    Raises ConfigError: for a file that is no backup, or a database with tables and no `replace`.
    Raises StoreError: when it cannot be read or written.
    """
    parsed = make_url(url)
    if not file.is_file():
        raise ConfigError(f"{file} is not there")
    if parsed.drivername == "sqlite":
        _restore_file(Path(parsed.database or ""), file, replace=replace)
    else:
        _restore_server(parsed, file, replace=replace)
    open_database(url).close()  # a backup of an older release is raised to this one


def _restore_file(database: Path, file: Path, *, replace: bool) -> None:
    if not _is_city(file):
        raise ConfigError(f"{file} is no backup of a city's SQLite database")
    if database.exists() and not replace:
        raise ConfigError(f"{database} is there already: `--replace` puts the backup in its place")
    part = database.with_name(f".{database.name}.part")
    try:
        part.touch(mode=0o600)  # it holds every count
        shutil.copyfile(file, part)
        if database.exists():
            _take_in(database)
            before = database.stat()
            os.chown(part, before.st_uid, before.st_gid)  # the service may run as another user than who restores
            part.chmod(before.st_mode & 0o777)
        for rest in ("-wal", "-shm"):  # of the database before, and not of this one
            database.with_name(database.name + rest).unlink(missing_ok=True)
        part.replace(database)
    except OSError as error:
        raise StoreError(f"{database} cannot be written ({error.strerror})") from error
    finally:
        part.unlink(missing_ok=True)


def _take_in(database: Path) -> None:
    """Take what was committed last into the file of a database: a restore that ends halfway leaves that alone."""
    with suppress(StoreError), _opened(_file(database, "rw"), "AUTOCOMMIT") as connection:  # a damaged one has none
        connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")


def _restore_server(parsed: URL, file: Path, *, replace: bool) -> None:
    content = _run("pg_restore", "--list", str(file), refusal=f"{file} is no backup of a city's PostgreSQL database")
    if not all(f" {name} " in content for name in _TABLES):
        raise ConfigError(f"{file} is a backup of another database")
    if not replace and _has_tables(parsed):
        raise ConfigError(
            f"the database {parsed.database} has tables already: `--replace` puts the backup in their place"
        )
    # Not pg_restore's --clean, which cannot drop partitions that came after the backup.
    names = ", ".join([*(table.name for table in METADATA.sorted_tables), "alembic_version"])
    _transfer(parsed, file, f"DROP TABLE IF EXISTS {names} CASCADE")


def _transfer(parsed: URL, file: Path, before: str) -> None:
    """Run a statement, and all that is in a backup, in one transaction."""
    read = ("pg_restore", "--no-owner", "--no-privileges", "--file=-", str(file))
    write = [_found("psql"), "--no-psqlrc", "--quiet", "--single-transaction", "--set=ON_ERROR_STOP=1"]
    write += [f"--dbname={_plain(parsed)}", f"--command={before}", "--file=-"]
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


def _copy(database: Path, to: Path) -> None:
    """Copy a SQLite database that others write to at the same time."""
    if not database.exists():
        raise ConfigError(f"{database} is not there: nothing was kept yet")
    with _opened(_file(database), "AUTOCOMMIT") as connection:
        connection.exec_driver_sql("VACUUM INTO ?", (str(to),))


def _is_city(file: Path) -> bool:
    try:
        with _opened(_file(file)) as connection:
            whole = connection.exec_driver_sql("PRAGMA quick_check").scalar() == "ok"
            return whole and set(inspect(connection).get_table_names()) >= _TABLES
    except StoreError:
        return False


def _has_tables(parsed: URL) -> bool:
    with _opened(parsed.set(drivername="postgresql+psycopg")) as connection:
        return bool(_TABLES & set(inspect(connection).get_table_names()))


def _file(path: Path, mode: str = "ro") -> URL:
    return URL.create("sqlite", database=f"file:{quote(str(path.absolute()))}", query={"mode": mode, "uri": "true"})


@contextmanager
def _opened(url: URL, level: IsolationLevel | None = None) -> Iterator[Connection]:
    engine = create_engine(url, **({"isolation_level": level} if level else {}))
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
