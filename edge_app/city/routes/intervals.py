"""Routes of the intervals of a site as they came, which no step adds up."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Annotated, Final, NamedTuple
from uuid import UUID

from fastapi import APIRouter, Response
from pydantic import AwareDatetime, Field

from edge_app.city.access import Right
from edge_app.city.answers import Answer
from edge_app.city.calendar import moment, zone
from edge_app.city.count_answers import LostDay
from edge_app.city.database.intervals import SiteInterval, read_site_intervals
from edge_app.city.database.lost import lost_of_site
from edge_app.city.interval_tables import interval_rows, interval_table
from edge_app.city.records import COLUMNS
from edge_app.city.routes.city import City, SiteId, known_site, needs
from edge_app.city.routes.data import Classes, From, To, span_of
from edge_app.city.routes.table_files import AS_CSV, AS_PARQUET, csv_answer, file_name, parquet_answer
from edge_app.city.telling import lost_day_of
from edge_app.records import DIRECTIONS, VEHICLES

_MOST_DAYS: Final = 2


class IntervalAnswer(Answer):
    """An interval as its device has sent it, in the directions of the site."""

    start: AwareDatetime
    end: AwareDatetime
    covered: Annotated[float, Field(ge=0, description="Share of it in which no vehicle could pass unseen")]
    flags: Annotated[Sequence[str], Field(description="Quality flags")]
    counts: Annotated[Mapping[str, Mapping[str, int]], Field(description="By class and direction, of what is asked")]
    late: Annotated[bool, Field(description="It arrived later than its own length after its end")]
    counted: Annotated[bool, Field(description="It is in the sums: it overlaps none that is, nor ends in the future")]
    line: Annotated[str, Field(description="SITE/DEVICE/LINE as in topics")]
    installation: str
    seq: int
    model: str
    config: str
    arrived: AwareDatetime
    id: UUID


class Intervals(Answer):
    """Intervals of a site by time. Time without one has no data: that is no zero."""

    site: str
    intervals: Sequence[IntervalAnswer]
    lost: Annotated[Sequence[LostDay], Field(description="Days of which intervals are lost for good")]


class _Found(NamedTuple):
    """What is answered. name: of a file, without its ending."""

    intervals: Sequence[SiteInterval]
    lost: Sequence[LostDay]
    name: str


def interval_routes(city: City) -> APIRouter:
    """Return the routes."""
    routes = APIRouter(prefix="/api/v1", dependencies=[needs(Right.READ)])

    def read(site: str, begin: datetime, to: datetime) -> _Found:
        span = span_of(begin, to, _MOST_DAYS)
        with city.database.connect() as connection:
            one = known_site(connection, site, city.utc())
            found = read_site_intervals(connection, city.database.archive, site, *span)
            lost = lost_of_site(connection, site, *span)
        name = file_name(one, zone(one.row.time_zone), begin, to, "intervals")
        return _Found(found, [lost_day_of(day) for day in lost], name)

    @routes.get("/sites/{site}/intervals", summary=f"Intervals of a site as they came, at most {_MOST_DAYS} days")
    def intervals(site: SiteId, begin: From, to: To, classes: Classes = ()) -> Intervals:
        found = read(site, begin, to)
        told = [_answer(one, classes or VEHICLES) for one in found.intervals]
        return Intervals(site=site, intervals=told, lost=found.lost)

    @routes.get(
        "/sites/{site}/intervals.csv",
        summary="The same as CSV, times in UTC",
        response_class=Response,
        responses=AS_CSV,
    )
    def intervals_csv(site: SiteId, begin: From, to: To, classes: Classes = ()) -> Response:
        found, table = read(site, begin, to), interval_table(classes or VEHICLES)
        return csv_answer(found.name, table, interval_rows(table, site, found.intervals))

    @routes.get(
        "/sites/{site}/intervals.parquet",
        summary="The same as Parquet",
        response_class=Response,
        responses=AS_PARQUET,
    )
    def intervals_parquet(site: SiteId, begin: From, to: To, classes: Classes = ()) -> Response:
        found, table = read(site, begin, to), interval_table(classes or VEHICLES)
        return parquet_answer(found.name, table, interval_rows(table, site, found.intervals))

    return routes


def _answer(told: SiteInterval, classes: Collection[str]) -> IntervalAnswer:
    one = told.interval
    by_column = dict(zip(COLUMNS, told.counts, strict=True))
    counts: dict[str, dict[str, int]] = {
        name: {way: by_column[f"{name}_{way}"] for way in DIRECTIONS} for name in VEHICLES if name in classes
    }
    return IntervalAnswer(
        start=moment(one.start),
        end=moment(one.end),
        covered=round(one.coverage, 4),
        flags=one.settings.flags.split(",") if one.settings.flags else (),
        counts=counts,
        late=told.late,
        counted=told.counted,
        line="/".join(one.name),
        installation=one.installation,
        seq=one.seq,
        model=one.settings.model,
        config=one.settings.config,
        arrived=moment(told.arrived_ms / 1000),
        id=one.id,
    )
