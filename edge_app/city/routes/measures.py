"""Routes of what was measured beside the counts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Annotated, Final
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Response
from pydantic import AwareDatetime, Field

from edge_app.city.access import Right
from edge_app.city.answers import Answer
from edge_app.city.calendar import step_around, zone
from edge_app.city.count_answers import LostDay
from edge_app.city.count_tables import Row, Table
from edge_app.city.database.lost import lost_of_site
from edge_app.city.database.measured import Content, read_flows, read_measures
from edge_app.city.measured import add_flows, add_speeds
from edge_app.city.routes.city import City, SiteId, known_site, needs
from edge_app.city.routes.data import From, To, span_of
from edge_app.city.routes.table_files import AS_CSV, csv_answer, file_name
from edge_app.city.telling import lost_day_of
from edge_app.records import DIRECTIONS

_MOST_DAYS: Final = 8
_SPEEDS: Final = Table(
    {
        "site": "VARCHAR",
        "start": "TIMESTAMPTZ",
        "direction": "VARCHAR",
        "vehicles": "BIGINT",
        "unmeasured": "BIGINT",
        "mean_kmh": "DOUBLE",
        "percentile_85_kmh": "DOUBLE",
    },
    (),
)
_FLOWS: Final = Table(
    {"site": "VARCHAR", "origin": "VARCHAR", "to": "VARCHAR", "class": "VARCHAR", "vehicles": "BIGINT"}, ()
)


class SpeedsOfWay(Answer):
    """Speeds in one direction, of all classes."""

    n: Annotated[int, Field(description="Vehicles with a speed")]
    unmeasured: Annotated[int, Field(description="Counted vehicles without one")]
    mean_kmh: Annotated[float | None, Field(description="Time mean; null without any")]
    percentile_85_kmh: Annotated[float | None, Field(description="What 85 of 100 do not exceed; null without any")]
    bins: Annotated[Mapping[str, int], Field(description="Lower edge, km/h, of a bin 2 km/h wide -> vehicles")]


class SpeedsOfHour(Answer):
    """Speeds of one hour of the site's own time, by direction."""

    start: AwareDatetime
    ways: Mapping[str, SpeedsOfWay]


class FlowOfClass(Answer):
    """Vehicles of one class from one arm of a junction to another."""

    origin: str
    to: str
    vehicle_class: str
    n: int


class Measures(Answer):
    """What was measured beside the counts; empty where nothing is measured."""

    site: str
    time_zone: str
    speeds: Annotated[Mapping[str, SpeedsOfWay], Field(description="By direction, over all of the time")]
    hours: Sequence[SpeedsOfHour]
    flows: Sequence[FlowOfClass]
    lost: Annotated[Sequence[LostDay], Field(description="Days of which what was measured is lost for good")]


def measure_routes(city: City) -> APIRouter:
    """Return the routes."""
    routes = APIRouter(prefix="/api/v1", dependencies=[needs(Right.READ)])

    @routes.get("/sites/{site}/measures", summary=f"Speeds and turning flows of a site, at most {_MOST_DAYS} days")
    def measures(site: SiteId, begin: From, to: To) -> Measures:
        span = span_of(begin, to, _MOST_DAYS)
        with city.database.connect() as connection:
            one = known_site(connection, site, city.utc())
            found = read_measures(connection, city.database.archive, site, *span)
            flows = add_flows(read_flows(connection, city.database.archive, site, *span))
            lost = lost_of_site(connection, site, *span)
        speeds = _ways(found)
        return Measures(
            site=site,
            time_zone=one.row.time_zone,
            speeds=speeds,
            hours=_hours(found, zone(one.row.time_zone)) if speeds else [],
            flows=[FlowOfClass(origin=a, to=b, vehicle_class=label, n=n) for a, b, label, n in flows],
            lost=[lost_day_of(day) for day in lost],
        )

    @routes.get(
        "/sites/{site}/speeds.csv",
        summary="Speeds by hour and direction as CSV",
        response_class=Response,
        responses=AS_CSV,
    )
    def speeds_csv(site: SiteId, begin: From, to: To) -> Response:
        span = span_of(begin, to, _MOST_DAYS)
        with city.database.connect() as connection:
            one = known_site(connection, site, city.utc())
            found = read_measures(connection, city.database.archive, site, *span)
        tz = zone(one.row.time_zone)
        return csv_answer(file_name(one, tz, begin, to, "speeds"), _SPEEDS, _speed_rows(site, _hours(found, tz)))

    @routes.get(
        "/sites/{site}/flows.csv",
        summary="Turning flows of a site as CSV",
        response_class=Response,
        responses=AS_CSV,
    )
    def flows_csv(site: SiteId, begin: From, to: To) -> Response:
        span = span_of(begin, to, _MOST_DAYS)
        with city.database.connect() as connection:
            one = known_site(connection, site, city.utc())
            flows = add_flows(read_flows(connection, city.database.archive, site, *span))
        name = file_name(one, zone(one.row.time_zone), begin, to, "flows")
        return csv_answer(name, _FLOWS, ((site, *flow) for flow in flows))

    return routes


def _speed_rows(site: str, hours: Iterable[SpeedsOfHour]) -> Iterator[Row]:
    """Yield a row for each hour and direction in which there was a vehicle; without a speed there is no figure."""
    for hour in hours:
        for direction, way in hour.ways.items():
            figures = ("" if figure is None else figure for figure in (way.mean_kmh, way.percentile_85_kmh))
            yield site, hour.start.isoformat(), direction, way.n, way.unmeasured, *figures


def _hours(found: Sequence[Content], tz: ZoneInfo) -> list[SpeedsOfHour]:
    by_hour: dict[int, list[Content]] = defaultdict(list)
    for content in found:
        by_hour[step_around(content.start, "hour", tz)[0]].append(content)
    return [
        SpeedsOfHour(start=datetime.fromtimestamp(start, tz), ways=_ways(contents))
        for start, contents in sorted(by_hour.items())
    ]


def _ways(contents: Iterable[Content]) -> dict[str, SpeedsOfWay]:
    """Return the speeds of those directions in which there was a vehicle."""
    speeds = add_speeds((one.content, one.turned) for one in contents)
    return {
        direction: SpeedsOfWay(
            n=one.n,
            unmeasured=one.unmeasured,
            mean_kmh=None if one.mean is None else round(one.mean, 1),
            percentile_85_kmh=None if one.percentile_85 is None else round(one.percentile_85, 1),
            bins={str(edge): one.bins[edge] for edge in sorted(one.bins)},
        )
        for direction in DIRECTIONS
        if (one := speeds[direction]).n or one.unmeasured
    }
