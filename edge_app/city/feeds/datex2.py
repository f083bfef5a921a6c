"""Write sites and their newest counts as DATEX II 3.6, https://datex2.eu. Pure: no clock, no I/O."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Final
from xml.etree import ElementTree

from edge_app.city.feeds.observed import VEHICLE_TYPES, Observed, Place, Series, written_time
from edge_app.records import DIRECTIONS, Direction

_TABLE: Final = "sites"
_LONGEST: Final = 1024
_UNWRITABLE: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that no XML document may have; names that a device tells may have any."""
_BOUND: Final = ("north", "northEast", "east", "southEast", "south", "southWest", "west", "northWest")
_WITHOUT_BEARING: Final = dict(zip(DIRECTIONS, ("aligned", "opposite"), strict=True))
_XSI: Final = "http://www.w3.org/2001/XMLSchema-instance"
_SPACES: Final = {
    "d2": "http://datex2.eu/schema/3/d2Payload",
    "com": "http://datex2.eu/schema/3/common",
    "loc": "http://datex2.eu/schema/3/locationReferencing",
    "roa": "http://datex2.eu/schema/3/roadTrafficData",
}
for _prefix, _space in (*_SPACES.items(), ("xsi", _XSI)):
    ElementTree.register_namespace(_prefix, _space)


@dataclass(frozen=True, slots=True)
class Publisher:
    """Who publishes. country: two letters. language: of the names of roads, such as `en`."""

    country: str
    name: str
    language: str


def site_table(places: Sequence[Place], publisher: Publisher, now: datetime) -> bytes:
    """Return a MeasurementSiteTablePublication. places: at least one, as the schema wants it."""
    root = _publication("MeasurementSiteTablePublication", publisher, now)
    _add_header(root)
    table = _add(root, "roa:measurementSiteTable", id=_TABLE, version=_table_version(places))
    for place in places:
        _add_site(table, place)
    return _written(root)


def measured_data(places: Sequence[Place], observed: Sequence[Observed], publisher: Publisher, now: datetime) -> bytes:
    """Return a MeasuredDataPublication. places: of the site table. observed: at least one, as the schema wants it."""
    root = _publication("MeasuredDataPublication", publisher, now)
    version = _table_version(places)
    reference = {"targetClass": "roa:MeasurementSiteTable", "id": _TABLE, "version": version}
    _add(root, "roa:measurementSiteTableReference", **reference)
    _add_header(root)
    for one in observed:
        _add_measurements(root, one)
    return _written(root)


def _publication(kind: str, publisher: Publisher, now: datetime) -> ElementTree.Element:
    root = _element("d2:payload", lang=publisher.language, modelBaseVersion="3")
    _set_kind(root, "roa", kind)
    _add(root, "com:publicationTime", written_time(now))
    creator = _add(root, "com:publicationCreator")
    _add(creator, "com:country", publisher.country)
    _add(creator, "com:nationalIdentifier", publisher.name)
    return root


def _add_header(root: ElementTree.Element) -> None:
    _add(_add(root, "roa:headerInformation"), "com:informationStatus", "real")


def _add_site(table: ElementTree.Element, place: Place) -> None:
    site = _add(table, "roa:measurementSite", id=place.id, version=_version(place))
    _add_words(site, "roa:measurementSiteName", place.road)
    if place.lanes is not None:
        _add(site, "roa:measurementSiteNumberOfLanes", str(place.lanes))
    for series in place.series():
        site.append(_characteristics(series, _side(place, series.direction), place.period_s))
    _add_location(site, place)


@cache
def _characteristics(series: Series, side: str, period_s: int) -> ElementTree.Element:
    """Return what is measured of a class and direction: one element for all sites, whose table it nearly fills."""
    indexed = _element("roa:measurementSpecificCharacteristics", index=_index(series))
    what = _add(indexed, "roa:measurementSpecificCharacteristics")
    _add(what, "roa:measurementSide", side)
    _add(what, "roa:period", str(period_s))
    _add(what, "roa:specificMeasurementValueType", "trafficFlow")
    vehicles = _add(what, "roa:specificVehicleCharacteristics")
    _add(vehicles, "com:vehicleType", VEHICLE_TYPES[series.vehicle])
    return indexed


