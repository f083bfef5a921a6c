"""Route of what is missing, what contradicts, and what was kept aside."""

from __future__ import annotations

from fastapi import APIRouter

from edge_app.city import telling
from edge_app.city.access import Right
from edge_app.city.database import reading
from edge_app.city.database.asked import away_devices, read_asked
from edge_app.city.database.contradictions import count_contradictions, read_contradictions
from edge_app.city.database.lost import lost_files
from edge_app.city.database.missing import closed_gaps
from edge_app.city.gap_answers import Whole
from edge_app.city.gap_telling import gaps_of
from edge_app.city.routes.city import City, needs


def gap_routes(city: City) -> APIRouter:
    """Return the route that tells how whole the data is."""
    routes = APIRouter(prefix="/api/v1", dependencies=[needs(Right.READ)])

    @routes.get("/gaps", summary="What is missing or was in the last days, what contradicts, what was kept aside")
    def gaps() -> Whole:
        now = int(city.utc())
        with city.database.connect() as connection:
            series = reading.read_series(connection)
            return telling.whole_of(
                gaps_of(series, read_asked(connection), away_devices(connection, now)),
                closed_gaps(connection, now),
                lost_files(connection),
                read_contradictions(connection),
                reading.read_poison(connection),
                contradictions_so_far=sum(count_contradictions(connection).values()),
                aside_so_far=reading.count_aside(connection),
            )

    return routes
