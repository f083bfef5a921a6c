"""Write and read the inventory as CSV and as GeoJSON. No I/O: texts in, texts out.

CSV has a row for each attachment, and one for a site without any; the columns of the site repeat. GeoJSON (RFC 7946)
has a feature for each site, with its attachments as a list.
"""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from edge_app.city.inventory import MOST_SITES, MOST_TOLD, InventoryError, SiteDescription, described
from edge_app.offline.bins import csv_text

_OF_SITE: Final = (
    *("site", "road", "lat", "lon", "time_zone", "left_to_right", "left_to_right_bearing_deg"),
    *("right_to_left", "right_to_left_bearing_deg", "lanes", "public"),
)
_OF_ATTACHMENT: Final = ("device", "line", "begins", "ends", "turned", "breaks", "reason")
COLUMNS: Final = (*_OF_SITE, *_OF_ATTACHMENT)
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
    mine += [_cell(told["lanes"]), _cell(told["public"])]
    for attachment in told["attachments"] or [{}]:
        yield [*mine, *(_cell(attachment.get(name)) for name in _OF_ATTACHMENT)]


def _cell(value: Any) -> str | int | float:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "" if value is None else value


def inventory_geojson(sites: Iterable[SiteDescription]) -> str:
    """Return sites as a FeatureCollection; the position of a site without one is null."""
    features = []
    for site in sites:
        told = site.model_dump(mode="json")
        identifier, lat, lon = (told.pop(name) for name in ("id", "lat", "lon"))
        features.append(feature(identifier, lat, lon, told))
    return json.dumps({"type": "FeatureCollection", "features": features}, ensure_ascii=False) + "\n"


def feature(identifier: str, lat: float | None, lon: float | None, properties: Mapping[str, Any]) -> dict[str, Any]:
    """Return a feature of GeoJSON (RFC 7946). lat, lon: None where there is no position."""
    point = None if lat is None else {"type": "Point", "coordinates": [lon, lat]}
    return {"type": "Feature", "id": identifier, "geometry": point, "properties": dict(properties)}


def read_inventory_csv(text: str) -> list[SiteDescription]:
    """Return the sites of a CSV file. Raises InventoryError: with up to twenty problems."""
    try:
        reader = csv.DictReader(io.StringIO(text.removeprefix("\ufeff"), newline=""), strict=True)
        missing = [name for name in ("site", "road", "time_zone") if name not in (reader.fieldnames or ())]
        unknown = [name for name in reader.fieldnames or () if name not in COLUMNS]
        twice = [name for name, many in Counter(reader.fieldnames or ()).items() if many > 1]
        if missing or unknown or twice:
            faults = [("has no column", missing), ("has an unknown column", unknown), ("has twice the column", twice)]
            what = next(f"{what} {names[0][:60]!r}" for what, names in faults if names)
            raise InventoryError(f"the first line {what}; the columns are {', '.join(COLUMNS)}")
        rows = [(reader.line_num, {key: _plain(value) for key, value in row.items()}) for row in reader]
        longer = next((number for number, row in rows if None in row), 0)
        if longer:
            raise InventoryError(f"row {longer}: has more cells than the first line; put a text with a comma in quotes")
    except csv.Error as error:
        raise InventoryError(f"this is no CSV file ({error})") from None
    return _judged(_sites_of(rows))


def _plain(value: Any) -> str:
    # What csv_text puts before a text that a spreadsheet would take for a formula.
    text = str(value or "").strip()
    return text[1:] if text[:1] == "'" and text[1:2] in tuple("=+-@") else text


def _sites_of(rows: Iterable[tuple[int, Mapping[str, str]]]) -> Iterator[tuple[str, Any]]:
    """Yield where each site begins and its values. Raises InventoryError: rows of a site do not agree."""
    sites: dict[str, tuple[int, Mapping[str, str], dict[str, Any]]] = {}
    for number, row in rows:
        name = row.get("site", "")
        if name not in sites:
            sites[name] = number, row, _site_values(row, number)
        first, before, values = sites[name]
        differing = next((column for column in _OF_SITE if row.get(column, "") != before.get(column, "")), None)
        if differing:
            raise InventoryError(f"row {number}: {differing} of {name} is another one than in row {first}")
        if any(row.get(column) for column in _OF_ATTACHMENT):
            values["attachments"].append(_attachment_values(row, number))
    for number, _, values in sites.values():
        yield f"row {number}", values


def _site_values(row: Mapping[str, str], number: int) -> dict[str, Any]:
    ways = {way: {"name": row.get(way, ""), "bearing_deg": row.get(f"{way}_bearing_deg") or None} for way in _WAYS}
    return {
        "id": row.get("site", ""),
        "road": row.get("road", ""),
        "time_zone": row.get("time_zone", ""),
        **{name: row.get(name) or None for name in ("lat", "lon", "lanes")},
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
        raise InventoryError(f"row {number}: {name}: must be yes or no") from None


def read_inventory_geojson(text: str) -> list[SiteDescription]:
    """Return the sites of a FeatureCollection. Raises InventoryError: with up to twenty problems."""
    try:
        whole = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InventoryError(f"this is no JSON ({str(error)[:100]})") from None
    features = whole.get("features") if isinstance(whole, dict) and whole.get("type") == "FeatureCollection" else None
    if not isinstance(features, list):
        raise InventoryError("this is no FeatureCollection of GeoJSON")
    return _judged(_feature_values(features))


def _feature_values(features: Sequence[Any]) -> Iterator[tuple[str, Any]]:
    for number, feature in enumerate(features, 1):
        where = f"feature {number}"
        if not isinstance(feature, dict) or not isinstance(feature.get("properties"), dict):
            raise InventoryError(f"{where}: is no feature with properties")
        values = {**feature["properties"], "id": feature.get("id", feature["properties"].get("id", ""))}
        if feature.get("geometry") is not None:
            values |= _position(feature["geometry"], where)
        yield where, values


def _position(geometry: Any, where: str) -> dict[str, Any]:
    point = geometry.get("coordinates") if isinstance(geometry, dict) and geometry.get("type") == "Point" else None
    if not isinstance(point, list) or len(point) not in (2, 3):
        raise InventoryError(f"{where}: its geometry must be a Point or null")
    return {"lon": point[0], "lat": point[1]}


def _judged(found: Iterable[tuple[str, Any]]) -> list[SiteDescription]:
    sites: list[SiteDescription] = []
    problems: list[str] = []
    for where, values in found:
        try:
            sites.append(described(values, where))
        except InventoryError as error:
            problems += error.problems
        if len(problems) >= MOST_TOLD or len(sites) > MOST_SITES:
            break
    if len(sites) > MOST_SITES:
        problems = [f"more than {MOST_SITES:,} sites: import them in parts"]
    if problems:
        raise InventoryError(*problems[:MOST_TOLD])
    return sites
