"""Routes of days as curves: how fast vehicles came in each quarter of an hour, and how fast they usually do."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Final
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Query
from pydantic import AwareDatetime

from edge_app.city.access import Right
from edge_app.city.calendar import FAR, clock_second, moment, step_around, zone
from edge_app.city.curve_answers import Rates, Usual
from edge_app.city.database import changes, reading
from edge_app.city.database.engine import Connection
from edge_app.city.database.reading import Site
from edge_app.city.reach import stretches
from edge_app.city.routes.city import City, SiteId, known_site, needs
from edge_app.city.routes.data import From, To, far, span_of
from edge_app.city.sums import QUARTER_S
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
            totals = reading.read_quarters(connection, *span, [site], reaching=True).get(site, [])
        found = stretches(totals, *span)
        tz = zone(one.row.time_zone)
        return Rates(
            site=site,
            start=moment(span[0]),
            seconds=[quarter.start - span[0] for quarter in found],
            clock=[clock_second(quarter.start, tz) for quarter in found],
            vehicles=[round(vehicles_of(quarter), 2) if is_seen(quarter) else None for quarter in found],
            covered=[round(quarter.seen_s / QUARTER_S, 4) for quarter in found],
        )

    @routes.get("/sites/{site}/usual", summary="The usual day of a site, for the weekday of a time")
    def usual(site: SiteId, at: Annotated[AwareDatetime, Query(description="A time of the day to compare")]) -> Usual:
        with city.database.connect() as connection:
            return usual_of(connection, known_site(connection, site, city.utc()), _second(at))

    return routes


def usual_of(connection: Connection, site: Site, at: int) -> Usual:
    """Return the usual day of a site for the weekday of a time, UTC s."""
    return usual_days(connection, [site], at)[site.row.id]


def usual_days(connection: Connection, sites: Sequence[Site], at: int) -> dict[str, Usual]:
    """Return the usual day of each site for the weekday of a time, UTC s: of days since its series broke last.

    What was invented is left out, unless its device invents still. Days are compared by the clock there: eight o'clock
    is eight o'clock on either side of a change of clocks. In few statements for any number of sites.
    """
    by_zone: dict[str, list[Site]] = defaultdict(list)
    for site in sites:
        by_zone[site.row.time_zone].append(site)
    told = dict[str, Usual]()
    for name, there in by_zone.items():
        told |= _usual_days(connection, there, at, zone(name))
    return told


def _usual_days(connection: Connection, sites: Sequence[Site], at: int, tz: ZoneInfo) -> dict[str, Usual]:
    """Return the same of sites of one time zone."""
    today, _ = step_around(at, "day", tz)
    # Noon of the same weekday: a week of 7 * 86,400 s may begin an hour beside midnight where clocks are changed.
    days = [step_around(today - week * 7 * 86_400 + 43_200, "day", tz) for week in range(1, _WEEKS + 1)]
    names = [site.row.id for site in sites]
    since = changes.newest_breaks(connection, names, days[-1][0], today + 86_400)
    passed = [(span, reading.read_passed(connection, *span, names)) for span in days]
    told = dict[str, Usual]()
    for site in sites:
        name = site.row.id
        found = [(span, of_day.get(name, ())) for span, of_day in passed if span[0] >= since[name]]
        trusted = [(span, [one for one in day if site.synthetic or not one.synthetic]) for span, day in found]
        counted = [day for span, quarters in trusted if (day := stretches(quarters, *span))]
        median = usual_day(clock_day(day, tz, NEARLY_WHOLE) for day in counted)
        told[name] = Usual(days=len(counted), seconds=list(median), vehicles=list(median.values()))
    return told


def _second(at: datetime) -> int:
    try:
        second = int(at.timestamp())
    except (OverflowError, ValueError):
        second = -1
    # Beyond, the day around it or the weeks before are times that no calendar has.
    if not 90 * 86_400 <= second < FAR:
        raise far()
    return second
