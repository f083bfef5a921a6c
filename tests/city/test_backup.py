"""Rehearse the loss of a city's database: back up while counts come in, lose it, restore, and see what is asked for."""

from __future__ import annotations

import errno
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import func, select

from edge_app import cli
from edge_app.city.database import accounts
from edge_app.city.database.audit import note_change, read_audit
from edge_app.city.database.backup import back_up, restore
from edge_app.city.database.engine import Connection, open_database
from edge_app.city.database.missing import find_gaps
from edge_app.city.database.storing import Storing
from edge_app.city.database.tables import INTERVAL
from edge_app.city.database.worker_lock import worker_lock
from edge_app.city.records import Gap, Interval
from edge_app.errors import StoreError
from tests.city.cases import NAME, START, series
from tests.support.postgres import Postgres

BATCH = 10
PASSWORD = "four random words"
SERIES = series(400)


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.servers)])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database of each kind, and city.toml beside it."""
    made = "sqlite:///city.sqlite3"
    if request.param == "postgresql":
        made = request.getfixturevalue("postgres_server").emptied()
    login = 'username = "counts"\n' if request.param == "postgresql" else ""
    (tmp_path / "city.toml").write_text(f'[database]\nurl = "{made.replace("counts@", "")}"\n{login}')
    return made.replace("sqlite:///", f"sqlite:///{tmp_path}/")


def city(folder: Path, command: str, *arguments: str) -> int:
    return cli.main(["city", command, str(folder / "saved"), "--config", str(folder / "city.toml"), *arguments])


def store(url: str, intervals: list[Interval], stop: threading.Event | None = None) -> int:
    """Store batches, each in a transaction, until a stop; return how many intervals there are then."""
    database, storing = open_database(url), Storing()
    try:
        for at in range(0, len(intervals), BATCH):
            with database.begin() as connection:
                storing.store(connection, intervals[at : at + BATCH], START)
            if stop is not None and stop.is_set():
                break
        with database.connect() as connection:
            return connection.execute(select(func.count()).select_from(INTERVAL)).scalar_one()
    finally:
        database.close()


def gaps(url: str) -> list[Gap]:
    database = open_database(url)
    try:
        with database.connect() as connection:
            return list(find_gaps(connection))
    finally:
        database.close()


def audit(connection: Connection) -> list[tuple[str, str, str, dict[str, list[object]]]]:
    return [(row.who, row.action, row.subject, row.change) for row in read_audit(connection)]


def test_a_lost_database_comes_back_and_the_rest_is_asked_for(url: str, tmp_path: Path) -> None:
    assert store(url, SERIES[:50]) == 50
    stop = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(store, url, SERIES[50:350], stop)
        assert city(tmp_path, "backup") == 0
        stop.set()
    assert (tmp_path / "saved").stat().st_mode & 0o077 == 0
    assert city(tmp_path, "restore") == 2  # there are tables
    assert city(tmp_path, "restore", "--replace") == 0
    saved = store(url, [])
    assert 50 <= saved <= writing.result()
    assert saved % BATCH == 0  # whole batches: one moment of all tables
    assert gaps(url) == []
    store(url, [SERIES[399]])
    assert gaps(url) == [Gap(NAME, "5b1f09c4", saved + 1, 399)]


def test_a_restore_into_an_empty_place_needs_no_word_more(
    url: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    store(url, SERIES[:30])
    assert city(tmp_path, "backup") == 0
    if url.startswith("sqlite"):
        (tmp_path / "city.sqlite3").unlink()
    else:
        request.getfixturevalue("postgres_server").emptied()
    assert city(tmp_path, "restore") == 0
    assert store(url, []) == 30


def test_what_cannot_be_done_is_one_sentence_and_changes_nothing(
    url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*arguments: str) -> str:
        assert city(tmp_path, *arguments) != 0
        (sentence,) = capsys.readouterr().err.splitlines()
        return sentence

    store(url, SERIES[:10])
    assert "saved is not there" in refused("restore", "--replace")
    (tmp_path / "saved").write_bytes(b"no backup")
    assert "is there already" in refused("backup")
    assert "is no backup of a city's" in refused("restore", "--replace")
    (tmp_path / "saved").unlink()
    assert city(tmp_path, "backup") == 0
    whole = (tmp_path / "saved").read_bytes()
    (tmp_path / "saved").write_bytes(whole[: len(whole) * 9 // 10])
    capsys.readouterr()
    assert "backup" in refused("restore", "--replace")
    assert store(url, []) == 10
    (tmp_path / "saved").unlink()
    if not url.startswith("sqlite"):
        monkeypatch.setenv("PATH", "")
        assert "pg_dump is not installed" in refused("backup")
    assert not (tmp_path / "saved").exists()
    assert sorted(path.name for path in tmp_path.iterdir() if ".part" in path.name) == []
    assert store(url, []) == 10


def test_a_restore_tells_who_may_come_in_again_and_keeps_the_audit(
    url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with closing(open_database(url)) as database:
        with database.begin() as connection:
            accounts.add_account(connection, "anna", "administrator", PASSWORD, "test", START)
            accounts.add_account(connection, "carl", "viewer", PASSWORD, "test", START)
            accounts.add_account(connection, "dora", "viewer", PASSWORD, "test", START)
            leaked = accounts.add_token(connection, "leaked", "admin", None, "test", START)
            accounts.add_token(connection, "kept", "read", None, "test", START)
            login = accounts.begin_login(connection, "anna", START)
            note_change(connection, START, "test", "twice", "quay")
        assert city(tmp_path, "backup") == 0
        with database.begin() as connection:
            accounts.remove_token(connection, "leaked", "test", START)
            accounts.add_token(connection, "later", "read", None, "test", START)
            accounts.add_account(connection, "ben", "viewer", PASSWORD, "test", START)
            accounts.remove_account(connection, "carl", "test", START)
            accounts.change_account(connection, "dora", "test", START, password="another four words")
            note_change(connection, START, "test", "twice", "quay")
            note_change(connection, START, "test", "odd", "it's \\ %s :x", {"é": (None, '"')})
            noted = audit(connection)
    capsys.readouterr()
    assert city(tmp_path, "restore", "--replace") == 0
    assert capsys.readouterr().out.splitlines()[:-1] == [
        "tokens that are valid again: leaked",
        "tokens that are no longer there: later",
        "users that are there again: carl",
        "users that are no longer there: ben",
        "users with the role and the password of the backup: dora",
    ]
    with closing(open_database(url)) as database, database.connect() as connection:
        assert accounts.find_token(connection, leaked, START).name == "leaked"
        assert accounts.find_login(connection, login, START) is None
        (restored, *rest) = audit(connection)
    assert rest == noted
    assert (restored[1], restored[2], restored[3]["tokens_back"]) == ("city.restore", "saved", [None, ["leaked"]])
    assert city(tmp_path, "restore", "--replace") == 0  # the same once more: nothing is there twice
    with closing(open_database(url)) as database, database.connect() as connection:
        assert [entry[1:3] for entry in audit(connection)] == [("city.restore", "saved")] * 2 + [
            entry[1:3] for entry in noted
        ]


def test_of_a_damaged_database_it_is_said_that_nothing_is_known(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "city.toml").write_text('[database]\nurl = "sqlite:///city.sqlite3"\n')
    store(f"sqlite:///{tmp_path}/city.sqlite3", SERIES[:10])
    assert city(tmp_path, "backup") == 0
    (tmp_path / "city.sqlite3").write_bytes(b"no database" * 1000)
    assert city(tmp_path, "restore", "--replace") == 0
    assert "there was no database before that could be read" in capsys.readouterr().out
    assert store(f"sqlite:///{tmp_path}/city.sqlite3", []) == 10


def test_nobody_is_at_work_on_a_file_that_is_replaced(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A worker would go on in the file that was there before, and nobody would find what it has acknowledged."""
    url = f"sqlite:///{tmp_path}/city.sqlite3"
    (tmp_path / "city.toml").write_text('[database]\nurl = "sqlite:///city.sqlite3"\n')
    store(url, SERIES[:10])
    assert city(tmp_path, "backup") == 0
    with worker_lock(url, "edge-app-city-1"):
        assert city(tmp_path, "restore", "--replace") == 2
        assert "Stop the city's services, then restore" in " ".join(capsys.readouterr().err.split())
        assert store(url, SERIES[10:20]) == 20
    assert city(tmp_path, "restore", "--replace") == 0
    assert store(url, []) == 10


