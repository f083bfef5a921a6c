"""Save the city's database to one file while it is used, and bring it back."""

from __future__ import annotations

import os
import shutil
from contextlib import closing, suppress
from pathlib import Path
from urllib.parse import quote

from sqlalchemy import inspect
from sqlalchemy.engine import URL, make_url

from edge_app.city.database.engine import open_database
from edge_app.city.database.restored import Access, Restored, carry_over, end_restore, has_audit, read_access
from edge_app.city.database.server_backup import TABLES, dump, opened, restore_server
from edge_app.city.database.worker_lock import workers_at
from edge_app.errors import ConfigError, EdgeAppError, StoreError


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
            dump(parsed, part)
        part.replace(file)
    except EdgeAppError:
        raise
    except OSError as error:
        raise StoreError(f"{file} cannot be written ({error.strerror})") from error
    finally:
        part.unlink(missing_ok=True)


def restore(url: str, file: Path, *, replace: bool, who: str, at: float) -> Restored:
    """Bring a database back from a file of `back_up`, and return what changes of who may come in.

    Nothing is changed where that fails. All logins end. replace: also where there are tables already, which are lost,
    but for the audit, whose entries are carried over. who, at: for the audit; UTC s.
    Raises ConfigError: for a file that is no backup, a database with tables and no `replace`, or one of SQLite that
    somebody works on.
    Raises StoreError: when it cannot be read or written.
    """
    parsed = make_url(url)
    if not file.is_file():
        raise ConfigError(f"{file} is not there")
    if parsed.drivername == "sqlite":
        return _restore_file(Path(parsed.database or ""), file, who, at, replace=replace)
    before = restore_server(parsed, file, replace=replace)
    with closing(open_database(url)) as database:  # a backup of an older release is raised to this one
        return end_restore(database, before, file.name, who, at)


def _restore_file(database: Path, file: Path, who: str, at: float, *, replace: bool) -> Restored:
    if not _is_city(file):
        raise ConfigError(f"{file} is no backup of a city's SQLite database")
    if database.exists() and not replace:
        raise ConfigError(f"{database} is there already: `--replace` puts the backup in its place")
    if workers := workers_at(database):  # it would go on in a file that nobody finds any more
        raise ConfigError(f"a worker is at work on {database}: {workers[0]}. Stop the city's services, then restore")
    part = database.with_name(f".{database.name}.part")
    try:
        part.touch(mode=0o600)  # it holds every count
        shutil.copyfile(file, part)
        before: Access | None = None
        whole = URL.create("sqlite", database=str(part)).render_as_string()
        with closing(open_database(whole)) as raised:  # a backup of an older release
            if database.exists():
                _take_in(database)
                before = _carried(database, part)
            found = end_restore(raised, before, file.name, who, at)
        _take_in(part)
        if database.exists():
            owner = database.stat()
            os.chown(part, owner.st_uid, owner.st_gid)  # the service may run as another user than who restores
            part.chmod(owner.st_mode & 0o777)
        for rest in ("-wal", "-shm"):  # of the database before, and not of this one
            database.with_name(database.name + rest).unlink(missing_ok=True)
        part.replace(database)
    except OSError as error:
        raise StoreError(f"{database} cannot be written ({error.strerror})") from error
    finally:
        for rest in ("", "-wal", "-shm"):
            part.with_name(part.name + rest).unlink(missing_ok=True)
    return found


def _carried(database: Path, part: Path) -> Access | None:
    """Carry the audit of a database over into what takes its place, and return who could come in at it.

    None: it is damaged, and nothing was carried over.
    """
    try:
        with opened(_file(database, "rw"), "AUTOCOMMIT") as connection:
            before, noted = read_access(connection), has_audit(connection)
        if noted:
            with opened(_file(part, "rw"), "AUTOCOMMIT") as connection:
                connection.exec_driver_sql("ATTACH ? AS replaced", (str(database.absolute()),))
                connection.exec_driver_sql(carry_over("replaced.audit"))
    except StoreError:
        return None
    return before


def _take_in(database: Path) -> None:
    """Take what was committed last into the file of a database: a restore that ends halfway leaves that alone."""
    with suppress(StoreError), opened(_file(database, "rw"), "AUTOCOMMIT") as connection:  # a damaged one has none
        connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")


def _copy(database: Path, to: Path) -> None:
    """Copy a SQLite database that others write to at the same time."""
    if not database.exists():
        raise ConfigError(f"{database} is not there: nothing was kept yet")
    with opened(_file(database), "AUTOCOMMIT") as connection:
        connection.exec_driver_sql("VACUUM INTO ?", (str(to),))


def _is_city(file: Path) -> bool:
    try:
        with opened(_file(file)) as connection:
            whole = connection.exec_driver_sql("PRAGMA quick_check").scalar() == "ok"
            return whole and set(inspect(connection).get_table_names()) >= TABLES
    except StoreError:
        return False


def _file(path: Path, mode: str = "ro") -> URL:
    return URL.create("sqlite", database=f"file:{quote(str(path.absolute()))}", query={"mode": mode, "uri": "true"})
