"""Write and read the inventory as CSV and as GeoJSON. No I/O: texts in, texts out.

CSV has a row for each attachment, and one for a site without any; the columns of the site repeat. GeoJSON (RFC 7946)
has a feature for each site, with its attachments as a list: a Point, or the LineString of its road's course, whose
properties then have the position.
"""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

from edge_app.city.calendar import zone
from edge_app.city.course import wkt_of
from edge_app.city.invalid import Place
from edge_app.city.inventory import MOST_SITES, MOST_TOLD, InventoryError, SiteDescription, described
from edge_app.http.problems import Reason, because
from edge_app.offline.bins import csv_text

_OF_SITE: Final = (
    *("site", "road", "lat", "lon", "time_zone", "left_to_right", "left_to_right_bearing_deg"),
    *("right_to_left", "right_to_left_bearing_deg", "lanes", "public", "course"),
)
_OF_ATTACHMENT: Final = ("device", "line", "begins", "ends", "turned", "breaks", "reason")
COLUMNS: Final = (*_OF_SITE, *_OF_ATTACHMENT)
_SEPARATORS: Final = (",", ";", "\t")
"""Between the columns: a comma, or what a spreadsheet writes where the comma is in its numbers."""
_WAYS: Final = ("left_to_right", "right_to_left")
_TRUE: Final = {"yes": True, "true": True, "1": True, "no": False, "false": False, "0": False, "": False}


def inventory_csv(sites: Iterable[SiteDescription]) -> str:
    """Return sites as CSV with COLUMNS."""
    return csv_text((row for site in sites for row in _rows(site)), COLUMNS)


def _rows(site: SiteDescription) -> Iterator[list[str | int | float]]:
    told = site.model_dump(mode="json")
    mine = [told["id"], *(_cell(told[name]) for name in ("road", "lat", "lon", "time_zone"))]
    for way in _WAYS:
        mine += [told[way]["name"], _cell(told[way]["bearing_deg"])]
    mine += [_cell(told["lanes"]), _cell(told["public"]), wkt_of(site.course) if site.course else ""]
    tz = zone(site.time_zone)
    for one, attachment in zip(site.attachments, told["attachments"], strict=True):
        attachment |= {name: _local(getattr(one, name), tz) for name in ("begins", "ends")}
    for attachment in told["attachments"] or [{}]:
        yield [*mine, *(_cell(attachment.get(name)) for name in _OF_ATTACHMENT)]


def _local(at: datetime | None, tz: ZoneInfo) -> str | None:
    """Return a time as a clock at the site shows it, with its offset."""
    return at.astimezone(tz).isoformat() if at else None


def _cell(value: Any) -> str | int | float:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "" if value is None else value


def inventory_geojson(sites: Iterable[SiteDescription]) -> str:
    """Return sites as a FeatureCollection; the position of a site without one is null."""
    features = []
    for site in sites:
        told = site.model_dump(mode="json")
        identifier, lat, lon, course = (told.pop(name) for name in ("id", "lat", "lon", "course"))
        made = feature(identifier, lat, lon, told)
        if course:
            made["geometry"] = {"type": "LineString", "coordinates": course}
            made["properties"] |= {"lat": lat, "lon": lon}
        features.append(made)
    return json.dumps({"type": "FeatureCollection", "features": features}, ensure_ascii=False) + "\n"


def feature(identifier: str, lat: float | None, lon: float | None, properties: Mapping[str, Any]) -> dict[str, Any]:
    """Return a feature of GeoJSON (RFC 7946). lat, lon: None where there is no position."""
    point = None if lat is None else {"type": "Point", "coordinates": [lon, lat]}
    return {"type": "Feature", "id": identifier, "geometry": point, "properties": dict(properties)}


def read_inventory_csv(text: str) -> list[SiteDescription]:
    """Return the sites of a CSV file. Raises InventoryError: with up to twenty problems."""
    try:
        text = text.removeprefix("\ufeff")
        separator = max(_SEPARATORS, key=text.partition("\n")[0].count)
        reader = csv.DictReader(io.StringIO(text, newline=""), strict=True, delimiter=separator)
        missing = [name for name in ("site", "road", "time_zone") if name not in (reader.fieldnames or ())]
        unknown = [name for name in reader.fieldnames or () if name not in COLUMNS]
        twice = [name for name, many in Counter(reader.fieldnames or ()).items() if many > 1]
        if missing:
            raise InventoryError(_about_column("has no column", missing[0], code="no_column"))
        if unknown:
            raise InventoryError(_about_column("has an unknown column", unknown[0], code="unknown_column"))
        if twice:
            raise InventoryError(_about_column("has twice the column", twice[0], code="column_twice"))
        rows = [(reader.line_num, {key: _plain(value) for key, value in row.items()}) for row in reader]
        longer = next((number for number, row in rows if None in row), 0)
        if longer:
            detail = f"row {longer}: has more cells than the first line; put a text with a comma in quotes"
            raise InventoryError(because(detail, code="long_row", row=longer))
        if separator != _SEPARATORS[0]:
            rows = [(number, _with_points(row)) for number, row in rows]
    except csv.Error as error:
        why = str(error)
        raise InventoryError(because(f"this is no CSV file ({why})", code="no_csv", why=why)) from None
    return _judged(_sites_of(rows))


