"""The standard feeds, judged by code and schemas that are not ours; what was not seen is left out, never a zero."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timezone
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import httpx
import jsonschema
import pytest
from sqlalchemy import update

from edge_app.city.api import build_api
from edge_app.city.config import FeedsConfig
from edge_app.city.database.engine import Database, open_database
from edge_app.city.database.inventory import put_sites
from edge_app.city.database.tables import ATTACHMENT, DEVICE
from edge_app.city.feeds import datex2
from edge_app.city.feeds.fiware import CONTEXT, KIND, KIND_IRI
from edge_app.city.feeds.observed import Observed, Place
from edge_app.city.inventory import described
from edge_app.city.live import Live
from edge_app.city.routes.city import City
from edge_app.city.service import publisher_of
from edge_app.http.server import Server
from edge_app.records import VEHICLES
from tests.city.cases import NAME, changed, series, vector
from tests.city.test_storing import make_site, roll, store
from tests.support.city_api import client_of
from tests.support.paths import ROOT
from tests.support.shared import SHARED, needs

QUARTER = 1_795_000_500  # begin of a quarter of an hour
NOW = QUARTER + 900 + 60
ON = FeedsConfig(country="de", publisher="City of Example", datex2=True, fiware=True)
SPACES = {
    "com": "http://datex2.eu/schema/3/common",
    "loc": "http://datex2.eu/schema/3/locationReferencing",
    "roa": "http://datex2.eu/schema/3/roadTrafficData",
}
PLACE = Place("quay", "Quay & <Sons>\x00 Road", 52.5, 13.4, 2, (88, 268), frozenset(VEHICLES))
SITES, MEASURED, ENTITIES = "/api/v1/datex2/sites.xml", "/api/v1/datex2/measured.xml", "/api/v1/ngsi-ld/entities"
FLOW = {"type": "TrafficFlowObserved"}


@pytest.fixture
def clock() -> list[float]:
    return [float(NOW)]


@pytest.fixture
def client(database: Database, clock: list[float]) -> Iterator[httpx.Client]:
    """A client of a city whose feeds are on."""
    api = build_api(City(database, Live(), utc=lambda: clock[0], datex2=publisher_of(ON), fiware=ON.fiware))
    with client_of(api) as made:
        yield made


def at(second: int) -> datetime:
    return datetime.fromtimestamp(second, timezone.utc)


def observed(covered_s: float, place: Place = PLACE) -> Observed:
    return Observed(place, at(QUARTER), at(QUARTER + 900), covered_s, covered_s, vector(30, truck_right_to_left=4))


def count_classes(database: Database, classes: Sequence[str]) -> None:
    with database.begin() as connection:
        connection.execute(update(DEVICE).values(meta={"classes": classes}))


def counted(database: Database, coverage: float = 1.0) -> str:
    """Store fifteen minutes of one car and two trucks each, the trucks the other way, and return the site."""
    site = make_site(database)
    one = vector(1, truck_right_to_left=2)
    count_classes(database, VEHICLES)
    minutes = series(15, start=QUARTER, coverage=coverage)
    store(database, [changed(minute, counts=one) for minute in minutes])
    roll(database)
    return site


# --- DATEX II


def flows(document: bytes) -> dict[int, tuple[int, int, float]]:
    """Return vehicles an hour, vehicles, and quality by index."""
    found = {}
    for quantity in ElementTree.fromstring(document).iterfind(".//roa:physicalQuantity[@index]", SPACES):
        flow, rate = quantity.find(".//roa:vehicleFlow", SPACES), quantity.find(".//com:vehicleFlowRate", SPACES)
        assert flow is not None
        assert rate is not None
        many, quality = flow.attrib["numberOfInputValuesUsed"], flow.attrib["supplierCalculatedDataQuality"]
        found[int(quantity.attrib["index"])] = int(rate.text or ""), int(many), float(quality)
    return found


def test_measured_data_are_vehicles_an_hour_by_class_and_direction(database: Database, client: httpx.Client) -> None:
    site = counted(database, coverage=0.75)
    answer = client.get(MEASURED)
    assert answer.headers["content-type"] == "application/xml"
    told = flows(answer.content)
    # Seen for three quarters of the time: 15 cars are 80 an hour, not 60.
    assert (told[1], told[8]) == ((80, 15, 75.0), (160, 30, 75.0))
    assert told[2] == (0, 0, 75.0)
    root, table = ElementTree.fromstring(answer.content), ElementTree.fromstring(client.get(SITES).content)
    described_there = table.find(".//roa:measurementSite", SPACES)
    reference = root.find(".//roa:measurementSiteReference", SPACES)
    assert described_there is not None
    assert reference is not None
    assert (reference.attrib["id"], described_there.attrib["id"]) == (site, site)
    assert reference.attrib["version"] == described_there.attrib["version"]
    period = root.find(".//roa:measurementTimeDefault/roa:period", SPACES)
    assert period is not None
    assert [part.text for part in period] == ["2026-11-18T11:15:00Z", "2026-11-18T11:30:00Z"]


def test_what_was_hardly_seen_or_long_ago_or_is_not_counted_is_left_out(
    database: Database, client: httpx.Client, clock: list[float]
) -> None:
    assert "DATEX II has no empty table" in client.get(SITES).json()["detail"]
    counted(database, coverage=0.4)
    for path in (MEASURED, ENTITIES):
        answer = client.get(path, params=FLOW if path == ENTITIES else None)
        assert answer.status_code == 404 or answer.json() == []
    counted_again = [changed(one, coverage=1.0) for one in series(15, start=QUARTER + 900, installation="0c9e77a1")]
    store(database, counted_again)
    roll(database)
    assert client.get(MEASURED).status_code == 404  # its quarter is not over
    clock[0] += 900
    assert len(flows(client.get(MEASURED).content)) == 2 * len(VEHICLES)
    count_classes(database, ["car", "truck"])
    clock[0] += 20  # what was read for the last answer is kept for so long
    assert sorted(flows(client.get(MEASURED).content)) == [1, 2, 7, 8]
    assert len(client.get(ENTITIES, params=FLOW).json()) == 4
    clock[0] += 3600
    assert client.get(MEASURED).status_code == 404
    assert client.get(ENTITIES, params=FLOW).json() == []


def test_what_is_invented_is_in_no_feed(database: Database, clock: list[float]) -> None:
    city = City(database, Live(), utc=lambda: clock[0], datex2=publisher_of(ON), fiware=True, sensorthings=True)
    site = counted(database)
    things = "/api/v1/sensorthings/v1.1"
    later = [
        changed(one, coverage=1.0)
        for one in series(15, start=QUARTER + 900, installation="0c9e77a1", flags="synthetic")
    ]
    store(database, later)
    roll(database)
    clock[0] += 900
    with client_of(build_api(city)) as client:
        # The quarter before is the newest that counts.
        assert flows(client.get(MEASURED).content)[1] == (60, 15, 100.0)
        stream = client.get(f"{things}/Datastreams('{site}:car:left_to_right')/Observations").json()
        assert [one["result"] for one in stream["value"]] == [15]
        assert site in client.get(SITES).text
    with database.begin() as connection:
        connection.execute(update(DEVICE).values(health={"quality": ["synthetic"]}))
    with client_of(build_api(city)) as client:
        assert client.get(SITES).status_code == 404
        assert client.get(ENTITIES, params=FLOW).json() == []
        assert client.get(f"{things}/Things").json()["value"] == []


def test_a_version_changes_with_the_description_of_a_site_alone() -> None:
    def version(place: Place) -> str:
        document = datex2.site_table([place], datex2.Publisher("de", "City", "en"), at(NOW))
        found = ElementTree.fromstring(document).find(".//roa:measurementSite", SPACES)
        assert found is not None
        return found.attrib["version"]

    assert version(PLACE) == version(replace(PLACE))
    assert version(PLACE) != version(replace(PLACE, road="Quay Road"))


@pytest.mark.parametrize(
    ("bearings", "sides"),
    [
        ((88, 268), ["eastBound", "westBound"]),
        ((338, 158), ["northBound", "southBound"]),
        ((None, 200), ["aligned", "southBound"]),
        ((None, None), ["aligned", "opposite"]),
    ],
)
def test_directions_are_told_by_their_bearings(bearings: tuple[int | None, int | None], sides: list[str]) -> None:
    place = replace(PLACE, bearings=bearings, classes=frozenset({"bus"}))
    root = ElementTree.fromstring(datex2.site_table([place], datex2.Publisher("de", "City", "en"), at(NOW)))
    assert [side.text for side in root.iterfind(".//roa:measurementSide", SPACES)] == sides


@cache
def schema() -> Any:
    import xmlschema

    # Whether the schemas are schemas is not judged: that takes most of the time.
    return xmlschema.XMLSchema(SHARED / "schemas/datex2/DATEXII_3_D2Payload.xsd", validation="skip")


@pytest.mark.servers  # reading the schemas takes seconds
@needs("schemas/datex2")
@pytest.mark.skipif(find_spec("xmlschema") is None, reason="needs xmlschema (pip install 'edge-app[test]')")
def test_the_published_schemas_accept_what_is_written_and_refuse_what_is_not() -> None:
    publisher = datex2.Publisher("de", "City of Example", "en")
    bare = replace(PLACE, id="bare", lat=None, lon=None, lanes=None, bearings=(None, None))
    table = datex2.site_table([PLACE, bare], publisher, at(NOW))
    data = datex2.measured_data([PLACE, bare], [observed(900), observed(600.5, bare)], publisher, at(NOW))
    for document in (table, data):
        schema().validate(document.decode())
    assert "Quay &amp; &lt;Sons&gt; Road" in table.decode()
    for right, wrong in (("trafficFlow<", "flow<"), ('modelBaseVersion="3"', 'modelBaseVersion="2"')):
        assert not schema().is_valid(table.decode().replace(right, wrong))
    assert not schema().is_valid(data.decode().replace("vehicleFlowRate>", "vehicleFlow>"))


# --- FIWARE


def _property(value: dict[str, Any]) -> dict[str, Any]:
    of_it = {"type": {"const": "Property"}, "value": value}
    return {"type": "object", "required": ["type", "value"], "properties": of_it}


def _time() -> dict[str, Any]:
    moment = {"type": "string", "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:00Z$"}
    parts = {"@type": {"const": "DateTime"}, "@value": moment}
    return {"type": "object", "required": ["@type", "@value"], "properties": parts, "additionalProperties": False}


ENTITY = {
    "type": "object",
    "required": ["id", "type", "dateObserved", "dateObservedFrom", "dateObservedTo", "intensity", "vehicleType"],
    "additionalProperties": False,
    "properties": {
        "id": {"type": "string", "pattern": "^urn:ngsi-ld:TrafficFlowObserved:[a-z0-9-]+:[a-z]+:[a-z_]+$"},
        "type": {"const": "TrafficFlowObserved"},
        "@context": {"type": "string", "pattern": "^https://.*/dataModel.Transportation/.*jsonld$"},
        "name": _property({"type": "string"}),
        "dateObserved": _property({"type": "string", "pattern": "^[0-9TZ:-]+/[0-9TZ:-]+$"}),
        "dateObservedFrom": _property(_time()),
        "dateObservedTo": _property(_time()),
        "vehicleType": _property({"enum": ["bicycle", "bus", "car", "lorry", "motorcycle"]}),
        "laneDirection": _property({"enum": ["forward", "backward"]}),
        "intensity": _property({"type": "integer", "minimum": 0}),
        "location": {
            "type": "object",
            "required": ["type", "value"],
            "properties": {
                "type": {"const": "GeoProperty"},
                "value": {
                    "type": "object",
                    "required": ["type", "coordinates"],
                    "properties": {
                        "type": {"const": "Point"},
                        "coordinates": {"type": "array", "minItems": 2, "maxItems": 2, "items": {"type": "number"}},
                    },
                },
            },
        },
    },
}
"""What the smart data model says of the attributes that are told; its published schema.json names none of them."""


def test_entities_are_those_of_the_smart_data_model(
    database: Database, client: httpx.Client, clock: list[float]
) -> None:
    site = counted(database, coverage=0.75)
    attachment = {"device": f"{NAME.site}/{NAME.device}", "line": NAME.line}
    values = {"id": site, "road": "Quay Road", "time_zone": "UTC", "lat": 52.5, "lon": 13.4}
    with database.begin() as connection:
        put_sites(connection, [described({**values, "attachments": [attachment]})], "test", NOW)
    answer = client.get(ENTITIES, params=FLOW, headers={"accept": "application/ld+json"})
    assert answer.headers["content-type"] == "application/ld+json"
    entities = answer.json()
    for entity in entities:
        jsonschema.validate(entity, ENTITY)
        assert "@context" in entity
    assert len({entity["id"] for entity in entities}) == len(entities) == 2 * len(VEHICLES)
    told = {entity["id"].split(":", 4)[4]: entity for entity in entities}
    trucks = told["truck:right_to_left"]
    assert (trucks["intensity"]["value"], trucks["intensity"]["covered"]["value"]) == (30, 0.75)
    assert (trucks["vehicleType"]["value"], trucks["laneDirection"]["value"]) == ("lorry", "backward")
    assert trucks["location"]["value"]["coordinates"] == [13.4, 52.5]
    assert told["car:left_to_right"]["intensity"]["value"] == 15
    with database.begin() as connection:
        connection.execute(update(ATTACHMENT).values(turned=True))
    clock[0] += 20  # what was read for the last answer is kept for so long
    turned = client.get(ENTITIES, params=FLOW).json()
    assert {entity["id"].split(":", 4)[4]: entity["intensity"]["value"] for entity in turned}["car:right_to_left"] == 15


def test_a_broker_finds_entities_where_the_standard_has_them(database: Database, client: httpx.Client) -> None:
    site, at = counted(database), "/ngsi-ld/v1/entities"
    every = client.get(at, params={**FLOW, "limit": 100})
    assert every.json() == client.get(ENTITIES, params={**FLOW, "limit": 100}).json()
    assert client.get(at, params={"type": KIND_IRI, "limit": 100, "count": "true"}).json() == every.json()
    one = every.json()[0]
    assert one["id"].split(":")[3] == site
    assert client.get(f"{at}/{one['id']}").json() == one
    told = client.get(f"{at}/{one['id']}", params={"options": "keyValues", "attrs": "intensity,name"}).json()
    assert told == {"id": one["id"], "type": KIND, "intensity": one["intensity"]["value"], "name": one["name"]["value"]}
    several = client.get(at, params={**FLOW, "limit": 1, "options": "keyValues", "attrs": "intensity"})
    assert several.json() == [{"id": one["id"], "type": KIND, "intensity": one["intensity"]["value"]}]
    assert several.headers["ngsild-results-count"] == str(2 * len(VEHICLES))
    assert client.get(f"{at}/{one['id']}", headers={"accept": "application/ld+json"}).json()["@context"] == CONTEXT
    missing = client.get(f"{at}/urn:ngsi-ld:TrafficFlowObserved:nowhere:car:left_to_right")
    assert (missing.status_code, missing.json()["code"]) == (404, "no_such_entity")


MODELS = ROOT / ".venv/share/smart-data-models.json.gz"
OF_JSON = {"string": str, "number": int, "object": dict}


@pytest.mark.servers  # reading the table takes seconds
@pytest.mark.skipif(not MODELS.is_file(), reason="needs the table of the smart data models (make test-servers)")
@pytest.mark.parametrize("located", [True, False])
def test_the_published_table_knows_all_that_is_told(database: Database, client: httpx.Client, *, located: bool) -> None:
    """A site without a position has an address: the model wants one of both."""
    rows = json.loads(gzip.decompress(MODELS.read_bytes()))
    mine = [row for row in rows if (row["repoName"], row["dataModel"]) == ("dataModel.Transportation", KIND)]
    known = {row["property"]: row for row in mine if "typeNGSI" in row}
    site = counted(database)
    values = {"id": site, "road": "Quay Road", "time_zone": "UTC"} | ({"lat": 52.5, "lon": 13.4} if located else {})
    attachment = {"device": f"{NAME.site}/{NAME.device}", "line": NAME.line}
    with database.begin() as connection:
        put_sites(connection, [described({**values, "attachments": [attachment]})], "test", NOW)
    entities = client.get(ENTITIES, params=FLOW).json()
    assert len(entities) == 2 * len(VEHICLES)
    for entity in entities:
        assert entity["type"] in known["type"]["enum"]
        assert ("location" in entity, "address" in entity) == (located, not located)
        for name, told in entity.items():
            if name in ("id", "type", "@context"):
                continue
            value = told["value"]
            if name in ("dateObservedFrom", "dateObservedTo"):
                value = value["@value"]
            assert told["type"] == known[name]["typeNGSI"]
            assert isinstance(value, OF_JSON[known[name]["type"]])
            assert value in known[name].get("enum", [value])


def test_entities_are_paged_and_their_context_is_beside_plain_json(database: Database, client: httpx.Client) -> None:
    counted(database)
    every = client.get(ENTITIES, params=FLOW)
    assert every.headers["content-type"] == "application/json"
    assert "json-ld#context" in every.headers["link"]
    pages = [client.get(ENTITIES, params={**FLOW, "limit": "4", "offset": str(offset)}) for offset in (0, 4, 8)]
    assert [entity for page in pages for entity in page.json()] == every.json()
    assert {page.headers["NGSILD-Results-Count"] for page in pages} == {"10"}
    assert client.get(ENTITIES, params={"type": "Building"}).json() == []
    for wrong in ({}, {**FLOW, "limit": "0"}, {**FLOW, "offset": "-1"}):
        assert client.get(ENTITIES, params=wrong).status_code == 422


# --- on and off


def test_a_feed_is_off_until_it_is_configured(tmp_path: Path) -> None:
    database = open_database(f"sqlite:///{tmp_path / 'city.sqlite3'}")
    off = City(database, Live(), datex2=publisher_of(FeedsConfig()))
    with Server(build_api(off), "127.0.0.1", 0) as server:
        things = "/api/v1/sensorthings/v1.1/Things"
        for path, key in ((SITES, "datex2"), (MEASURED, "datex2"), (ENTITIES, "fiware"), (things, "sensorthings")):
            answer = httpx.get(f"http://127.0.0.1:{server.port}{path}", params=FLOW if path == ENTITIES else None)
            assert answer.status_code == 404
            assert answer.json()["detail"] == f"this feed is off; feeds.{key} = true in city.toml turns it on"
    database.close()
