"""Databases for the tests of the city side."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_app.city.database.engine import Database, open_database
from tests.support.postgres import PROGRAMS, UNSYNCED, Postgres, postgres


@pytest.fixture(autouse=True)
def cheap_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a comparison of passwords take no time; a hash says itself what it costs."""
    monkeypatch.setattr("edge_app.web.passwords._N", 2**8)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Postgres]:
    if PROGRAMS is None:
        pytest.skip("PostgreSQL is not installed (apt install postgresql)")
    with postgres(*UNSYNCED) as server:
        yield server


@pytest.fixture(scope="session")
def empty_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of SQLite with all tables, made once: the migrations take longer than most tests."""
    file = tmp_path_factory.mktemp("city") / "city.sqlite3"
    open_database(f"sqlite:///{file}").close()
    return file


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.servers)])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """An empty database of each kind."""
    if request.param == "sqlite":
        file = shutil.copy(request.getfixturevalue("empty_file"), tmp_path / "city.sqlite3")
        url = f"sqlite:///{file}"
    else:
        url = request.getfixturevalue("postgres_server").raised()
    made = open_database(url)
    try:
        yield made
    finally:
        made.close()
