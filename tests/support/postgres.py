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

import psycopg
from psycopg import sql

from edge_app.mqtt.embedded_broker import HOST
from tests.support.brokers import eventually, free_port


def _folder_of_programs() -> Path | None:
    found = [path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/initdb")]
    if not found and (initdb := shutil.which("initdb")):
        found = [Path(initdb).resolve().parent]
    return max(found, default=None)


PROGRAMS = _folder_of_programs()
"""None where no PostgreSQL is installed."""


class Postgres:
    """A server that is running when it is made. url: of its database."""

    def __init__(self, folder: Path) -> None:
        assert PROGRAMS
        self.port = free_port()
        self.url = f"postgresql://counts@{HOST}:{self.port}/postgres"
        self._folder, self._log = folder / "data", folder / "log"
        # PostgreSQL refuses to run as root.
        self._user = "nobody" if os.getuid() == 0 else None
        if self._user:
            account = pwd.getpwnam(self._user)
            os.chown(folder, account.pw_uid, account.pw_gid)
        self._run("initdb", "-D", str(self._folder), "-U", "counts", "-A", "trust", "--no-sync", "-E", "UTF8")
        self.start()

    def emptied(self) -> str:
        """Return the URL of its database, with nothing in it."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            # Thousands of days are more than a server locks at once.
            for (name,) in connection.execute(
                "SELECT relname FROM pg_class WHERE relname ~ '^counts_[0-9]+$'"
            ).fetchall():
                connection.execute(sql.SQL("DROP TABLE {}").format(sql.Identifier(name)))
            connection.execute("DROP SCHEMA public CASCADE")
            connection.execute("CREATE SCHEMA public")
        return self.url

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
                    *("-c", f"listen_addresses={HOST}", "-c", f"unix_socket_directories={self._folder}"),
                ],
                stdout=log,
                stderr=log,
                user=self._user,
                cwd="/",
            )
        eventually(self._answers, 30.0)

    @property
    def pid(self) -> int:
        """Number of the process, whose children belong to it."""
        return self._process.pid

    def kill(self) -> None:
        """Kill it and all its children as a power cut would."""
        self._process.send_signal(signal.SIGKILL)
        self._process.wait(10)
        with contextlib.suppress(FileNotFoundError):  # its children notice; the next start waits for their memory
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
def postgres() -> Iterator[Postgres]:
    """Run a server within the context."""
    with tempfile.TemporaryDirectory(prefix="edge-app-postgres-") as name:
        Path(name).chmod(0o755)
        server = Postgres(Path(name))
        try:
            yield server
        finally:
            server.stop()
