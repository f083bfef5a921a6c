"""Databases for the tests of the city side."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_app.city.database.engine import Database, open_database
from tests.support.postgres import PROGRAMS, Postgres, postgres


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Postgres]:
    if PROGRAMS is None:
        pytest.skip("PostgreSQL is not installed (apt install postgresql)")
    with postgres() as server:
        yield server


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.servers)])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """An empty database of each kind."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path / 'city.sqlite3'}"
    else:
        url = request.getfixturevalue("postgres_server").emptied()
    made = open_database(url)
    try:
        yield made
    finally:
        made.close()
