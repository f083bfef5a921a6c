"""The minutes of a site can be read: from the database and the archive, with what counts of them in the sums."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from sqlalchemy import update

from edge_app.city.api import build_api
from edge_app.city.archive import Archive
from edge_app.city.archiving import Archiving
from edge_app.city.database.engine import Database
from edge_app.city.database.tables import ATTACHMENT
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
    assert database.archive
    moved = list(Archiving(database, database.archive, 90, utc=lambda: START + 100 * 86_400.0).move())
    assert sum(one.intervals for one in moved) == 4
    assert client.get(path, params=asked).json() == told


def test_long_spans_are_refused_in_words(database: Database, client: httpx.Client) -> None:
    times = {"from": at(START), "to": at(START + 2 * 86_400 + 1)}
    refused = client.get(f"/api/v1/sites/{make_site(database)}/intervals", params=times)
    assert (refused.status_code, refused.json()["code"]) == (422, "long_span")