def test_a_restore_that_ends_halfway_leaves_what_was_committed_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    database, saved = tmp_path / "city.sqlite3", tmp_path / "a.backup"
    open_database(f"sqlite:///{database}").close()
    back_up(f"sqlite:///{database}", saved)
    writer = open_database(f"sqlite:///{database}")
    with writer.begin() as connection:
        Storing().store(connection, series(3), START)
    killed = tmp_path / "killed"  # as a process that was killed leaves it: the last of it is beside the file
    shutil.copytree(tmp_path, killed)
    writer.close()
    assert (killed / "city.sqlite3-wal").stat().st_size

    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, "no room")

    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", fail)
        with pytest.raises(StoreError, match="no room"):
            restore(f"sqlite:///{killed / 'city.sqlite3'}", saved, replace=True, who="test", at=START)
    again = open_database(f"sqlite:///{killed / 'city.sqlite3'}")
    with again.connect() as connection:
        assert connection.execute(select(func.count()).select_from(INTERVAL)).scalar() == 3
    again.close()
    (killed / "city.sqlite3").chmod(0o640)
    restore(f"sqlite:///{killed / 'city.sqlite3'}", saved, replace=True, who="test", at=START)
    assert (killed / "city.sqlite3").stat().st_mode & 0o777 == 0o640


