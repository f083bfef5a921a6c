"""Tell sites and their quarters of an hour as OGC SensorThings 1.1, read alone. Pure: no clock, no I/O.

A site is a Thing, its class and direction a Datastream, a quarter of an hour an Observation.
https://docs.ogc.org/is/18-088/18-088.html
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from typing import Any, Final, NamedTuple

from edge_app.city.calendar import FAR
from edge_app.city.feeds.observed import VEHICLE_TYPES, Observed, Place, Series, written_time

Entity = dict[str, Any]
SETS: Final = ("Things", "Locations", "Datastreams", "Sensors", "ObservedProperties")
"""Sets of entities that can be asked for as a whole; Observations can be asked for by Datastream."""
_COUNT: Final = "http://www.opengis.net/def/observationType/OGC-OM/2.0/OM_CountObservation"
_DEFINITION: Final = "https://smart-data-models.github.io/dataModel.Transportation/TrafficFlowObserved/schema.json"
_SENSOR: Final = "counter"
_STEP: Final = re.compile(r"(\w+)(?:\('([^']*)'\))?")
_CONDITION: Final = re.compile(r"phenomenonTime (ge|gt|le|lt) (\S+)")
_PARTS: Final = {"Things": 0, "ObservedProperties": 1, "Sensors": None}
"""Which part of the key of a Datastream names what it belongs to; the one sensor has them all."""


class Asked(NamedTuple):
    """Which entities a path names. key: of one entity, "" for all of a set. of: what of that entity, "" for itself."""

    kind: str
    key: str = ""
    of: str = ""


def read_path(path: str) -> Asked | None:
    """Return what a path below the root asks for, None where there is no such thing."""
    steps = [_STEP.fullmatch(step) for step in path.split("/")]
    names = [step.groups() if step else ("", None) for step in steps]
    if len(names) > 2 or names[0][0] not in SETS or (len(names) == 2 and (names[0][1] is None or names[1][1])):
        return None
    return Asked(names[0][0], names[0][1] or "", names[1][0] if len(names) == 2 else "")


def read_filter(text: str) -> tuple[int, int] | None:
    """Return from when to when a `$filter` wants observations, UTC s, None where it is not understood.

    `ge` and `gt` ask for those that begin then or later, `le` and `lt` for those that end then or before.
    """
    begin, end = 0, FAR
    for part in text.split(" and ") if text else ():
        found = _CONDITION.fullmatch(part.strip())
        at = _second(found[2]) if found else None
        if found is None or at is None:
            return None
        if found[1] in ("ge", "gt"):
            begin = max(begin, at)
        else:
            end = min(end, at)
    return begin, end


def _second(text: str) -> int | None:
    try:
        at = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        return None
    if at.tzinfo is None or not 1970 <= at.year < 3000:
        return None
    return max(0, int(at.astimezone(timezone.utc).timestamp()))


def root(address: str) -> Entity:
    """Return the list of all sets. address: of the root."""
    return {"value": [{"name": name, "url": f"{address}/{name}"} for name in SETS]}


def series_of(places: Mapping[str, Place], key: str) -> tuple[Place, Series] | None:
    """Return the site and series of a Datastream, None where there is none of that key."""
    place = places.get(key.partition(":")[0])
    for series in place.series() if place else ():
        if place and _datastream_key(place, series) == key:
            return place, series
    return None


def entities(asked: Asked, places: Mapping[str, Place], address: str) -> list[Entity] | None:
    """Return the entities that a path names, but for Observations; None where there are none of that name.

    One entity is a list of one. address: of the root.
    """
    found = _all(asked.kind, places, address)
    if not asked.key:
        return found
    one = [entity for entity in found if entity["@iot.id"] == asked.key]
    return _related(asked, places, address) if one and asked.of else one or None


def _all(kind: str, places: Mapping[str, Place], address: str) -> list[Entity]:
    if kind == "Things":
        return [_thing(place, address) for place in places.values()]
    if kind == "Locations":
        return [_location(place, address) for place in places.values() if place.lat is not None]
    if kind == "Datastreams":
        return [_datastream(place, one, address) for place in places.values() for one in place.series()]
    if kind == "Sensors":
        return [_sensor(address)]
    return [_property(vehicle, address) for vehicle in VEHICLE_TYPES]


def _related(asked: Asked, places: Mapping[str, Place], address: str) -> list[Entity] | None:
    site, _, rest = asked.key.partition(":")
    keys: Mapping[tuple[str, str], tuple[str, str]] = {
        ("Things", "Locations"): ("Locations", site),
        ("Locations", "Things"): ("Things", site),
        ("Datastreams", "Thing"): ("Things", site),
        ("Datastreams", "Sensor"): ("Sensors", _SENSOR),
        ("Datastreams", "ObservedProperty"): ("ObservedProperties", rest.partition(":")[0]),
    }
    if (asked.kind, asked.of) in keys:
        kind, key = keys[asked.kind, asked.of]
        return [entity for entity in _all(kind, places, address) if entity["@iot.id"] == key]
    if asked.of != "Datastreams" or asked.kind not in _PARTS:
        return None
    streams = _all("Datastreams", places, address)
    part = _PARTS[asked.kind]
    return [one for one in streams if part is None or one["@iot.id"].split(":")[part] == asked.key]


def observation(observed: Observed, series: Series, address: str) -> Entity:
    """Return a quarter of an hour of a series: where less than all of it was seen, at least so many."""
    start, end = written_time(observed.start), written_time(observed.end)
    stream = _datastream_key(observed.place, series)
    datastream = f"{address}/Datastreams('{stream}')"
    condition = f"phenomenonTime%20ge%20{start}%20and%20phenomenonTime%20le%20{end}"
    return {
        "@iot.id": f"{stream}:{start}",
        "@iot.selfLink": f"{datastream}/Observations?$filter={condition}",
        "Datastream@iot.navigationLink": datastream,
        "phenomenonTime": f"{start}/{end}",
        "resultTime": end,
        "result": observed.counts[series.column],
        "parameters": {"covered": round(observed.covered, 4), "straddling_s": observed.straddling_s},
    }


def _thing(place: Place, address: str) -> Entity:
    told = {"name": place.road, "description": "A place at a road where vehicles are counted"}
    return _entity("Things", place.id, told, address, ("Locations", "Datastreams"))


def _location(place: Place, address: str) -> Entity:
    told = {
        "name": place.road,
        "description": "Where the vehicles are counted",
        "encodingType": "application/geo+json",
        "location": {"type": "Point", "coordinates": [place.lon, place.lat]},
    }
    return _entity("Locations", place.id, told, address, ("Things",))


def _datastream(place: Place, series: Series, address: str) -> Entity:
    minutes = -(-place.period_s // 60)
    told = {
        "name": f"{place.road}: {series.vehicle}, {series.direction}",
        "description": f"Vehicles of {minutes} minutes each; those that are not told were not seen, which is no zero",
        "observationType": _COUNT,
        "unitOfMeasurement": {"name": f"vehicles in {minutes} minutes", "symbol": "", "definition": _DEFINITION},
        "properties": {"aggregateDuration": f"PT{minutes}M", "vehicle": series.vehicle, "direction": series.direction},
    }
    related = ("Thing", "Sensor", "ObservedProperty", "Observations")
    return _entity("Datastreams", _datastream_key(place, series), told, address, related)


def _sensor(address: str) -> Entity:
    told = {
        "name": "Roadside traffic counter",
        "description": "A camera and a program that counts vehicles at a line",
        "encodingType": "text/plain",
        "metadata": "parameters.covered of an Observation is the share of the quarter that was seen, 0 to 1; "
        "parameters.straddling_s are seconds beyond its end of an interval that began in it, whose vehicles it has",
    }
    return _entity("Sensors", _SENSOR, told, address, ("Datastreams",))


def _property(vehicle: str, address: str) -> Entity:
    told = {
        "name": f"Vehicles: {vehicle}",
        "definition": _DEFINITION,
        "description": "Vehicles of this class that pass a line",
    }
    return _entity("ObservedProperties", vehicle, told, address, ("Datastreams",))


def _datastream_key(place: Place, series: Series) -> str:
    return f"{place.id}:{series.vehicle}:{series.direction}"


def _entity(kind: str, key: str, told: Entity, address: str, related: Sequence[str]) -> Entity:
    return {"@iot.id": key, **told, **_links(f"{address}/{kind}('{key}')", related)}


def _links(address: str, related: Sequence[str] = ()) -> Entity:
    others = {f"{name}@iot.navigationLink": f"{address}/{name}" for name in related}
    return {"@iot.selfLink": address, **others}
