"""Databases for the tests of the city side."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from edge_app.city.database.engine import open_database
from tests.support.postgres import PROGRAMS, Postgres, postgres


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Postgres]:
    if PROGRAMS is None:
        pytest.skip("PostgreSQL is not installed (apt install postgresql)")
    with postgres() as server:
        yield server


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.servers)])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    """An empty database of each kind."""
    if request.param == "sqlite":
        made = open_database(f"sqlite:///{tmp_path / 'city.sqlite3'}")
    else:
        server: Postgres = request.getfixturevalue("postgres_server")
        made = open_database(server.url)
        made.dispose()
        with made.begin() as connection:
            connection.execute(text("DROP SCHEMA public CASCADE"))
            connection.execute(text("CREATE SCHEMA public"))
        made.dispose()
        made = open_database(server.url)
    try:
        yield made
    finally:
        made.dispose()
