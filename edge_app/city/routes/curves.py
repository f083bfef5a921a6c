"""Routes of days as curves: how fast vehicles came in each quarter of an hour, and how fast they usually do."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Final

from fastapi import APIRouter, Query
from pydantic import AwareDatetime

from edge_app.city.access import Right
from edge_app.city.calendar import FAR, clock_second, step_around, zone
from edge_app.city.curve_answers import Rates, Usual
from edge_app.city.database import changes, reading
from edge_app.city.database.engine import Connection
from edge_app.city.database.reading import Site, Total
from edge_app.city.reach import Stretch, stretches
from edge_app.city.routes.city import City, SiteId, known_site, needs
from edge_app.city.routes.data import From, To, far, span_of
from edge_app.city.sums import QUARTER_S
from edge_app.city.telling import moment
from edge_app.city.usual import NEARLY_WHOLE, clock_day, is_seen, usual_day, vehicles_of

_MOST_DAYS: Final = 35
_WEEKS: Final = 8
"""Weeks of which the usual day is made."""


def curve_routes(city: City) -> APIRouter:
    """Return the routes."""
    routes = APIRouter(prefix="/api/v1", dependencies=[needs(Right.READ)])

    @routes.get("/sites/{site}/rates", summary=f"Quarters of an hour of a site for a curve, at most {_MOST_DAYS} days")
    def rates(site: SiteId, begin: From, to: To) -> Rates:
        span = span_of(begin, to, _MOST_DAYS)
        with city.database.connect() as connection:
            one = known_site(connection, site, city.utc())
            found = day_of(connection, one, *span, invented=True)
        tz = zone(one.row.time_zone)
        return Rates(
            site=site,
            start=moment(span[0]),
            seconds=[quarter.start - span[0] for quarter in found],
            clock=[clock_second(quarter.start, tz) for quarter in found],
            vehicles=[round(vehicles_of(quarter.sum), 2) if is_seen(quarter) else None for quarter in found],
            covered=[round(quarter.seen_s / QUARTER_S, 4) for quarter in found],
        )

    @routes.get("/sites/{site}/usual", summary="The usual day of a site, for the weekday of a time")
    def usual(site: SiteId, at: Annotated[AwareDatetime, Query(description="A time of the day to compare")]) -> Usual:
        with city.database.connect() as connection:
            return usual_of(connection, known_site(connection, site, city.utc()), _second(at))

    return routes


def usual_of(connection: Connection, site: Site, at: int) -> Usual:
    """Return the usual day of a site for the weekday of a time, UTC s: of days since its series broke last.

    What was invented is left out, unless its device invents still. Days are compared by the clock there: eight o'clock
    is eight o'clock on either side of a change of clocks.
    """
    tz = zone(site.row.time_zone)
    today, _ = step_around(at, "day", tz)
    # Noon of the same weekday: a week of 7 * 86,400 s may begin an hour beside midnight where clocks are changed.
    days = [step_around(today - week * 7 * 86_400 + 43_200, "day", tz) for week in range(1, _WEEKS + 1)]
    since = changes.newest_break(connection, site.row.id, days[-1][0], today + 86_400)
    found = [day_of(connection, site, *span) for span in days if span[0] >= since]
    counted = [day for day in found if day]
    median = usual_day(clock_day(day, tz, NEARLY_WHOLE) for day in counted)
    return Usual(days=len(counted), seconds=list(median), vehicles=list(median.values()))


def day_of(connection: Connection, site: Site, begin: int, end: int, *, invented: bool = False) -> list[Stretch[Total]]:
    """Return the quarters of a site that begin in [begin, end), UTC s, as its curve has them.

    invented: with invented ones, too, as they are where its device invents still.
    """
    totals = reading.read_quarters(connection, begin, end, site.row.id, reaching=True).get(site.row.id, [])
    return stretches([one for one in totals if invented or site.synthetic or not one.synthetic], begin, end)


def _second(at: datetime) -> int:
    try:
        second = int(at.timestamp())
    except (OverflowError, ValueError):
        second = -1
    # Beyond, the day around it or the weeks before are times that no calendar has.
    if not 90 * 86_400 <= second < FAR:
        raise far()
    return second
