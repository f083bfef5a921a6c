"""Routes of the city's page and API, described as OpenAPI 3.1.

A route reads the request, asks the database in a thread of the pool and sends the answer; nothing else happens here.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from http import HTTPStatus
from pathlib import Path as File
from typing import Annotated, Any, Final, Literal

from fastapi import FastAPI, Path, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import StreamingResponse
from pydantic import AwareDatetime
from starlette.exceptions import HTTPException

from edge_app import __version__
from edge_app.city import telling
from edge_app.city.answers import Counts, Devices, SiteAnswer, Sites, Usual, Whole
from edge_app.city.calendar import step_around, zone
from edge_app.city.database import reading
from edge_app.city.database.engine import Connection, Database
from edge_app.city.database.reading import AnyStep, Site
from edge_app.city.live import Live
from edge_app.http.problems import RefusalError, problem_of
from edge_app.web.languages import choose_language, messages_json

_PAGE: Final = File(__file__).parent / "page"
_KINDS: Final = {".html": "text/html", ".js": "text/javascript", ".css": "text/css"}
_HEADERS: Final = {
    "content-security-policy": "default-src 'self'; img-src 'self' data:; style-src 'self' 'unsafe-inline'; "
    "frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}
_MOST_S: Final[dict[str, int]] = {"quarter": 35 * 86_400, "hour": 400 * 86_400, "day": 4000 * 86_400}
_OWN_HOSTS: Final = ("127.0.0.1", "localhost", "[::1]")
_WEEKS: Final = 8
"""Weeks of which the usual day is made."""

SiteId = Annotated[str, Path(description="Id of a site", max_length=200)]
From = Annotated[AwareDatetime, Query(alias="from", description="Begin, included: RFC 3339 with an offset")]
To = Annotated[AwareDatetime, Query(description="End, not included")]
StepQuery = Annotated[Literal["quarter", "hour", "day", "month"], Query(description="Of the site's own time")]


@dataclass(frozen=True, slots=True)
class City:
    """What the routes work with. local: only names of this machine are answered. utc: UTC s."""

    database: Database
    live: Live
    local: bool = True
    utc: Callable[[], float] = field(default=time.time)


def build_api(city: City) -> FastAPI:
    """Return the ASGI application of a city."""
    api = FastAPI(
        title="Traffic counts of a city",
        version=__version__,
        summary="Sites, devices, counts with their completeness, gaps.",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        generate_unique_id_function=lambda route: route.name,
    )
    _add_page(api)
    _add_data(api, city)
    _add_live(api, city)
    api.add_exception_handler(RefusalError, _on_refusal)
    api.add_exception_handler(HTTPException, _on_http)
    api.add_exception_handler(RequestValidationError, _on_invalid)

    @api.middleware("http")
    async def guard(request: Request, go_on: Callable[[Request], Any]) -> Response:
        host = request.headers.get("host", "")
        if city.local and host.rpartition(":")[0] not in _OWN_HOSTS and host not in _OWN_HOSTS:
            sentence = "this page answers to localhost alone: call it by that name"
            return await _on_refusal(request, RefusalError(HTTPStatus.FORBIDDEN, sentence))
        response: Response = await go_on(request)
        response.headers.update(_HEADERS)
        return response

    return api


def _add_data(api: FastAPI, city: City) -> None:
    @api.get("/api/v1/sites", summary="All sites with their state")
    def sites() -> Sites:
        with city.database.connect() as connection:
            found = reading.read_sites(connection)
        return Sites(sites=[telling.site_of(one, city.utc()) for one in found])

    @api.get("/api/v1/sites/{site}", summary="One site")
    def site(site: SiteId) -> SiteAnswer:
        with city.database.connect() as connection:
            return telling.site_of(_site(connection, site), city.utc())

    @api.get("/api/v1/sites/{site}/counts", summary="Counts of a site by steps of its own time")
    def counts(site: SiteId, begin: From, to: To, step: StepQuery = "hour") -> Counts:
        with city.database.connect() as connection:
            one = _site(connection, site)
            totals = reading.read_totals(connection, site, *_span(begin, to, step), step)
        tz = zone(one.row.time_zone)
        steps = [telling.counts_of(total, step, tz) for total in totals]
        return Counts(site=site, step=step, time_zone=one.row.time_zone, steps=steps)

    @api.get(
        "/api/v1/sites/{site}/counts.csv",
        summary="The same as CSV",
        response_class=Response,
        responses={200: {"content": {"text/csv": {"schema": {"type": "string"}}}}},
    )
    def counts_csv(site: SiteId, begin: From, to: To, step: StepQuery = "hour") -> Response:
        with city.database.connect() as connection:
            one = _site(connection, site)
            totals = reading.read_totals(connection, site, *_span(begin, to, step), step)
        text = telling.csv_of(site, totals, step, zone(one.row.time_zone))
        name = f"{site}-{begin.date()}-{to.date()}-{step}.csv"
        headers = {"content-disposition": f'attachment; filename="{name}"'}
        return Response(text, media_type="text/csv; charset=utf-8", headers=headers)

    @api.get("/api/v1/sites/{site}/usual", summary="The usual day of a site, for the weekday of a time")
    def usual(site: SiteId, at: Annotated[AwareDatetime, Query(description="A time of the day to compare")]) -> Usual:
        with city.database.connect() as connection:
            return _usual(connection, _site(connection, site), at)

    @api.get("/api/v1/devices", summary="All devices and what they last said of themselves")
    def devices() -> Devices:
        with city.database.connect() as connection:
            return Devices(devices=[telling.device_of(row) for row in reading.read_devices(connection)])

    @api.get("/api/v1/gaps", summary="What is missing, what contradicts, what was kept aside")
    def gaps() -> Whole:
        with city.database.connect() as connection:
            return telling.whole_of(
                reading.read_series(connection),
                reading.read_contradictions(connection),
                reading.read_poison(connection),
            )


def _usual(connection: Connection, site: Site, at: datetime) -> Usual:
    tz, days = zone(site.row.time_zone), []
    today, _ = step_around(int(at.timestamp()), "day", tz)
    for week in range(1, _WEEKS + 1):
        # Noon of the same weekday: a week of 7 * 86,400 s may begin an hour beside midnight where clocks are changed.
        begin, end = step_around(today - week * 7 * 86_400 + 43_200, "day", tz)
        totals = reading.read_totals(connection, site.row.id, begin, end, "quarter")
        if totals:
            days.append({total.start - begin: total for total in totals})
    median = reading.usual_day(days)
    return Usual(days=len(days), seconds=list(median), vehicles=list(median.values()))


def _add_live(api: FastAPI, city: City) -> None:
    @api.get(
        "/api/v1/live",
        summary="New intervals as they are stored, as server-sent events",
        response_class=StreamingResponse,
        responses={200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}}},
    )
    async def live() -> Response:
        if city.live.full:
            raise RefusalError(HTTPStatus.SERVICE_UNAVAILABLE, "as many pages watch as can: try again later")
        return StreamingResponse(city.live.events(), media_type="text/event-stream")


def _add_page(api: FastAPI) -> None:
    files = {path.relative_to(_PAGE).as_posix(): path for path in sorted(_PAGE.rglob("*")) if path.suffix in _KINDS}

    @api.get("/messages.json", include_in_schema=False)
    def texts(request: Request, language: str = "") -> Response:
        chosen = choose_language(request.headers.get("accept-language", ""), language)
        return Response(messages_json(chosen), media_type="application/json")

    @api.get("/", include_in_schema=False)
    @api.get("/street/{site}", include_in_schema=False)
    @api.get("/fleet", include_in_schema=False)
    @api.get("/gaps", include_in_schema=False)
    def index() -> Response:
        return Response(files["index.html"].read_bytes(), media_type="text/html; charset=utf-8")

    @api.get("/page/{name:path}", include_in_schema=False)
    def file(name: str) -> Response:
        if name not in files:
            raise RefusalError(HTTPStatus.NOT_FOUND, "there is no such file")
        kind = f"{_KINDS[files[name].suffix]}; charset=utf-8"
        return Response(files[name].read_bytes(), media_type=kind, headers={"cache-control": "max-age=60"})


def _site(connection: Connection, identifier: str) -> Site:
    found = reading.read_sites(connection, identifier)
    if not found:
        raise RefusalError(HTTPStatus.NOT_FOUND, "there is no such site; /api/v1/sites lists them")
    return found[0]


def _span(begin: datetime, end: datetime, step: AnyStep) -> tuple[int, int]:
    try:
        span = int(begin.timestamp()), int(end.timestamp())
    except (OverflowError, ValueError):
        span = 0, 0
    if not 0 <= span[0] < span[1]:
        raise RefusalError(HTTPStatus.UNPROCESSABLE_ENTITY, "`to` must be later than `from`, both after 1970")
    most = _MOST_S.get(step)
    if most and span[1] - span[0] > most:
        days = most // 86_400
        raise RefusalError(
            HTTPStatus.UNPROCESSABLE_ENTITY, f"with step={step} at most {days} days are answered: ask for longer steps"
        )
    return span


async def _on_refusal(_: Request, error: Exception) -> Response:
    assert isinstance(error, RefusalError)
    body, headers = problem_of(error)
    return Response(body, error.status, headers)


async def _on_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return await _on_refusal(request, RefusalError(HTTPStatus(error.status_code), str(error.detail)))


async def _on_invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    sentence = f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}"
    return await _on_refusal(request, RefusalError(HTTPStatus.UNPROCESSABLE_ENTITY, sentence))
