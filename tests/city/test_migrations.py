"""The migrations make the tables that the program knows, and a database of another release is told."""

from __future__ import annotations

from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import text

from edge_app.city.database.engine import Database, open_database
from edge_app.city.database.tables import METADATA
from edge_app.errors import ConfigError, StoreError


def test_the_migrations_make_the_tables_of_this_release(database: Database) -> None:
    with database.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, METADATA) == []


def test_a_database_of_a_newer_release_is_left_alone(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'city.sqlite3'}"
    database = open_database(url)
    with database.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    database.close()
    with pytest.raises(StoreError, match="made by a newer release"):
        open_database(url)


def test_what_is_no_database_is_told(tmp_path: Path) -> None:
    (tmp_path / "city.sqlite3").write_bytes(b"no database" * 100)
    with pytest.raises(StoreError, match="cannot be used"):
        open_database(f"sqlite:///{tmp_path / 'city.sqlite3'}")
    with pytest.raises(StoreError, match=r"cannot be used.*127\.0\.0\.1"):
        open_database("postgresql://counts:secret@127.0.0.1:1/counts")
    for url in ("mysql://127.0.0.1/counts", "nothing"):
        with pytest.raises(ConfigError, match="must be postgresql://"):
            open_database(url)
