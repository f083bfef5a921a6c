"""Speeds and turning flows of a site: added up by hour and direction, also of a line that is turned there."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator

import httpx
import pytest
from sqlalchemy import update

from edge_app.city.api import build_api
from edge_app.city.database.engine import Database
from edge_app.city.database.tables import ATTACHMENT
from edge_app.city.live import Live
from edge_app.city.records import NONE, Interval
from edge_app.city.routes.city import City
from edge_app.measures.speed_sums import SpeedSums
from tests.city.cases import NAME, START, changed, series
from tests.city.test_api import at
from tests.city.test_storing import make_site, store
from tests.support.city_api import client_of


@pytest.fixture
def client(database: Database) -> Iterator[httpx.Client]:
    api = build_api(City(database, Live(), utc=lambda: START + 600.0))
    with client_of(api) as made:
        yield made


def measured(interval: Interval, **speeds: list[float | None]) -> Interval:
    """Return the interval with speeds of cars by direction."""
    sums = {direction: SpeedSums() for direction in speeds}
    for direction, values in speeds.items():
        for kmh in values:
            sums[direction].add(kmh)
    fields = {direction: one.as_fields() for direction, one in sums.items()}
    return changed(interval, measures=json.dumps({"speed": {"car": fields}}))


def ask(client: httpx.Client, site: str, seconds: int = 86_400) -> httpx.Response:
    return client.get(f"/api/v1/sites/{site}/measures", params={"from": at(START - 60), "to": at(START + seconds)})


def test_speeds_are_added_up_by_hour_and_direction(database: Database, client: httpx.Client) -> None:
    site = make_site(database)
    one, *_, last = series(90)
    store(database, [measured(one, left_to_right=[41.0, None]), measured(last, left_to_right=[43.0, 47.0, 51.0])])
    found = ask(client, site).json()
    way = found["speeds"]["left_to_right"]
    assert (way["n"], way["unmeasured"], way["mean_kmh"]) == (4, 1, 45.5)
    assert way["bins"] == {"40": 1, "42": 1, "46": 1, "50": 1}
    assert 50 < way["percentile_85_kmh"] <= 52
    assert [hour["ways"]["left_to_right"]["n"] for hour in found["hours"]] == [1, 3]
    assert found["flows"] == []
    file = client.get(f"/api/v1/sites/{site}/speeds.csv", params={"from": at(START - 60), "to": at(START + 86_400)})
    assert "speeds.csv" in file.headers["content-disposition"]
    head, first, second = csv.reader(file.text.splitlines())
    assert head == ["site", "start", "direction", "vehicles", "unmeasured", "mean_kmh", "percentile_85_kmh"]
    assert [row[2:5] for row in (first, second)] == [["left_to_right", "1", "1"], ["left_to_right", "3", "0"]]
    assert (first[5], second[1]) == ("41.0", found["hours"][1]["start"])
    with database.begin() as connection:
        connection.execute(update(ATTACHMENT).values(turned=True))
    assert set(ask(client, site).json()["speeds"]) == {"right_to_left"}


def test_flows_of_the_device_are_told_once(database: Database, client: httpx.Client) -> None:
    site = make_site(database)
    arms = {"north": {"south": {"car": 3}, "north": {"car": 1}}, "south": {"north": {"truck": 2}}}
    flows = [
        changed(one, counts=NONE, totals=NONE, measures=json.dumps({"flows": arms}))
        for one in series(2, name=NAME._replace(line="_flows"))
    ]
    store(database, [*series(2), *flows])
    told = {(one["origin"], one["to"], one["vehicle_class"]): one["n"] for one in ask(client, site).json()["flows"]}
    assert told == {("north", "south", "car"): 6, ("north", "north", "car"): 2, ("south", "north", "truck"): 4}
    file = client.get(f"/api/v1/sites/{site}/flows.csv", params={"from": at(START - 60), "to": at(START + 86_400)})
    head, *rows = csv.reader(file.text.splitlines())
    assert head == ["site", "origin", "to", "class", "vehicles"]
    assert {(origin, to, kind): int(n) for _, origin, to, kind, n in rows} == told


def test_where_nothing_is_measured_nothing_is_told_and_long_spans_are_refused(
    database: Database, client: httpx.Client
) -> None:
    site = make_site(database)
    store(database, series(3))
    found = ask(client, site).json()
    assert (found["speeds"], found["hours"], found["flows"]) == ({}, [], [])
    refused = ask(client, site, 9 * 86_400)
    assert (refused.status_code, refused.json()["detail"]) == (422, "at most 8 days are answered")
