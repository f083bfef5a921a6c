"""Routes of the intervals of a site as they came, which no step adds up."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Annotated, Final
from uuid import UUID

from fastapi import APIRouter, Response
from pydantic import AwareDatetime, Field

from edge_app.city.access import Right
from edge_app.city.answers import Answer, LostDay
from edge_app.city.database.intervals import SiteInterval, read_site_intervals
from edge_app.city.database.lost import lost_of_site
from edge_app.city.records import COLUMNS
from edge_app.city.routes.city import City, SiteId, known_site, needs
from edge_app.city.routes.data import Classes, From, To, attachment, span_of
from edge_app.city.telling import lost_day_of, moment
from edge_app.offline.bins import csv_text
from edge_app.records import DIRECTIONS, VEHICLES

_MOST_DAYS: Final = 2
_BEFORE: Final = ("site", "start", "end", "covered", "flags")
_BEHIND: Final = ("vehicles", "late", "counted", "line", "installation", "seq", "model", "config", "arrived", "id")


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


def interval_routes(city: City) -> APIRouter:
    """Return the routes."""
    routes = APIRouter(prefix="/api/v1", dependencies=[needs(Right.READ)])

    @routes.get("/sites/{site}/intervals", summary=f"Intervals of a site as they came, at most {_MOST_DAYS} days")
    def intervals(site: SiteId, begin: From, to: To, classes: Classes = ()) -> Intervals:
        span = span_of(begin, to, _MOST_DAYS)
        with city.database.connect() as connection:
            known_site(connection, site, city.utc())
            found = read_site_intervals(connection, city.database.archive, site, *span)
            lost = lost_of_site(connection, site, *span)
        told = [_answer(one, classes or VEHICLES) for one in found]
        return Intervals(site=site, intervals=told, lost=[lost_day_of(day) for day in lost])

    @routes.get(
        "/sites/{site}/intervals.csv",
        summary="The same as CSV, times in UTC",
        response_class=Response,
        responses={200: {"content": {"text/csv": {"schema": {"type": "string"}}}}},
    )
    def intervals_csv(site: SiteId, begin: From, to: To, classes: Classes = ()) -> Response:
        told = intervals(site, begin, to, classes)
        chosen = [f"{name}_{way}" for name in VEHICLES if name in (classes or VEHICLES) for way in DIRECTIONS]
        text = csv_text((_row(site, one) for one in told.intervals), (*_BEFORE, *chosen, *_BEHIND))
        return Response(text, media_type="text/csv; charset=utf-8", headers=attachment(f"{site}-intervals.csv"))

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


def _row(site: str, one: IntervalAnswer) -> tuple[str | int | float, ...]:
    counts = [many for ways in one.counts.values() for many in ways.values()]
    start, end, arrived = (at.isoformat() for at in (one.start, one.end, one.arrived))
    marks = ["true" if mark else "false" for mark in (one.late, one.counted)]
    named = one.line, one.installation, one.seq, one.model, one.config
    told = site, start, end, one.covered, " ".join(one.flags)
    return *told, *counts, sum(counts), *marks, *named, arrived, str(one.id)
