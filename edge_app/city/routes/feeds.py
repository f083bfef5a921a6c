"""Routes of the standard feeds: the newest quarter of an hour of each site, for other systems; each off by default."""

from __future__ import annotations

import json
from collections.abc import Collection
from http import HTTPStatus
from typing import Annotated, Any, Final, Literal, NamedTuple, TypeAlias

from fastapi import APIRouter, Path, Query, Request, Response
from starlette.concurrency import run_in_threadpool

from edge_app.city.access import Right
from edge_app.city.calendar import moment
from edge_app.city.database import reading
from edge_app.city.database.reading import Site, Total
from edge_app.city.database.steps import quarters_with_reached
from edge_app.city.feeds.datex2 import Publisher, measured_data, site_table
from edge_app.city.feeds.fiware import CONTEXT, KIND, KIND_IRI, entities, find_entity, shown
from edge_app.city.feeds.observed import Observed, Place
from edge_app.city.routes.city import City, needs
from edge_app.city.routes.kept import Kept
from edge_app.city.sums import QUARTER_S
from edge_app.city.telling import LAST_S, counted_until, newest_seen
from edge_app.http.problems import RefusalError
from edge_app.records import VEHICLES

_XML: Final = "application/xml"
_JSON: Final = "application/json"
_LD: Final = "application/ld+json"
_AS_XML: Final[dict[int | str, dict[str, Any]]] = {200: {"content": {_XML: {"schema": {"type": "string"}}}}}
_ENTITIES: Final = {"type": "array", "items": {"type": "object"}}
_AS_ENTITIES: Final[dict[int | str, dict[str, Any]]] = {
    200: {"content": {kind: {"schema": _ENTITIES} for kind in (_JSON, _LD)}}
}
_MOST: Final = 1000
_KEPT_S: Final = 20.0
"""How long, s, what was read for a feed is good: national access points ask once a minute."""
_OLD_S: Final = 60.0
"""Age up to which it is told while it is read anew."""
_AS_ENTITY: Final[dict[int | str, dict[str, Any]]] = {
    200: {"content": {kind: {"schema": {"type": "object"}} for kind in (_JSON, _LD)}}
}
_Seen: TypeAlias = tuple[list[Place], list[Observed]]
_Options: TypeAlias = Annotated[
    Literal["normalized", "keyValues"], Query(description="keyValues: values alone, without types and what is beside")
]
_Attrs: TypeAlias = Annotated[str, Query(max_length=500, description="Names of attributes, by commas; none: all")]


class _Paths(NamedTuple):
    """Addresses of all entities, and of one. name: end of the names of their routes."""

    all: str
    one: str
    name: str


_NGSI_LD: Final = (
    _Paths("/api/v1/ngsi-ld/entities", "/api/v1/ngsi-ld/entities/{entity}", ""),
    _Paths("/ngsi-ld/v1/entities", "/ngsi-ld/v1/entities/{entity}", "_of_the_standard"),
)
"""The second is where the standard has them, and brokers look for them."""


def feed_routes(city: City) -> APIRouter:
    """Return the routes of all feeds."""
    routes = APIRouter(dependencies=[needs(Right.READ)])
    seen = Kept(lambda now: _seen(city, int(now)), city.utc, _KEPT_S, old_s=_OLD_S)
    _add_datex2(routes, city, seen)
    for paths in _NGSI_LD:
        _add_fiware(routes, city, seen, paths)
    return routes


def _add_datex2(routes: APIRouter, city: City, seen: Kept[_Seen]) -> None:
    @routes.get(
        "/api/v1/datex2/sites.xml",
        summary="All sites as a DATEX II MeasurementSiteTablePublication",
        response_class=Response,
        responses=_AS_XML,
    )
    async def datex2_sites() -> Response:
        publisher, now = _publisher(city), int(city.utc())
        places, _ = await seen.now()
        if not places:
            sentence = "there is no site yet, and DATEX II has no empty table"
            raise RefusalError(HTTPStatus.NOT_FOUND, sentence, code="no_site_yet")
        told = await run_in_threadpool(site_table, places, publisher, moment(now))
        return Response(told, media_type=_XML)

    @routes.get(
        "/api/v1/datex2/measured.xml",
        summary="The newest quarter of an hour of each site as a DATEX II MeasuredDataPublication",
        response_class=Response,
        responses=_AS_XML,
    )
    async def datex2_measured() -> Response:
        publisher, now = _publisher(city), int(city.utc())
        places, observed = await seen.now()
        if not observed:
            raise RefusalError(
                HTTPStatus.NOT_FOUND,
                "no site has a recent quarter of an hour that is over and was seen by half, and "
                "DATEX II has no empty list",
                code="nothing_seen",
            )
        told = await run_in_threadpool(measured_data, places, observed, publisher, moment(now))
        return Response(told, media_type=_XML)