def _with_points(row: Mapping[str, str]) -> dict[str, str]:
    """Return a row whose degrees have decimal points: a spreadsheet that does not separate by commas writes these."""
    return {**row, **{key: row[key].replace(",", ".") for key in ("lat", "lon") if row.get(key)}}


def _about_column(what: str, column: str, *, code: str) -> Reason:
    columns = ", ".join(COLUMNS)
    column = column[:60]
    detail = f"the first line {what} {column!r}; the columns are {columns}"
    return because(detail, code=code, column=column, columns=columns)


def _plain(value: Any) -> str:
    # What csv_text puts before a text that a spreadsheet would take for a formula.
    text = str(value or "").strip()
    return text[1:] if text[:1] == "'" and text[1:2] in tuple("=+-@") else text


def _sites_of(rows: Iterable[tuple[int, Mapping[str, str]]]) -> Iterator[tuple[Place, Any]]:
    """Yield where each site begins and its values. Raises InventoryError: rows of a site do not agree."""
    sites: dict[str, tuple[int, Mapping[str, str], dict[str, Any]]] = {}
    for number, row in rows:
        name = row.get("site", "")
        if name not in sites:
            sites[name] = number, row, _site_values(row, number)
        first, before, values = sites[name]
        differing = next((column for column in _OF_SITE if row.get(column, "") != before.get(column, "")), None)
        if differing:
            detail = f"row {number}: {differing} of {name} is another one than in row {first}"
            raise InventoryError(
                because(detail, code="rows_differ", row=number, column=differing, site=name, first=first)
            )
        if any(row.get(column) for column in _OF_ATTACHMENT):
            values["attachments"].append(_attachment_values(row, number))
    for number, _, values in sites.values():
        yield ("row", number), values


def _site_values(row: Mapping[str, str], number: int) -> dict[str, Any]:
    ways = {way: {"name": row.get(way, ""), "bearing_deg": row.get(f"{way}_bearing_deg") or None} for way in _WAYS}
    return {
        "id": row.get("site", ""),
        "road": row.get("road", ""),
        "time_zone": row.get("time_zone", ""),
        **{name: row.get(name) or None for name in ("lat", "lon", "lanes", "course")},
        "public": _truth(row, "public", number),
        **ways,
        "attachments": [],
    }


def _attachment_values(row: Mapping[str, str], number: int) -> dict[str, Any]:
    return {
        **{name: row.get(name, "") for name in ("device", "line", "reason")},
        **{name: row.get(name) or None for name in ("begins", "ends")},
        **{name: _truth(row, name, number) for name in ("turned", "breaks")},
    }


def _truth(row: Mapping[str, str], name: str, number: int) -> bool:
    try:
        return _TRUE[row.get(name, "").lower()]
    except KeyError:
        detail = f"row {number}: {name}: must be yes or no"
        raise InventoryError(because(detail, code="no_truth", row=number, field=name)) from None


def read_inventory_geojson(text: str) -> list[SiteDescription]:
    """Return the sites of a FeatureCollection. Raises InventoryError: with up to twenty problems."""
    try:
        whole = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InventoryError(because(f"this is no JSON ({str(error)[:100]})", code="no_json")) from None
    features = whole.get("features") if isinstance(whole, dict) and whole.get("type") == "FeatureCollection" else None
    if not isinstance(features, list):
        raise InventoryError(because("this is no FeatureCollection of GeoJSON", code="no_collection"))
    return _judged(_feature_values(features))


def _feature_values(features: Sequence[Any]) -> Iterator[tuple[Place, Any]]:
    for number, feature in enumerate(features, 1):
        if not isinstance(feature, dict) or not isinstance(feature.get("properties"), dict):
            detail = f"feature {number}: is no feature with properties"
            raise InventoryError(because(detail, code="no_feature", feature=number))
        values = {**feature["properties"], "id": feature.get("id", feature["properties"].get("id", ""))}
        if feature.get("geometry") is not None:
            values |= _placed(feature["geometry"], number)
        yield ("feature", number), values


def _placed(geometry: Any, number: int) -> dict[str, Any]:
    """Return the position or the course that a geometry tells; heights are left out."""
    kind, told = (geometry.get("type"), geometry.get("coordinates")) if isinstance(geometry, dict) else (None, None)
    if kind == "MultiLineString" and isinstance(told, list) and len(told) == 1:  # as some programs write any line
        kind, told = "LineString", told[0]
    points = {"Point": [told], "LineString": told}.get(str(kind))
    if not isinstance(points, list) or not all(isinstance(one, list) and len(one) in (2, 3) for one in points):
        detail = f"feature {number}: its geometry must be a Point, a LineString or null"
        raise InventoryError(because(detail, code="no_geometry", feature=number))
    return {"lon": points[0][0], "lat": points[0][1]} if kind == "Point" else {"course": [one[:2] for one in points]}


def _judged(found: Iterable[tuple[Place, Any]]) -> list[SiteDescription]:
    sites: list[SiteDescription] = []
    problems: list[Reason] = []
    for place, values in found:
        try:
            sites.append(described(values, place))
        except InventoryError as error:
            problems += error.reasons
        if len(problems) >= MOST_TOLD or len(sites) > MOST_SITES:
            break
    if len(sites) > MOST_SITES:
        detail = f"more than {MOST_SITES:,} sites: import them in parts"
        problems = [because(detail, code="too_many_sites", most=MOST_SITES)]
    if problems:
        raise InventoryError(*problems[:MOST_TOLD])
    return sites
