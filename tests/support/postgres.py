"""A real PostgreSQL server for tests: a folder of its own, a free port of loopback, killed and started at will."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import psycopg
from psycopg import sql

from edge_app.city.database.engine import open_database
from edge_app.mqtt.embedded_broker import HOST
from tests.support.brokers import eventually
from tests.support.ports import free_port


def _folder_of_programs() -> Path | None:
    found = [path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/initdb")]
    if not found and (initdb := shutil.which("initdb")):
        found = [Path(initdb).resolve().parent]
    return max(found, default=None)


PROGRAMS = _folder_of_programs()
"""None where no PostgreSQL is installed."""


UNSYNCED = ("fsync=off", "full_page_writes=off")
"""Settings under which only the machine's own end can lose anything, not that of any process."""


class Postgres:
    """A server that is running when it is made. url: of its database. settings: see the server's -c."""

    def __init__(self, folder: Path, *settings: str) -> None:
        assert PROGRAMS
        self.port = free_port()
        self.url = self._url_of("postgres")
        self._folder, self._log = folder / "data", folder / "log"
        self._settings = (f"listen_addresses={HOST}", f"unix_socket_directories={self._folder}", *settings)
        self._raised = 0
        # PostgreSQL refuses to run as root.
        self._user = "nobody" if os.getuid() == 0 else None
        if self._user:
            account = pwd.getpwnam(self._user)
            os.chown(folder, account.pw_uid, account.pw_gid)
        self._run("initdb", "-D", str(self._folder), "-U", "counts", "-A", "trust", "--no-sync", "-E", "UTF8")
        self.start()

    def emptied(self) -> str:
        """Return the URL of its database, with nothing in it; who is connected to it is cut off."""
        # Anew, since thousands of days are more tables than a server drops at once.
        with psycopg.connect(self._url_of("template1"), autocommit=True) as connection:
            connection.execute("DROP DATABASE postgres WITH (FORCE)")
            connection.execute("CREATE DATABASE postgres TEMPLATE template0")
        return self.url

    def raised(self) -> str:
        """Return the URL of a database with all tables and nothing in them, a copy of one that was made once."""
        if not self._raised:
            self._run_sql("CREATE DATABASE pattern")
            open_database(self._url_of("pattern")).close()
        else:
            self._run_sql(f"DROP DATABASE IF EXISTS copy_{self._raised} WITH (FORCE)")
        self._raised += 1
        # A name of its own: what a test has left running finds nothing of the next one.
        self._run_sql(f"CREATE DATABASE copy_{self._raised} TEMPLATE pattern")
        return self._url_of(f"copy_{self._raised}")

    def encoded(self, encoding: str) -> str:
        """Return the URL of an empty database of an encoding."""
        name = encoding.lower()
        self._run_sql(f"CREATE DATABASE {name} ENCODING '{encoding}' LOCALE 'C' TEMPLATE template0")
        return self._url_of(name)

    def _url_of(self, database: str) -> str:
        return f"postgresql://counts@{HOST}:{self.port}/{database}"

    def _run_sql(self, statement: str) -> None:
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(statement)

    @contextlib.contextmanager
    def asking_for(self, password: str) -> Iterator[None]:
        """Let nobody log in without a password (SCRAM) within the context."""
        rules = self._folder / "pg_hba.conf"
        before = rules.read_text("utf-8")
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(sql.SQL("ALTER ROLE counts PASSWORD {}").format(sql.Literal(password)))
            rules.write_text("host all all all scram-sha-256\n", "utf-8")
            connection.execute("SELECT pg_reload_conf()")
            try:
                eventually(lambda: not self._lets_in(), 10.0)
                yield
            finally:
                rules.write_text(before, "utf-8")
                connection.execute("SELECT pg_reload_conf()")
                eventually(self._lets_in, 10.0)

    def start(self) -> None:
        """Start it and wait until it takes connections."""
        assert PROGRAMS
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [
                    *(str(PROGRAMS / "postgres"), "-D", str(self._folder), "-p", str(self.port)),
                    *(part for setting in self._settings for part in ("-c", setting)),
                ],
                stdout=log,
                stderr=log,
                user=self._user,
                cwd="/",
            )
        try:
            eventually(self._answers, 30.0)
        except AssertionError:
            raise AssertionError(self._log.read_text("utf-8", "replace")[-2000:]) from None

    @property
    def pid(self) -> int:
        """Number of the process, whose children belong to it."""
        return self._process.pid

    def kill(self) -> None:
        """Kill it and all its children as a power cut would."""
        children = psutil.Process(self._process.pid).children(recursive=True)
        self._process.send_signal(signal.SIGKILL)
        for child in children:
            with contextlib.suppress(psutil.NoSuchProcess):
                child.kill()
        self._process.wait(10)
        psutil.wait_procs(children, 10)
        with contextlib.suppress(FileNotFoundError):  # nobody is left who works on its files
            (self._folder / "postmaster.pid").unlink()

    def stop(self) -> None:
        """Stop it at once; nothing of it is needed any more."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGQUIT)
            self._process.wait(10)

    def _answers(self) -> bool:
        assert PROGRAMS
        command = [str(PROGRAMS / "pg_isready"), "-h", HOST, "-p", str(self.port), "-q"]
        return subprocess.run(command, check=False).returncode == 0

    def _lets_in(self) -> bool:
        try:
            psycopg.connect(self.url).close()
        except psycopg.OperationalError:
            return False
        return True

    def _run(self, program: str, *arguments: str) -> None:
        assert PROGRAMS
        command = [str(PROGRAMS / program), *arguments]
        subprocess.run(command, check=True, capture_output=True, user=self._user, cwd="/", timeout=60)


@contextlib.contextmanager
def postgres(*settings: str) -> Iterator[Postgres]:
    """Run a server within the context, see Postgres."""
    with tempfile.TemporaryDirectory(prefix="edge-app-postgres-") as name:
        Path(name).chmod(0o755)
        server = Postgres(Path(name), *settings)
        try:
            yield server
        finally:
            server.stop()
