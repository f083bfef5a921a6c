"""The migrations make the tables that the program knows, and a database of another release is told."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import Connection, MetaData, create_engine, select, text

from edge_app.city.database.engine import Database, open_database, state_of
from edge_app.city.database.inventory import read_inventory
from edge_app.city.database.tables import METADATA, QUARTER, SERIES, STEP
from edge_app.city.records import COLUMNS
from edge_app.errors import ConfigError, StoreError
from tests.support.paths import ROOT
from tests.support.postgres import Postgres

FIRST_RELEASE = (
    "INSERT INTO counting_line (id, topic_site, device, name, told, longest_s)"
    " VALUES (1, 'harbour', 'pole-7', 'quay-road', '[]', 60)",
    "INSERT INTO site (id, road, time_zone, left_name, right_name, lanes, public, by_hand)"
    " VALUES ('quay', 'Quay Road', 'Europe/Amsterdam', '', '', 2, true, true)",
    "INSERT INTO attachment (id, site_id, line_id, begins, turned) VALUES (1, 'quay', 1, 0, false)",
    "INSERT INTO series (id, line_id, installation, ranges, newest_told, gone)"
    " VALUES (5, 1, '5b1f09c4', '[]', 0, '[]')",
    *(
        "INSERT INTO counts VALUES"
        f" (1, {start}, '{start:032x}', 0, 5, 1, 1, 60, 9, 0, 1.0, {', '.join('0' * 10)}, {aside}, NULL)"
        for start, aside in ((60, "true"), (180, "false"), (120, "false"))
    ),
)

_SUMS = f"({{0}}, start, covered_s, length_s, straddling_s, flagged_s, {', '.join(COLUMNS)}"
_SUMMED = f"0, 840.5, 900, 0, 60, {', '.join(map(str, range(10)))}"
ADDED_BY = {
    "0001": (
        f"INSERT INTO quarter {_SUMS.format('line_id')}, intervals, flags, settings)"
        f" VALUES (1, {_SUMMED}, 15, '{{}}', '[]')",
        f"INSERT INTO step {_SUMS.format('step, site_id')}) VALUES ('hour', 'quay', {_SUMMED})",
        "INSERT INTO device (topic_site, device, state, heard, version, contract, health, meta)"
        " VALUES ('harbour', 'pole-7', 'online', 60, '1.0.0', '1.0', '{}', '{}')",
        "INSERT INTO poison VALUES (1, 'traffic/v1/x', '{', 'no JSON', 60)",
    ),
    "0002": (
        "INSERT INTO audit (id, at, who, action, subject, change) VALUES (1, 60, 'ann', 'site changed', 'quay', '{}')",
    ),
    "0003": (
        "INSERT INTO account (name, role, password, made) VALUES ('ann', 'engineer', 'hash', 60)",
        "INSERT INTO login (digest, account, csrf, began, used) VALUES ('d1', 'ann', 'c', 60, 61)",
        "INSERT INTO token (name, digest, scope, made, ends) VALUES ('feed', 'd2', 'read', 60, NULL)",
    ),
    "0004": ("INSERT INTO archived VALUES (0, 0, '1970/0.parquet', 1440, 99, 4096, 'ab', 60, '', '')",),
    "0005": ("INSERT INTO lost_file VALUES ('1970/1.parquet', 0, 1, 1440, 98, 4096, 'cd', 'disk', 'ann', 60)",),
    "0007": ("INSERT INTO closed_gap VALUES (1, 1, '5b1f09c4', 4, 6, 1, 60, 70)",),
    "0008": (
        "INSERT INTO rollout (id, name, candidate, key, bundle, cascade, state, group_no, group_begins, since, why,"
        " who, changed, version, evidence)"
        " VALUES (1, 'autumn', 'ef', 'detector', '{}', '{}', 'paused', 0, '[60]', 60, '', 'ann', 61, 3, '{}')",
        "INSERT INTO rollout_device (rollout_id, topic_site, device, group_no, state, reason, changed, fetched, tries,"
        " former, before, drifted)"
        " VALUES (1, 'harbour', 'pole-7', 0, 'trying', '', 61, true, 2, '01', '{}', false)",
        "INSERT INTO rollout_event VALUES (1, 1, 60, 'ann', 'started', '', '')",
        "INSERT INTO office_order VALUES (1, 'ann', 60, 'restart', 'harbour/pole-7', '{}', 'sent', '', 61)",
    ),
    "0009": (
        "INSERT INTO figure VALUES ('harbour', 'pole-7', 900, '{}')",
        "INSERT INTO review (id, line_id, at, arrived, label, direction, score, doubtful, stands_for, model, box,"
        " answer, who, answered)"
        f" VALUES ('{7:032x}', 1, 60, 61, 'bus', 'left_to_right', 0.5, true, 4, 'm', '[0, 0, 9, 9]', 'truck', 'ann',"
        " 70)",
    ),
    "0010": ("INSERT INTO comparable_line VALUES ('harbour', 'pole-7', 'quay-road', '0 0 1 1', 'ann', 60)",),
    "0012": ("INSERT INTO forgotten_contradictions VALUES ('totals', 4)",),
}
"""Rows that a release could store first in the tables of its revision."""


def stored_by(revision: str) -> tuple[str, ...]:
    """Return what the releases up to this revision have stored."""
    return FIRST_RELEASE + tuple(row for of, rows in ADDED_BY.items() if of <= revision for row in rows)


def rows_of(connection: Connection) -> dict[str, list[dict[str, Any]]]:
    """Return the rows of all tables, without those of the migrations themselves."""
    found = MetaData()
    found.reflect(connection)
    tables = (table for table in found.sorted_tables if table.name not in ("alembic_version", "counts_0"))
    return {
        table.name: [dict(row) for row in connection.execute(select(table).order_by(*table.primary_key)).mappings()]
        for table in tables
    }


REVISIONS = (
    "0001",
    "0002",
    "0003",
    "0004",
    "0005",
    "0006",
    "0007",
    "0008",
    "0009",
    "0010",
    "0011",
    "0012",
    "0013",
    "0014",
    "0015",
    "0016",
)
"""Tables of the releases so far."""


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.servers)])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=REVISIONS)
def revision(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def former_release(request: pytest.FixtureRequest, tmp_path: Path, kind: str, revision: str) -> str:
    """The URL of a database as a release has left it, with a site in it that the first one could have made."""
    if kind == "sqlite":
        url = f"sqlite:///{tmp_path / 'city.sqlite3'}"
    else:
        url = request.getfixturevalue("postgres_server").emptied()
    engine = create_engine(url.replace("postgresql:", "postgresql+psycopg:"))
    config = Config()
    config.set_main_option("script_location", str(ROOT / "edge_app/city/migrations"))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
        if kind == "postgresql":
            connection.execute(text("CREATE TABLE counts_0 PARTITION OF counts FOR VALUES FROM (0) TO (86400)"))
        for statement in stored_by(revision):
            connection.execute(text(statement))
    engine.dispose()
    return url


def test_the_migrations_make_the_tables_of_this_release(database: Database) -> None:
    with database.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, METADATA) == []


def test_what_any_release_has_stored_is_still_there(former_release: str, revision: str) -> None:
    database = open_database(former_release)
    try:
        with database.connect() as connection:
            (site,) = read_inventory(connection)
            assert (site.id, site.lanes, site.public, site.course) == ("quay", 2, True, None)
            begins = 120 if revision < "0004" else None  # from then on stored with each interval
            assert connection.execute(select(SERIES.c.begins)).scalars().all() == [begins]
            (attachment,) = site.attachments
            assert (attachment.device, attachment.line, attachment.breaks) == ("harbour/pole-7", "quay-road", False)
            opts: dict[str, Any] = {"compare_type": True, "include_name": lambda name, *_: name != "counts_0"}
            context = MigrationContext.configure(connection, opts=opts)
            assert compare_metadata(context, METADATA) == []
    finally:
        database.close()


def test_every_row_of_a_release_is_still_there_as_it_was(former_release: str, revision: str) -> None:
    engine = create_engine(former_release.replace("postgresql:", "postgresql+psycopg:"))
    with engine.connect() as connection:
        before = rows_of(connection)
    open_database(former_release).close()
    with engine.connect() as connection:
        after = rows_of(connection)
    engine.dispose()
    assert sum(map(len, before.values())) == len(stored_by(revision))
    for table, rows in before.items():
        kept = [{key: row[key] for key in was} for row, was in zip(after[table], rows, strict=True)]
        assert kept == rows


@pytest.mark.parametrize("revision", ["0001", "0013"], indirect=True)
def test_sums_of_nothing_are_deleted_and_steps_tell_what_lies_beyond_their_own_end(former_release: str) -> None:
    """Hours of zero, of which no interval was the step's own, and the sum of what lay beyond quarters."""
    summed = f"0, {{}}, {{}}, {', '.join('0' * len(COLUMNS))}"
    quarters = {0: 600, 6_300: 1_500, 8_100: 0, 10_800: 0}  # start -> seconds beyond its end
    engine = create_engine(former_release.replace("postgresql:", "postgresql+psycopg:"))
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM quarter"))
        connection.execute(text("DELETE FROM step"))
        connection.execute(text("UPDATE site SET time_zone = 'UTC'"))
        for start, beyond in quarters.items():
            length = 0 if start == 10_800 else 900
            names, values = _SUMS.format("line_id"), f"1, {start}, {summed.format(length, f'{beyond}, 0')}"
            more = f"intervals, flags, settings) VALUES ({values}, {length // 900}, '{{}}', '[]')"
            connection.execute(text(f"INSERT INTO quarter {names}, {more}"))
        for step, start, length, beyond in (
            ("hour", 0, 900, 600),
            ("hour", 3_600, 900, 1_500),
            ("hour", 7_200, 900, 0),
            ("hour", 10_800, 0, 0),
            ("day", 0, 2_700, 2_100),
        ):
            values = f"'{step}', 'quay', {start}, {summed.format(length, f'{beyond}, 0')}"
            connection.execute(text(f"INSERT INTO step {_SUMS.format('step, site_id')}) VALUES ({values})"))
    engine.dispose()
    database = open_database(former_release)
    with database.connect() as connection:
        assert connection.execute(select(QUARTER.c.start).order_by(QUARTER.c.start)).scalars().all() == [
            0,
            6_300,
            8_100,
        ]
        rows = connection.execute(select(STEP.c.step, STEP.c.start, STEP.c.straddling_s).order_by(STEP.c.start))
        assert sorted(map(tuple, rows)) == [("day", 0, 0), ("hour", 0, 0), ("hour", 3_600, 1_500), ("hour", 7_200, 0)]
    database.close()


