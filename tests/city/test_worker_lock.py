"""One process works under a name; a second one is told who is there."""

from __future__ import annotations

import os
import re
import socket
import threading
from argparse import ArgumentParser
from contextlib import ExitStack
from pathlib import Path

import psycopg
import pytest

from edge_app.city.database.worker_lock import worker_lock
from edge_app.commands import city as command
from edge_app.errors import StoreError
from tests.support.postgres import Postgres

ME = f"process {os.getpid()} on {socket.gethostname()}"
WHO = rf"edge-app-city-1 .* {re.escape(ME)}, since \d{{4}}-\d\d-\d\d \d\d:\d\d UTC"


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.servers)])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "postgresql":
        server: Postgres = request.getfixturevalue("postgres_server")
        return server.emptied()
    return f"sqlite:///{tmp_path}/city.sqlite3"


def test_a_second_worker_of_the_name_is_told_who_is_there_and_one_of_another_name_works(url: str) -> None:
    with worker_lock(url, "edge-app-city-1") as lock:
        lock.hold()
        with pytest.raises(StoreError, match=WHO), worker_lock(url, "edge-app-city-1"):
            raise AssertionError
        with worker_lock(url, "edge-app-city-2"):
            lock.hold()
    with worker_lock(url, "edge-app-city-1"):  # it ends with its holder
        pass


@pytest.mark.servers
def test_a_lost_connection_takes_the_lock_anew_unless_another_has_it(postgres_server: Postgres) -> None:
    url, now = postgres_server.emptied(), [0.0]

    def cut() -> None:
        with psycopg.connect(url) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name LIKE 'edge-app%'"
            )
        now[0] += 10

    with ExitStack() as stack:
        lock = stack.enter_context(worker_lock(url, "edge-app-city-1", clock=lambda: now[0]))
        cut()
        lock.hold()
        with pytest.raises(StoreError, match=WHO):
            stack.enter_context(worker_lock(url, "edge-app-city-1"))
        cut()
        with worker_lock(url, "edge-app-city-1"), pytest.raises(StoreError, match=WHO):
            lock.hold()
        now[0] += 10
        lock.hold()


def test_a_second_service_ends_with_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "city.toml").write_text('[mqtt]\nhost = "127.0.0.1"\nport = 1\n')
    parser = ArgumentParser()
    command.add_arguments(parser)
    given = parser.parse_args(["serve", "--config", str(tmp_path / "city.toml")])
    with worker_lock(f"sqlite:///{tmp_path}/city.sqlite3", "edge-app-city-1"), pytest.raises(StoreError, match=WHO):
        command.main(given, threading.Event())
