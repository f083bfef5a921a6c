"""The minutes of a site can be read: from the database and the archive, with what counts of them in the sums."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from datetime import timezone
from pathlib import Path

import duckdb
import httpx
import pytest
from sqlalchemy import update

from edge_app.city.api import build_api
from edge_app.city.archive import Archive
from edge_app.city.archiving import Archiving
from edge_app.city.database.engine import Database
from edge_app.city.database.intervals import stretch_of_site
from edge_app.city.database.tables import ATTACHMENT
from edge_app.city.interval_tables import interval_table
from edge_app.city.live import Live
from edge_app.city.records import Settings
from edge_app.city.routes.city import City
from tests.city.cases import START, changed, series, vector
from tests.city.test_api import at, span
from tests.city.test_storing import make_site, roll, store
from tests.support.city_api import client_of


@pytest.fixture
def client(database: Database, tmp_path: Path) -> Iterator[httpx.Client]:
    database.archive = Archive(tmp_path / "archive")
    with client_of(build_api(City(database, Live(), utc=lambda: START + 600.0))) as made:
        yield made


def test_minutes_are_told_as_they_came_from_database_and_archive(database: Database, client: httpx.Client) -> None:
    site, (first, second, third) = make_site(database), series(3)
    dark = changed(second, settings=Settings("m", "c", "b", 60.0, "dark,slow"), coverage=0.5)
    other = changed(series(1, installation="later", start=START + 30)[0], counts=vector(7, truck_right_to_left=2))
    store(database, [first, dark, third, other])
    roll(database)
    with database.begin() as connection:
        connection.execute(update(ATTACHMENT).values(turned=True))
    path, asked = f"/api/v1/sites/{site}/intervals", {"from": at(START), "to": at(START + 180)}
    told = client.get(path, params=asked).json()
    assert [(one["start"], one["end"], one["counted"]) for one in told["intervals"]][-1] == (
        at(START + 120),
        at(START + 180),
        True,
    )
    (quarter,) = client.get(f"/api/v1/sites/{site}/counts", params=span(START - 900, step="quarter")).json()["steps"]
    for label in ("car", "truck"):
        for way in ("left_to_right", "right_to_left"):
            counted = sum(one["counts"][label][way] for one in told["intervals"] if one["counted"])
            assert counted == quarter["counts"][label][way]
    assert [one["counted"] for one in told["intervals"]].count(False) in (1, 2)
    mine = next(one for one in told["intervals"] if one["model"] == "m")
    assert (mine["covered"], mine["flags"], mine["config"], mine["late"]) == (0.5, ["dark", "slow"], "c", True)
    assert mine["counts"]["car"] == {"left_to_right": 0, "right_to_left": 2}
    rows = list(csv.DictReader(client.get(f"{path}.csv", params={**asked, "class": "car"}).text.splitlines()))
    assert [int(row["seq"]) for row in rows] == [one["seq"] for one in told["intervals"]]
    assert "truck_right_to_left" not in rows[0]
    with database.connect() as connection:
        assert stretch_of_site(connection, site) == (START, START + 121)
        assert stretch_of_site(connection, "nowhere") == (0, 0)
    assert database.archive
    moved = list(Archiving(database, database.archive, 90, utc=lambda: START + 100 * 86_400.0).move())
    assert sum(one.intervals for one in moved) == 4
    assert client.get(path, params=asked).json() == told
    with database.connect() as connection:  # of the archive the days are known alone
        assert stretch_of_site(connection, site) == (START // 86_400 * 86_400, (START // 86_400 + 1) * 86_400)


def rows_of(table: duckdb.DuckDBPyRelation) -> list[dict[str, str]]:
    """Return the rows of a Parquet file as a CSV file writes them."""
    kinds = dict(zip(table.columns, map(str, table.types), strict=True))
    found = []
    for row in table.fetchall():
        told = dict(zip(table.columns, row, strict=True))
        for name, kind in kinds.items():
            if kind == "TIMESTAMP WITH TIME ZONE":
                told[name] = told[name].astimezone(timezone.utc).isoformat()
            elif kind == "BOOLEAN":
                told[name] = "true" if told[name] else "false"
        found.append({name: str(value) for name, value in told.items()})
    return found


def test_files_tell_what_json_tells_with_the_same_columns(
    database: Database, client: httpx.Client, tmp_path: Path
) -> None:
    """An empty text is an empty one in Parquet too, and what a spreadsheet would calculate is as it was told."""
    site, (first, second, third) = make_site(database), series(3, installation="")
    odd = changed(second, settings=Settings("=1+1", 'a "b", c', "", 60.0, "dark,slow"), coverage=0.25)
    store(database, [first, odd, changed(third, counts=vector(2, truck_right_to_left=4))])
    path, asked = f"/api/v1/sites/{site}/intervals", {"from": at(START), "to": at(START + 180)}
    told = client.get(path, params=asked).json()["intervals"]
    answer = client.get(f"{path}.parquet", params=asked)
    assert answer.headers["content-type"] == "application/vnd.apache.parquet"
    assert answer.headers["content-disposition"] == f'attachment; filename="{site}-2026-11-18-intervals.parquet"'
    (tmp_path / "intervals.parquet").write_bytes(answer.content)
    table = duckdb.read_parquet(str(tmp_path / "intervals.parquet"))
    assert dict(zip(table.columns, map(str, table.types), strict=True)) == {
        name: kind.replace("TIMESTAMPTZ", "TIMESTAMP WITH TIME ZONE") for name, kind in interval_table().columns.items()
    }
    read, written = rows_of(table), list(csv.DictReader(client.get(f"{path}.csv", params=asked).text.splitlines()))
    assert [{**row, "model": row["model"].lstrip("'")} for row in written] == read
    assert [row["model"] for row in read] == [one["model"] for one in told] == ["e5f5da65719a", "=1+1", "e5f5da65719a"]
    assert [row["config"] for row in read] == [one["config"] for one in told]
    assert [row["installation"] for row in read] == ["", "", ""]
    assert [row["flags"].split() for row in read] == [one["flags"] for one in told] == [[], ["dark", "slow"], []]
    assert [int(row["vehicles"]) for row in read] == [1, 2, 6]
    some = client.get(f"{path}.parquet", params={**asked, "class": "truck"})
    (tmp_path / "some.parquet").write_bytes(some.content)
    assert [row["vehicles"] for row in rows_of(duckdb.read_parquet(str(tmp_path / "some.parquet")))] == ["0", "0", "4"]


def test_long_spans_are_refused_in_words(database: Database, client: httpx.Client) -> None:
    times = {"from": at(START), "to": at(START + 2 * 86_400 + 1)}
    refused = client.get(f"/api/v1/sites/{make_site(database)}/intervals", params=times)
    assert (refused.status_code, refused.json()["code"]) == (422, "long_span")