def test_every_release_before_this_one_is_tried() -> None:
    versions = sorted(path.name[:4] for path in (ROOT / "edge_app/city/migrations/versions").glob("0*.py"))
    assert tuple(versions[:-1]) == REVISIONS


def test_only_a_start_that_changes_tables_says_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    url = f"sqlite:///{tmp_path / 'city.sqlite3'}"
    for _ in range(2):
        open_database(url).close()
    assert [record.getMessage() for record in caplog.records] == [
        f"database {tmp_path / 'city.sqlite3'}: its tables are made"
    ]


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
    for url in ("postgresql://h:x/y", "mysql://127.0.0.1/counts", "nothing"):
        with pytest.raises(ConfigError, match="must be postgresql://"):
            open_database(url)


@pytest.mark.servers
@pytest.mark.parametrize("encoding", ["SQL_ASCII", "LATIN1"])
def test_a_database_without_room_for_every_text_is_refused(postgres_server: Postgres, encoding: str) -> None:
    """A server that was set up without a locale makes such databases by itself."""
    url = postgres_server.encoded(encoding)
    for use in (open_database, state_of):
        with pytest.raises(StoreError, match=f"encoding is {encoding}, .* createdb --encoding UTF8"):
            use(url)


def test_programs_that_start_together_on_an_empty_database_raise_its_tables_once(tmp_path: Path) -> None:
    raise_together(f"sqlite:///{tmp_path}/city.sqlite3")


@pytest.mark.servers
def test_programs_that_start_together_on_an_empty_server_raise_its_tables_once(postgres_server: Postgres) -> None:
    raise_together(postgres_server.emptied())


def raise_together(url: str) -> None:
    """Open a database by three programs at once."""
    program = "import sys; from edge_app.city.database.engine import open_database; open_database(sys.argv[1]).close()"
    started = [
        subprocess.Popen([sys.executable, "-c", program, url], cwd=ROOT, stderr=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    for one in started:
        _, told = one.communicate(timeout=60)
        assert one.returncode == 0, told
