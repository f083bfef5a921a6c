"""Whoever writes waits for the one before, and for no more: a backlog keeps nobody from saving on the page."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from edge_app.city.api import build_api
from edge_app.city.database.engine import Database, open_database
from edge_app.city.database.turns import Turns
from edge_app.city.live import Live
from edge_app.city.portion import Portion
from edge_app.city.routes.city import City
from edge_app.errors import StoreError
from tests.support.brokers import eventually
from tests.support.city_api import client_of

SITE = {"road": "Quay Road", "time_zone": "UTC"}


@contextmanager
def database_in(folder: Path) -> Iterator[Database]:
    database = open_database(f"sqlite:///{folder / 'city.sqlite3'}")
    try:
        yield database
    finally:
        database.close()


@contextmanager
def writing_all_the_time(database: Database) -> Iterator[list[float]]:
    """Let a thread write without a pause, each time for a while; yield the times of its commits."""
    stop, commits = threading.Event(), list[float]()

    def write() -> None:
        while not stop.is_set():
            with database.begin() as connection:
                connection.execute(text("UPDATE alembic_version SET version_num = version_num"))
                time.sleep(0.05)
            commits.append(time.monotonic())

    thread = threading.Thread(target=write)
    thread.start()
    try:
        eventually(lambda: bool(commits) or stop.wait(0.01))
        yield commits
    finally:
        stop.set()
        thread.join(10)


def test_a_site_is_saved_while_a_backlog_is_stored(tmp_path: Path) -> None:
    with (
        database_in(tmp_path) as database,
        client_of(build_api(City(database, Live()))) as client,
        writing_all_the_time(database) as commits,
    ):
        for number in range(5):
            before = len(commits)
            assert client.put(f"/api/v1/inventory/quay-{number}", json=SITE).status_code == 200
            assert len(commits) - before < 10  # in turn, and not when it is lucky


def test_turns_are_in_the_order_in_which_they_are_asked_for() -> None:
    turns, order, threads = Turns(), list[int](), list[threading.Thread]()

    def take(number: int) -> None:
        with turns.turn(10.0):
            order.append(number)

    with turns.turn(10.0):
        for number in range(5):
            threads.append(threading.Thread(target=take, args=(number,)))
            threads[-1].start()
            while len(turns._waiting) < number + 2:
                time.sleep(0.001)
    for thread in threads:
        thread.join(10)
    assert order == [0, 1, 2, 3, 4]


def test_who_waits_too_long_is_told_and_holds_nobody_up() -> None:
    turns = Turns()
    with turns.turn(1.0), pytest.raises(StoreError, match="try again in a minute"), turns.turn(0.01):
        pass
    with turns.turn(0.01):
        pass


def test_another_program_that_writes_is_told_as_such(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge_app.city.database.engine._WAIT_S", 0.05)
    with database_in(tmp_path) as database, client_of(build_api(City(database, Live()))) as client:
        other = create_engine(f"sqlite:///{tmp_path / 'city.sqlite3'}")
        with other.begin() as connection:
            connection.execute(text("UPDATE alembic_version SET version_num = version_num"))
            answer = client.put("/api/v1/inventory/quay", json=SITE)
        other.dispose()
        assert answer.status_code == 503
        assert answer.json()["code"] == "busy"
        assert "another program writes to the database: try again in a minute" in answer.json()["detail"]
        assert client.put("/api/v1/inventory/quay", json=SITE).status_code == 200


def test_a_portion_follows_the_machine() -> None:
    portion = Portion(50, 2_000)
    sizes = []
    for _ in range(7):
        portion.took(portion.size, 0.1)
        sizes.append(portion.size)
    assert sizes == [100, 200, 400, 800, 1_600, 2_000, 2_000]
    portion.took(2_000, 3.0)
    assert portion.size == 1_000
    portion.took(10, 0.01)  # little was there
    assert portion.size == 1_000
    for _ in range(9):
        portion.took(portion.size, 3.0)
    assert portion.size == 50
