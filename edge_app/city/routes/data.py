"""Routes of what was counted: sites, counts, changes, and new intervals as they come."""

from __future__ import annotations

from datetime import datetime, timezone
from http import HTTPStatus
from typing import Annotated, Final, Literal, TypeAlias, get_args
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Query, Response
from fastapi.responses import StreamingResponse
from pydantic import AfterValidator, AwareDatetime, BeforeValidator
from pydantic_core import PydanticCustomError

from edge_app.city import telling
from edge_app.city.access import Right
from edge_app.city.calendar import FAR, zone
from edge_app.city.count_answers import Counts, Hours
from edge_app.city.count_tables import step_rows, step_table
from edge_app.city.database import changes, reading
from edge_app.city.database.engine import Connection
from edge_app.city.database.lost import lost_of_site
from edge_app.city.database.reading import AnyStep, Site, Total
from edge_app.city.database.recent import read_recent
from edge_app.city.database.steps import read_hours, read_steps
from edge_app.city.inventory import known_zone
from edge_app.city.routes.city import City, SiteId, known_site, needs
from edge_app.city.routes.table_files import AS_CSV, AS_PARQUET, attachment, csv_answer, file_name, parquet_answer
from edge_app.city.site_answers import Changes, SiteAnswer, Sites
from edge_app.http.problems import RefusalError
from edge_app.records import VEHICLES

_API: Final = "/api/v1"
LIVE: Final = f"{_API}/live"
"""Address of what is told as it comes, for as long as somebody watches."""
_MOST_DAYS: Final[dict[str, int]] = {"quarter": 35, "hour": 400, "day": 4000}
_MOST_DAYS_ELSEWHERE: Final = 400
"""Of hours and longer steps of another time zone, which are added up when they are asked for."""
_GEOJSON: Final = "application/geo+json"
_PAGE: Final = 1000

From = Annotated[AwareDatetime, Query(alias="from", description="Begin, included: RFC 3339 with an offset")]
To = Annotated[AwareDatetime, Query(description="End, not included")]
Limit = Annotated[int, Query(ge=1, le=10_000, description="So many at most")]
After = Annotated[str, Query(max_length=400, pattern="^[^\x00]*$", description="`next` of the answer before")]
AfterId = Annotated[int | None, Query(ge=1, le=2**31 - 1, description="`next` of the answer before")]

_StepName: TypeAlias = Literal["quarter", "hour", "day", "month"]
_INTERVALS: Final = "/api/v1/sites/SITE/intervals"


def _known_step(step: object) -> object:
    """Return a step, for pydantic. What somebody asks for who asks for minutes has an address of its own."""
    if step not in get_args(_StepName):
        words = "must be one of {expected}; the intervals themselves, such as minutes, are at {address}"
        given = {"expected": ", ".join(get_args(_StepName)), "address": _INTERVALS}
        raise PydanticCustomError("unknown_step", words, given)
    return step


StepQuery = Annotated[
    _StepName, BeforeValidator(_known_step), Query(description="Of the site's own time, or of `time_zone`")
]
ZoneQuery = Annotated[
    str | None,
    AfterValidator(lambda name: name if name is None else known_zone(name)),
    Query(max_length=60, description="IANA name of another zone whose hours, days and months are asked for"),
]

Classes = Annotated[
    tuple[Literal["car", "motorcycle", "bus", "truck", "bicycle"], ...],
    Query(alias="class", description="Only these classes, `class=car&class=truck`; all without it"),
]


def data_routes(city: City) -> APIRouter:
    """Return the routes that read."""
    routes = APIRouter(prefix=_API, dependencies=[needs(Right.READ)])
    _add_sites(routes, city)
    _add_counts(routes, city)
    _add_live(routes, city)
    return routes


def _add_sites(routes: APIRouter, city: City) -> None:
    @routes.get("/sites", summary="Sites with their state")
    def sites(limit: Limit = _PAGE, after: After = "") -> Sites:
        with city.database.connect() as connection:
            found = reading.read_sites(connection, city.utc(), after=after, most=limit + 1)
            shown = found[:limit]
            span = (shown[0].row.id, shown[-1].row.id) if shown else ("", "")
            recent = read_recent(connection, city.utc(), *span)
        told = [telling.site_of(one, city.utc(), recent.get(one.row.id)) for one in shown]
        return Sites(sites=told, next=told[-1].id if len(found) > limit else None)

    @routes.get(
        "/sites.geojson",
        summary="All sites with their state as GeoJSON",
        response_class=Response,
        responses={200: {"content": {_GEOJSON: {"schema": {"type": "object"}}}}},
    )
    def sites_geojson() -> Response:
        with city.database.connect() as connection:
            found = reading.read_sites(connection, city.utc())
        text = telling.geojson_of(telling.site_of(one, city.utc()) for one in found)
        return Response(text, media_type=_GEOJSON, headers=attachment("sites.geojson"))

    @routes.get("/sites/{site}", summary="One site")
    def site(site: SiteId) -> SiteAnswer:
        with city.database.connect() as connection:
            found = known_site(connection, site, city.utc())
            recent = read_recent(connection, city.utc(), site, site)
        return telling.site_of(found, city.utc(), recent.get(site))

    @routes.get("/sites/{site}/changes", summary="What has changed at a site: line, model, configuration, breaks")
    def site_changes(site: SiteId, begin: From, to: To) -> Changes:
        with city.database.connect() as connection:
            known_site(connection, site, city.utc())
            found = changes.read_changes(connection, site, *_span(begin, to, "hour"))
        return Changes(site=site, changes=[telling.change_of(change) for change in found])