def _add_fiware(routes: APIRouter, city: City, seen: Kept[_Seen], paths: _Paths) -> None:
    @routes.get(
        paths.all,
        name=f"ngsi_ld_entities{paths.name}",
        summary="The newest quarter of an hour of each site, class and direction as NGSI-LD entities",
        response_class=Response,
        responses=_AS_ENTITIES,
    )
    async def ngsi_ld_entities(
        request: Request,
        kind: Annotated[str, Query(alias="type", max_length=200, description=f"{KIND}; of others there are none")],
        limit: Annotated[int, Query(ge=1, le=_MOST, description="Entities of one answer")] = 20,
        offset: Annotated[int, Query(ge=0, le=10**9, description="Entities to pass over")] = 0,
        options: _Options = "normalized",
        attrs: _Attrs = "",
        count: Annotated[bool, Query(description="NGSILD-Results-Count is told in either case")] = True,  # noqa: ARG001
    ) -> Response:
        if not city.fiware:
            raise feed_off("fiware")
        observed = (await seen.now())[1] if kind in (KIND, KIND_IRI) else []
        page, many = await run_in_threadpool(entities, observed, offset, limit)
        told = [shown(one, options == "keyValues", _names(attrs)) for one in page]
        return _ngsi_ld(request, told, {"NGSILD-Results-Count": str(many)})

    @routes.get(
        paths.one,
        name=f"ngsi_ld_entity{paths.name}",
        summary="One NGSI-LD entity by its id",
        response_class=Response,
        responses=_AS_ENTITY,
    )
    async def ngsi_ld_entity(
        request: Request,
        entity: Annotated[str, Path(max_length=300)],
        options: _Options = "normalized",
        attrs: _Attrs = "",
    ) -> Response:
        if not city.fiware:
            raise feed_off("fiware")
        found = await run_in_threadpool(find_entity, (await seen.now())[1], entity)
        if found is None:
            sentence = "there is no such entity, or nothing was seen there lately"
            raise RefusalError(HTTPStatus.NOT_FOUND, sentence, code="no_such_entity")
        return _ngsi_ld(request, shown(found, options == "keyValues", _names(attrs)), {})


def _names(attrs: str) -> Collection[str]:
    return {name for name in attrs.split(",") if name}


def _ngsi_ld(request: Request, told: Any, headers: dict[str, str]) -> Response:
    """Return an answer with the context in it, or beside it where JSON alone is asked for (ETSI GS CIM 009, 6.3.5)."""
    headers["vary"] = "Accept"
    if _LD in request.headers.get("accept", ""):
        with_it = (
            [{**one, "@context": CONTEXT} for one in told] if isinstance(told, list) else {**told, "@context": CONTEXT}
        )
        return Response(_text(with_it), media_type=_LD, headers=headers)
    headers["link"] = f'<{CONTEXT}>; rel="http://www.w3.org/ns/json-ld#context"; type="{_LD}"'
    return Response(_text(told), media_type=_JSON, headers=headers)


def _publisher(city: City) -> Publisher:
    if city.datex2 is None:
        raise feed_off("datex2")
    return city.datex2


def feed_off(key: str) -> RefusalError:
    """Return the refusal of a feed that is not configured."""
    sentence = f"this feed is off; feeds.{key} = true in city.toml turns it on"
    return RefusalError(HTTPStatus.NOT_FOUND, sentence, code="feed_off", key=f"feeds.{key}")


def _text(told: Any) -> str:
    return json.dumps(told, ensure_ascii=False)


def _seen(city: City, now: int) -> _Seen:
    """Return all sites that count, and the newest quarter of each that was seen lately. now: UTC s.

    What is invented is no traffic: neither a site whose device invents now nor such a quarter is there.
    """
    with city.database.connect() as connection:
        sites = reading.read_sites(connection, now, meta=True)
        quarters = reading.read_quarters(connection, now - LAST_S, now, new_at=now)
    places, observed = [], []
    for site in (one for one in sites if not one.synthetic):
        place = place_of(site)
        places.append(place)
        told = quarters_with_reached((one for one in quarters.get(place.id, ()) if not one.synthetic), 0)
        newest = newest_seen(told, now)
        if newest is not None:
            observed.append(quarter_of(place, newest))
    return places, observed


def quarter_of(place: Place, total: Total) -> Observed:
    """Return a quarter of an hour as feeds tell it: until the end of its last interval, whose vehicles it has."""
    return Observed(
        place,
        moment(total.start),
        moment(counted_until(total)),
        total.covered_s,
        total.covered_s + total.reached_s,
        total.counts,
        total.straddling_s,
    )


def place_of(site: Site) -> Place:
    """Return a site as feeds describe it."""
    row, meta = site.row, site.device.meta if site.device else {}
    return Place(
        id=row.id,
        road=row.road,
        lat=row.lat,
        lon=row.lon,
        lanes=row.lanes,
        bearings=(row.left_bearing, row.right_bearing),
        classes=frozenset(meta.get("classes", VEHICLES)),
        period_s=max(QUARTER_S, site.longest_s),
    )