@pytest.mark.servers
def test_a_database_with_a_password_is_saved_and_comes_back(
    postgres_server: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    password = "a: b@c/%"
    url = postgres_server.emptied()
    text = f'[database]\nurl = "{url.replace("counts@", "")}"\nusername = "counts"\n'
    (tmp_path / "city.toml").write_text(text)
    store(url, SERIES[:10])
    with postgres_server.asking_for(password):
        monkeypatch.setenv("EDGE_APP_DATABASE_PASSWORD", "another")
        assert city(tmp_path, "backup") == 1
        monkeypatch.setenv("EDGE_APP_DATABASE_PASSWORD", password)
        assert city(tmp_path, "backup") == 0
        assert city(tmp_path, "restore", "--replace") == 0
    assert store(url, []) == 10


DAY_S = 86_400
DAYS = series(1825, start=START // DAY_S * DAY_S - 1825 * DAY_S, length=DAY_S)


@pytest.mark.servers
def test_more_days_than_are_locked_at_once_come_back_part_by_part(
    postgres_server: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    url = postgres_server.emptied()
    (tmp_path / "city.toml").write_text(f'[database]\nurl = "{url.replace("counts@", "")}"\nusername = "counts"\n')
    store(url, DAYS[:20])
    assert city(tmp_path, "backup") == 0
    monkeypatch.setattr("edge_app.city.database.server_backup._SHARE", 1e-3)  # room for six locks
    assert city(tmp_path, "restore", "--replace") == 2  # nothing of what is there may be lost by a restore that fails
    assert "max_locks_per_transaction = " in capsys.readouterr().err
    assert store(url, []) == 20
    postgres_server.emptied()
    whole = (tmp_path / "saved").read_bytes()
    (tmp_path / "saved").write_bytes(whole[:-40])
    assert city(tmp_path, "restore") == 1
    with psycopg.connect(url) as connection:
        assert connection.execute("SELECT count(*) FROM pg_class WHERE relname LIKE 'counts%'").fetchone() == (0,)
        connection.execute("CREATE TABLE counts_20000 ()")  # what a restore leaves that was killed
        connection.execute("CREATE TABLE alembic_version ()")
        connection.execute("CREATE SEQUENCE IF NOT EXISTS office_order_id_seq")
    (tmp_path / "saved").write_bytes(whole)
    assert city(tmp_path, "restore") == 0
    assert store(url, []) == 20
    assert store(url, DAYS[19:30]) == 30
    assert city(tmp_path, "restore") == 2  # there are tables


@pytest.mark.servers
@pytest.mark.long
@pytest.mark.timeout(1800)
def test_five_years_of_days_are_rehearsed(postgres_server: Postgres, tmp_path: Path) -> None:
    url = postgres_server.emptied()
    (tmp_path / "city.toml").write_text(f'[database]\nurl = "{url.replace("counts@", "")}"\nusername = "counts"\n')
    assert store(url, DAYS) == len(DAYS)
    assert city(tmp_path, "backup") == 0
    postgres_server.emptied()
    assert city(tmp_path, "restore") == 0
    assert store(url, []) == len(DAYS)
    with psycopg.connect(url) as connection:
        found = connection.execute("SELECT count(*) FROM pg_inherits WHERE inhparent = 'counts'::regclass").fetchone()
    assert found == (len(DAYS),)
