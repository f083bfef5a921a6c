"""Devices whose intervals are half an hour or an hour long: what is told of their quarters, days, and the present."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

import httpx
import pytest

from edge_app.city.api import build_api
from edge_app.city.database.engine import Database
from edge_app.city.database.inventory import put_sites
from edge_app.city.database.tables import DEVICE
from edge_app.city.feeds.datex2 import Publisher
from edge_app.city.inventory import described
from edge_app.city.live import Live
from edge_app.city.reach import reaching_s, stretches, within_s
from edge_app.city.routes.city import City
from tests.city.cases import NAME, START, changed, series, vector
from tests.city.test_api import at
from tests.city.test_storing import roll, store
from tests.support.city_api import client_of

pytestmark = pytest.mark.long  # seven lengths each; test_straddling.py stays in `make test`

DAY: Final = START - START % 86_400
"""A midnight in UTC."""
NOW: Final = DAY + 8 * 3600 + 40 * 60
RATE: Final = 240
"""Vehicles an hour, on every road here."""


@pytest.fixture
def client(database: Database) -> Iterator[httpx.Client]:
    """A client of a city with a public street, at 8:40."""
    attachment = {"device": f"{NAME.site}/{NAME.device}", "line": NAME.line}
    quay = {"id": "quay", "road": "Quay Road", "time_zone": "UTC", "public": True, "attachments": [attachment]}
    with database.begin() as connection:
        put_sites(connection, [described(quay)], "test", DAY)
    feeds = {"datex2": Publisher("de", "City", "en"), "fiware": True, "sensorthings": True}
    with client_of(build_api(City(database, Live(), utc=lambda: float(NOW), **feeds))) as made:  # type: ignore[arg-type]
        yield made


def fill(database: Database, length: int, begin: int, end: int, *, coverage: float = 1.0) -> None:
    """Store all intervals of this length that end in a span of time."""
    made = series((end - begin) // length, start=begin, length=length, installation=f"{begin % 2**32:08x}", cars=0)
    cars = round(RATE * length * coverage / 3600)
    store(database, [changed(one, counts=vector(cars), coverage=coverage) for one in made])
    roll(database)


LENGTHS: Final = pytest.mark.parametrize("length", [60, 600, 900, 1200, 1800, 2700, 3600])


@LENGTHS
def test_a_day_that_was_seen_whole_is_told_so_whatever_the_length(
    database: Database, client: httpx.Client, length: int
) -> None:
    """The whole day, and hours and quarters on and off the grid of its intervals."""
    first = DAY - 86_400 - 5_400
    fill(database, length, first, DAY + length)
    path, span = "/api/v1/sites/quay", {"from": at(DAY - 86_400), "to": at(DAY)}
    rates = client.get(f"{path}/rates", params=span).json()
    assert rates["seconds"] == rates["clock"] == [900 * n for n in range(96)]
    assert rates["covered"] == [1.0] * 96
    assert rates["vehicles"] == [RATE / 4] * 96
    for step in ("quarter", "hour", "day"):
        steps = client.get(f"{path}/counts", params={**span, "step": step}).json()["steps"]
        assert {one["covered"] for one in steps} == {1.0}
        for one in steps:
            assert 3600 * one["counts"]["car"]["left_to_right"] / one["seen_s"] == RATE
            assert one["seen_s"] == one["length_s"]
        begun = [start for start in range(first, DAY, length) if start >= DAY - 86_400]
        assert sum(one["seen_s"] for one in steps) == length * len(begun)
    hours = client.get(f"{path}/hours", params=span).json()
    assert set(hours["covered"]) == {1.0}
    cars = zip(hours["vehicles"], hours["seen_s"], strict=True)
    assert {3600 * many / seen for many, seen in cars} == {float(RATE)}


@LENGTHS
def test_what_is_usual_and_what_is_now_are_rates_of_whole_intervals(
    database: Database, client: httpx.Client, length: int
) -> None:
    for week in (1, 2):
        fill(database, length, DAY - week * 7 * 86_400, DAY - (week * 7 - 1) * 86_400)
    fill(database, length, DAY, NOW - 60)
    usual = client.get("/api/v1/sites/quay/usual", params={"at": at(NOW)}).json()
    assert usual["days"] == 2
    assert usual["seconds"] == [900 * n for n in range(96)]
    assert usual["vehicles"] == [RATE / 4] * 96
    street = client.get("/api/v1/public/sites/quay").json()
    last = DAY + (NOW - 60 - DAY) // length * length  # end of the newest interval
    assert street["now"]["left_to_right"] == street["now"]["usual"] == RATE
    assert street["now"]["end"] == at(max(last - last % 900, last) if length > 900 else last - last % 900)
    assert street["today"]["vehicles"] == [RATE] * len(street["today"]["seconds"])
    assert street["today"]["seconds"] == [900 * n for n in range(round((last - DAY) / 900))]
    assert street["usual"]["vehicles"] == [RATE] * 96


@pytest.mark.parametrize("length", [1800, 3600])
def test_half_of_a_long_interval_that_was_not_seen_is_of_all_its_quarters(
    database: Database, client: httpx.Client, length: int
) -> None:
    """What was seen by less than half has no rate; what is told is at least so many, and no estimate of a step."""
    begin = DAY + 6 * 3600
    fill(database, length, begin, begin + length, coverage=0.75)
    fill(database, length, begin + length, begin + 2 * length, coverage=0.25)
    span = {"from": at(DAY), "to": at(DAY + 86_400)}
    rates = client.get("/api/v1/sites/quay/rates", params=span).json()
    many = length // 900
    assert rates["seconds"] == [6 * 3600 + 900 * n for n in range(2 * many)]
    assert rates["covered"] == [0.75] * many + [0.25] * many
    assert rates["vehicles"] == [RATE / 4] * many + [None] * many
    asked = {**span, "step": "quarter", "estimate": "true"}
    first, second = client.get("/api/v1/sites/quay/counts", params=asked).json()["steps"]
    assert (first["covered"], second["covered"]) == (0.75, 0.25)
    assert (first["seen_s"], first["length_s"]) == (0.75 * length, length)
    counted = first["counts"]["car"]["left_to_right"]
    assert first["estimated"]["car"]["left_to_right"] == counted + RATE * 0.25 * 900 / 3600
    assert "estimated" not in second


@pytest.mark.parametrize("length", [1800, 3600])
def test_feeds_tell_the_time_of_the_interval(database: Database, client: httpx.Client, length: int) -> None:
    fill(database, length, DAY, NOW - 60)
    begin = DAY + 8 * 3600 if length == 1800 else DAY + 7 * 3600
    cars = RATE * length // 3600
    entities = client.get("/api/v1/ngsi-ld/entities", params={"type": "TrafficFlowObserved"}).json()
    (told,) = (one for one in entities if one["id"].endswith(":car:left_to_right"))
    assert told["dateObserved"]["value"] == f"{at(begin)}/{at(begin + length)}"
    assert told["dateObservedTo"]["value"]["@value"] == told["intensity"]["observedAt"] == at(begin + length)
    assert (told["intensity"]["value"], told["intensity"]["covered"]["value"]) == (cars, 1.0)
    assert told["intensity"]["straddling_s"]["value"] == length - 900
    streams = "/api/v1/sensorthings/v1.1/Datastreams('quay:car:left_to_right')/Observations"
    newest = client.get(streams, params={"$orderby": "phenomenonTime desc", "$top": 1}).json()["value"][0]
    assert (newest["phenomenonTime"], newest["resultTime"]) == (f"{at(begin)}/{at(begin + length)}", at(begin + length))
    assert (newest["result"], newest["parameters"]) == (cars, {"covered": 1.0, "straddling_s": length - 900})
    (same,) = client.get(httpx.URL(newest["@iot.selfLink"]).raw_path.decode()).json()["value"]
    assert same["@iot.id"] == newest["@iot.id"]
    measured = client.get("/api/v1/datex2/measured.xml").text
    assert f"vehicleFlowRate>{RATE}<" in measured
    assert f'numberOfInputValuesUsed="{cars}" supplierCalculatedDataQuality="100.0"' in measured
    assert f"startOfPeriod>{at(begin)}<" in measured
    assert f"endOfPeriod>{at(begin + length)}<" in measured
    assert set(re.findall(r"period>(\d+)<", client.get("/api/v1/datex2/sites.xml").text)) == {str(length)}
    stream = client.get("/api/v1/sensorthings/v1.1/Datastreams('quay:car:left_to_right')").json()
    assert stream["unitOfMeasurement"]["name"] == f"vehicles in {length // 60} minutes"
    assert stream["properties"]["aggregateDuration"] == f"PT{length // 60}M"


@pytest.mark.parametrize("length", [60, 1800, 3600])
def test_a_device_is_late_by_the_length_of_its_intervals(database: Database, client: httpx.Client, length: int) -> None:
    """At 8:40 the newest hour that is over is that of seven o'clock."""
    healthy: dict[str, Any] = {"state": "online", "health": {"quality": [], "source": {"state": "ok"}}}
    fill(database, length, DAY, NOW - 60)
    with database.begin() as connection:
        names = {"topic_site": NAME.site, "device": NAME.device}
        row = {**names, "heard": NOW, "version": "1", "contract": "1.3", "meta": {}, **healthy}
        connection.execute(DEVICE.insert().values(row))
    assert client.get("/api/v1/sites/quay").json()["state"] == "counting"


class Given:
    """A sum of intervals."""

    def __init__(self, start: int, length_s: int, straddling_s: int, coverage: float = 1.0) -> None:
        self.start, self.length_s, self.straddling_s = start, length_s, straddling_s
        self.covered_s = coverage * length_s


def test_seconds_that_reach_beyond_a_step_are_seen_of_those_behind_it_alone() -> None:
    first, second = Given(0, 1_200, 300, 0.5), Given(2_700, 3_600, 2_700)
    assert (within_s(first), within_s(second), within_s(Given(0, 0, 0))) == (450.0, 900.0, 0.0)
    ends = [(first, 900), (second, 3_600)]
    spans = [(0, 900), (900, 1_800), (2_700, 3_600), (3_600, 4_500), (5_400, 9_000), (9_000, 9_900)]
    assert reaching_s(ends, spans) == [0.0, 150.0, 0.0, 900.0, 900.0, 0.0]
    assert reaching_s(ends, []) == []
    told = stretches([first, second], 900, 9_000)
    assert [(one.start, one.seen_s, one.sum) for one in told] == [
        (900, 150.0, first),
        *((start, 900.0, second) for start in range(2_700, 6_300, 900)),
    ]