def _add_counts(routes: APIRouter, city: City) -> None:
    @routes.get("/sites/{site}/counts", summary="Counts of a site by steps of its own time, or of another zone's")
    def counts(
        site: SiteId,
        begin: From,
        to: To,
        step: StepQuery = "hour",
        classes: Classes = (),
        time_zone: ZoneQuery = None,
        estimate: Annotated[bool, Query(description="Also estimate, apart in `estimated`, what was not seen")] = False,
    ) -> Counts:
        with city.database.connect() as connection:
            one = known_site(connection, site, city.utc())
            tz, span, totals = _asked(connection, one, begin, to, step, time_zone)
            lost = lost_of_site(connection, site, *span)
        until = city.utc() if estimate else None
        wanted = classes or VEHICLES
        return Counts(
            site=site,
            step=step,
            time_zone=tz.key,
            steps=[telling.counts_of(total, step, tz, wanted, estimated_until=until) for total in totals],
            lost=[telling.lost_day_of(day) for day in lost],
        )

    @routes.get("/sites/{site}/hours", summary="Hours of a site as columns: a heat map of a year in one answer")
    def hours(site: SiteId, begin: From, to: To, time_zone: ZoneQuery = None) -> Hours:
        with city.database.connect() as connection:
            one = known_site(connection, site, city.utc())
            tz, other = _zones(one, time_zone)
            span = _span(begin, to, "hour")
            return telling.hours_of(one, tz, span[0], read_hours(connection, site, *span, other))

    @routes.get("/sites/{site}/counts.csv", summary="The same as CSV", response_class=Response, responses=AS_CSV)
    def counts_csv(
        site: SiteId,
        begin: From,
        to: To,
        step: StepQuery = "hour",
        classes: Classes = (),
        time_zone: ZoneQuery = None,
    ) -> Response:
        with city.database.connect() as connection:
            one = known_site(connection, site, city.utc())
            tz, _, totals = _asked(connection, one, begin, to, step, time_zone)
        table = step_table(classes or VEHICLES)
        return csv_answer(file_name(one, tz, begin, to, step), table, step_rows(table, site, totals, step, tz, tz))

    @routes.get(
        "/sites/{site}/counts.parquet",
        summary="The same as Parquet, times in UTC",
        response_class=Response,
        responses=AS_PARQUET,
    )
    def counts_parquet(
        site: SiteId,
        begin: From,
        to: To,
        step: StepQuery = "hour",
        classes: Classes = (),
        time_zone: ZoneQuery = None,
    ) -> Response:
        with city.database.connect() as connection:
            one = known_site(connection, site, city.utc())
            tz, _, totals = _asked(connection, one, begin, to, step, time_zone)
        table = step_table(classes or VEHICLES)
        rows = step_rows(table, site, totals, step, tz, timezone.utc)
        return parquet_answer(file_name(one, tz, begin, to, step), table, rows)


def _zones(site: Site, asked: str | None) -> tuple[ZoneInfo, ZoneInfo | None]:
    """Return the zone of the steps that are asked for, and the same where it is another than the site's own."""
    tz = zone(asked or site.row.time_zone)
    return tz, tz if tz.key != site.row.time_zone else None


def _asked(
    connection: Connection, site: Site, begin: datetime, end: datetime, step: AnyStep, time_zone: str | None
) -> tuple[ZoneInfo, tuple[int, int], list[Total]]:
    """Return zone, span in UTC s, and sums of what is asked for. Raises RefusalError."""
    tz, other = _zones(site, time_zone)
    span = _span(begin, end, step)
    if other and step != "quarter":
        what = f"with time_zone={tz.key}, which is not that of the site, "
        span_of(begin, end, _MOST_DAYS_ELSEWHERE, what, ": ask in parts")
    return tz, span, read_steps(connection, site.row.id, *span, step, other)


def _add_live(routes: APIRouter, city: City) -> None:
    @routes.get(
        LIVE.removeprefix(_API),
        summary="New intervals as they are stored, as server-sent events",
        response_class=StreamingResponse,
        responses={200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}}},
    )
    async def live() -> Response:
        if city.live.full:
            sentence = "as many pages watch as can: try again later"
            raise RefusalError(HTTPStatus.SERVICE_UNAVAILABLE, sentence, code="many_watch")
        return StreamingResponse(city.live.events(), media_type="text/event-stream")


def far() -> RefusalError:
    """Return the refusal of a time that no calendar has around it."""
    sentence = "a time must lie between April 1970 and 2999"
    return RefusalError(HTTPStatus.UNPROCESSABLE_ENTITY, sentence, code="far_time")


def _span(begin: datetime, end: datetime, step: AnyStep) -> tuple[int, int]:
    return span_of(begin, end, _MOST_DAYS.get(step, 0), f"with step={step} ", ": ask for longer steps")


def span_of(begin: datetime, end: datetime, days: int, what: str = "", advice: str = "") -> tuple[int, int]:
    """Return a span of time in UTC s. days: the longest, 0 for any. Raises RefusalError: where it is none."""
    try:
        span = int(begin.timestamp()), int(end.timestamp())
    except (OverflowError, ValueError):
        span = 0, 0
    if not 0 <= span[0] < span[1]:
        sentence = "`to` must be later than `from`, both after 1970"
        raise RefusalError(HTTPStatus.UNPROCESSABLE_ENTITY, sentence, code="no_span")
    if span[1] > FAR:  # the day around it is a time that no calendar has
        raise far()
    if days and span[1] - span[0] > days * 86_400:
        sentence = f"{what}at most {days} days are answered{advice}"
        raise RefusalError(HTTPStatus.UNPROCESSABLE_ENTITY, sentence, code="long_span", days=days)
    return span
