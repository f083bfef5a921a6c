"""Route of the SensorThings feed: sites and all their quarters of an hour, as OGC SensorThings; off by default."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from http import HTTPStatus
from typing import Annotated, Any, Final, NamedTuple
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Path, Query, Request
from fastapi.responses import JSONResponse

from edge_app.city.access import Right
from edge_app.city.database import reading
from edge_app.city.database.engine import Connection
from edge_app.city.database.reading import Total
from edge_app.city.database.steps import quarters_with_reached
from edge_app.city.feeds.observed import Place
from edge_app.city.feeds.sensorthings import Asked, entities, observation, read_filter, read_path, root, series_of
from edge_app.city.routes.city import City, needs
from edge_app.city.routes.feeds import feed_off, place_of, quarter_of
from edge_app.city.sums import QUARTER_S
from edge_app.http.problems import RefusalError

_ROOT: Final = "/api/v1/sensorthings/v1.1"
_MOST: Final = 1000
_WAYS: Final = {"": False, "asc": False, "desc": True}
"""How `$orderby` may end -> newest first."""


class _Options(NamedTuple):
    top: int
    skip: int
    tell_count: bool
    order: str
    condition: str


def _options(
    top: Annotated[int, Query(alias="$top", ge=1, le=_MOST, description="Entities of one answer")] = 100,
    skip: Annotated[int, Query(alias="$skip", ge=0, le=10**9, description="Entities to pass over")] = 0,
    count: Annotated[bool, Query(alias="$count", description="Tell how many there are of all")] = False,
    order: Annotated[str, Query(alias="$orderby", max_length=100, description="phenomenonTime, asc or desc")] = "",
    condition: Annotated[
        str, Query(alias="$filter", max_length=400, description="phenomenonTime ge, gt, le, lt TIME, joined by `and`")
    ] = "",
) -> _Options:
    return _Options(top, skip, count, order, condition)


def sensorthings_routes(city: City) -> APIRouter:
    """Return the route; it takes every path below the root, which OpenAPI cannot describe one by one."""
    routes = APIRouter(dependencies=[needs(Right.READ)])

    @routes.get(
        f"{_ROOT}/{{path:path}}",
        summary="Sites and all their quarters of an hour as OGC SensorThings 1.1",
        response_class=JSONResponse,
    )
    def sensorthings(
        request: Request,
        path: Annotated[str, Path(max_length=400, description="Such as `Things` or `Datastreams('ID')/Observations`")],
        options: Annotated[_Options, Depends(_options)],
        expand: Annotated[str | None, Query(alias="$expand", include_in_schema=False)] = None,
        select: Annotated[str | None, Query(alias="$select", include_in_schema=False)] = None,
    ) -> dict[str, Any]:
        if not city.sensorthings:
            raise feed_off("sensorthings")
        for key, value in (("$expand", expand), ("$select", select)):
            if value is not None:
                sentence = f"{key} is not answered here"
                raise RefusalError(HTTPStatus.NOT_IMPLEMENTED, sentence, code="not_answered", option=key)
        origin = city.origin or str(request.base_url).rstrip("/")
        return _answer(city, path.rstrip("/"), options, f"{origin}{_ROOT}")

    return routes


def _answer(city: City, path: str, options: _Options, address: str) -> dict[str, Any]:
    if not path:
        return root(address)
    asked = read_path(path)
    if asked is None:
        raise _nothing()
    with city.database.connect() as connection:
        sites = reading.read_sites(connection, city.utc(), meta=True)
    places = {site.row.id: place_of(site) for site in sites if not site.synthetic}
    if asked.of == "Observations":
        page, many = _observations(city, asked, places, options, address)
    else:
        if options.order or options.condition:
            sentence = "$orderby and $filter are answered for Observations alone"
            raise RefusalError(HTTPStatus.NOT_IMPLEMENTED, sentence, code="observations_alone")
        found = entities(asked, places, address)
        if found is None or (asked.of in _OF_ONE and not found):
            raise _nothing()
        if (asked.key and not asked.of) or asked.of in _OF_ONE:
            return found[0]
        page, many = found[options.skip : options.skip + options.top], len(found)
    return _page(page, many, options, f"{address}/{path}")


_OF_ONE: Final = ("Thing", "Sensor", "ObservedProperty")
"""What a Datastream has one of."""


def _observations(
    city: City, asked: Asked, places: dict[str, Place], options: _Options, address: str
) -> tuple[list[dict[str, Any]], int]:
    found = series_of(places, asked.key) if asked.kind == "Datastreams" else None
    if found is None:
        raise _nothing()
    span = read_filter(options.condition)
    by, _, way = options.order.lower().partition(" ")  # clients write DESC, OData desc
    if span is None or by not in ("", "phenomenontime") or way not in _WAYS:
        what = "$filter" if span is None else "$orderby"
        sentence = f"{what} may use phenomenonTime alone; docs/city.md tells how"
        raise RefusalError(HTTPStatus.BAD_REQUEST, sentence, code="time_alone", option=what)
    place, series = found
    over = int(city.utc()) // QUARTER_S * QUARTER_S
    with city.database.connect() as connection:
        page, many = reading.read_quarter_page(
            connection,
            place.id,
            span[0],
            min(span[1], over),
            newest_first=_WAYS[way],
            offset=options.skip,
            limit=options.top,
        )
        totals = _with_reached(connection, place.id, page)
    return [observation(quarter_of(place, one), series, address) for one in totals], many


def _with_reached(connection: Connection, site: str, page: Sequence[Total]) -> list[Total]:
    """Return the quarters of a page with what was seen of them by intervals before them."""
    if not page:
        return []
    first, last = (edge(one.start for one in page) for edge in (min, max))
    around = reading.read_quarters(connection, first, last + 1, [site], reaching=True).get(site, ())
    reached = {one.start: one.reached_s for one in quarters_with_reached(around, first)}
    return [replace(one, reached_s=reached[one.start]) for one in page]


def _page(page: Sequence[dict[str, Any]], many: int, options: _Options, address: str) -> dict[str, Any]:
    answer: dict[str, Any] = {"@iot.count": many} if options.tell_count else {}
    if options.skip + len(page) < many and page:
        given = {
            "$count": "true" if options.tell_count else "",
            "$orderby": options.order,
            "$filter": options.condition,
        }
        given |= {"$top": str(options.top), "$skip": str(options.skip + len(page))}
        answer["@iot.nextLink"] = f"{address}?{urlencode({key: value for key, value in given.items() if value})}"
    return {**answer, "value": page}


def _nothing() -> RefusalError:
    sentence = f"there is nothing of that name; {_ROOT}/ lists what there is"
    return RefusalError(HTTPStatus.NOT_FOUND, sentence, code="no_entity", address=f"{_ROOT}/")