def _add_location(site: ElementTree.Element, place: Place) -> None:
    location = _add(site, "roa:measurementSiteLocation")
    _set_kind(location, "loc", "PointLocation")
    described = _add(location, "loc:supplementaryPositionalDescription")
    _add(_add(described, "loc:roadInformation"), "loc:roadName", place.road)
    if place.lat is not None and place.lon is not None:
        point = _add(_add(location, "loc:pointByCoordinates"), "loc:pointCoordinates")
        _add(point, "loc:latitude", str(place.lat))
        _add(point, "loc:longitude", str(place.lon))


def _add_measurements(root: ElementTree.Element, observed: Observed) -> None:
    place = observed.place
    site = _add(root, "roa:siteMeasurements")
    reference = {"targetClass": "roa:MeasurementSite", "id": place.id, "version": _version(place)}
    _add(site, "roa:measurementSiteReference", **reference)
    for series in place.series():
        indexed = _add(site, "roa:physicalQuantity", index=_index(series))
        quantity = _add(indexed, "roa:physicalQuantity")
        _set_kind(quantity, "roa", "SinglePhysicalQuantity")
        data = _add(quantity, "roa:basicData")
        _set_kind(data, "roa", "TrafficFlow")
        many, quality = str(observed.counts[series.column]), f"{100 * observed.covered:.1f}"
        flow = _add(data, "roa:vehicleFlow", numberOfInputValuesUsed=many, supplierCalculatedDataQuality=quality)
        _add(flow, "com:vehicleFlowRate", str(observed.per_hour(series.column)))
    time = _add(site, "roa:measurementTimeDefault")
    _add(time, "roa:timeMeaning", "endTime")
    _add(time, "roa:timeValue", written_time(observed.end))
    period = _add(time, "roa:period")
    _add(period, "com:startOfPeriod", written_time(observed.start))
    _add(period, "com:endOfPeriod", written_time(observed.end))


def _side(place: Place, direction: Direction) -> str:
    """Return where vehicles of a direction drive to; without bearings the directions are told apart only."""
    bearing = place.bearings[DIRECTIONS.index(direction)]
    if bearing is None:
        return _WITHOUT_BEARING[direction]
    return f"{_BOUND[round(bearing / 45) % len(_BOUND)]}Bound"


def _index(series: Series) -> str:
    return str(series.column + 1)


def _version(place: Place) -> str:
    """Return the version of a site, which changes with its description."""
    told = (place.id, place.road, place.lat, place.lon, place.lanes, place.bearings, sorted(place.classes))
    return hashlib.sha256(repr(told).encode("utf-8", "replace")).hexdigest()[:12]


def _table_version(places: Sequence[Place]) -> str:
    return hashlib.sha256(" ".join(_version(place) for place in places).encode()).hexdigest()[:12]


def _name(prefix: str, local: str) -> ElementTree.QName:
    return ElementTree.QName(_SPACES[prefix], local)


def _set_kind(element: ElementTree.Element, prefix: str, kind: str) -> None:
    # A QName is written with its prefix, which the stubs do not know of values.
    element.set(f"{{{_XSI}}}type", _name(prefix, kind))  # type: ignore[arg-type]


@cache
def _tag(name: str) -> str:
    return str(_name(*name.split(":")).text)


def _element(name: str, text: str = "", **attributes: str) -> ElementTree.Element:
    made = ElementTree.Element(_tag(name), attributes)
    made.text = _UNWRITABLE.sub("", text)[:_LONGEST] or None
    return made


def _add(parent: ElementTree.Element, name: str, text: str = "", **attributes: str) -> ElementTree.Element:
    made = _element(name, text, **attributes)
    parent.append(made)
    return made


def _add_words(parent: ElementTree.Element, name: str, text: str) -> None:
    """Add a text in the language of the publication."""
    _add(_add(_add(parent, name), "com:values"), "com:value", text)


def _written(root: ElementTree.Element) -> bytes:
    # As text first: straight into bytes each of millions of pieces is encoded by itself.
    return f'<?xml version="1.0" encoding="utf-8"?>\n{ElementTree.tostring(root, encoding="unicode")}'.encode()
