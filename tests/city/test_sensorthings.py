"""The SensorThings feed as the client of FROST reads it; what was not seen is left out, never a zero."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timezone

import httpx
import pytest

from edge_app.city.api import build_api
from edge_app.city.database.engine import Database
from edge_app.city.feeds.sensorthings import read_filter, read_path
from edge_app.city.live import Live
from edge_app.city.routes.city import City
from edge_app.http.server import Server
from tests.city.cases import series
from tests.city.test_feeds import NOW, QUARTER, counted
from tests.city.test_storing import roll, store

ROOT = "/api/v1/sensorthings/v1.1"


@pytest.fixture
def address(database: Database) -> Iterator[str]:
    """The root of the feed of a city with a quarter, none for half an hour, an unseen one, and one more."""
    counted(database)
    store(database, series(15, start=QUARTER + 2700, installation="0c9e77a1", coverage=0.0))
    store(database, series(15, start=QUARTER + 3600, installation="1c9e77a1", coverage=0.5))
    roll(database)
    city = City(database, Live(), utc=lambda: NOW + 3600.0, sensorthings=True)
    with Server(build_api(city), "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.port}{ROOT}"


def at(second: int) -> str:
    return datetime.fromtimestamp(second, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


@pytest.mark.filterwarnings("ignore:furl.pathstr is deprecated:DeprecationWarning")  # within the client
def test_a_client_finds_sites_series_and_quarters(address: str) -> None:
    client_of = pytest.importorskip("frost_sta_client", reason="needs frost-sta-client (pip install 'edge-app[test]')")
    service = client_of.SensorThingsService(address)
    (thing,) = service.things().query().list()
    assert thing.name == "Quay Road"
    streams = thing.get_datastreams().query().top(4).list()
    names = [stream.id.partition(":")[2] for stream in streams]  # its client follows the links to further pages
    assert len(names) == len(set(names)) == 10
    stream = service.datastreams().find(f"{thing.id}:car:left_to_right")
    found = stream.get_observations().query().count().orderby("phenomenonTime").top(1).list()
    assert found.count == 2
    told = [(one.phenomenon_time[:19], one.result, one.parameters["covered"]) for one in found]
    assert told == [(at(QUARTER + 3600)[:19], sum(range(1, 16)), 0.5), (at(QUARTER)[:19], 15, 1.0)]
    late = stream.get_observations().query().filter(f"phenomenonTime ge {at(QUARTER + 900)}").list()
    assert [one.result for one in late] == [120]
    assert {one.id for one in service.observed_properties().query().list()} >= {"car", "truck"}


def test_links_lead_where_they_say(address: str) -> None:
    seen, ahead = set[str](), [f"{address}/"]
    with httpx.Client() as client:
        while ahead:
            answer = client.get(ahead.pop())
            assert answer.status_code == 200, answer.text
            told = answer.json()
            for one in [told, *told.get("value", ())]:
                links = {value for key, value in one.items() if key == "url" or key.endswith("Link")}
                ahead += [link for link in links if link not in seen and "bus" not in link and "truck" not in link]
                seen |= links
    assert len(seen) > 20


REFUSED = [
    ("Houses", 404),
    ("Things('nowhere')", 404),
    ("Things('nowhere')/Datastreams", 404),
    ("Things/Datastreams", 404),
    ("Datastreams('x:y:z')/Observations", 404),
    ("Observations", 404),
    ("Things?$filter=name eq 'x'", 501),
    ("Things?$expand=Datastreams", 501),
    ("Things?$top=0", 422),
    ("Datastreams('harbour-pole-7-quay-road:car:left_to_right')/Observations?$filter=result gt 5", 400),
    ("Datastreams('harbour-pole-7-quay-road:car:left_to_right')/Observations?$orderby=result", 400),
]


def test_what_is_not_there_or_not_understood_is_refused(address: str) -> None:
    with httpx.Client() as client:
        answers = [(path, client.get(f"{address}/{path}")) for path, _ in REFUSED]
    assert [(path, answer.status_code) for path, answer in answers] == REFUSED
    assert all(answer.json()["detail"] for _, answer in answers)


def test_filters_join_and_paths_are_read() -> None:
    both = read_filter("phenomenonTime ge 1970-01-01T00:15:00Z and phenomenonTime lt 1970-01-01T02:00:00+01:00")
    assert both == (900, 3600)
    for wrong in ("phenomenonTime ge yesterday", "phenomenonTime ge 2026-01-01", "result gt 5", "phenomenonTime ge"):
        assert read_filter(wrong) is None
    assert read_path("Things('quay')/Locations") == ("Things", "quay", "Locations")
    assert read_path("Things('quay')/Locations('quay')") is None
