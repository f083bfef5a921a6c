"""Routes of what is missing, what contradicts, and what was kept aside."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter, Query

from edge_app.city import telling
from edge_app.city.access import Right
from edge_app.city.database import reading
from edge_app.city.database.asked import away_devices, read_asked
from edge_app.city.database.contradictions import count_contradictions, read_contradictions
from edge_app.city.database.lost import lost_files
from edge_app.city.database.missing import closed_gaps
from edge_app.city.gap_answers import AsideMessages, Contradictions, Whole
from edge_app.city.gap_telling import AFTER, gap_page
from edge_app.city.routes.city import City, needs
from edge_app.city.routes.data import AfterId, Limit

_PAGE: Final = 200
AfterGap = Annotated[str, Query(max_length=60, pattern=AFTER, description="`next` of the answer before")]


def gap_routes(city: City) -> APIRouter:
    """Return the routes that tell how whole the data is."""
    routes = APIRouter(prefix="/api/v1", dependencies=[needs(Right.READ)])

    @routes.get("/gaps", summary="What is missing or was in the last days, what contradicts, what was kept aside")
    def gaps(limit: Limit = _PAGE, after: AfterGap = "") -> Whole:
        now = int(city.utc())
        with city.database.connect() as connection:
            series, away = reading.read_series(connection), away_devices(connection, now)
            return telling.whole_of(
                gap_page(series, read_asked(connection), away, limit, after),
                closed_gaps(connection, now),
                lost_files(connection),
                telling.contradictions_of(read_contradictions(connection, _PAGE + 1), _PAGE),
                telling.aside_of(reading.read_poison(connection, _PAGE + 1), _PAGE),
                contradictions_so_far=sum(count_contradictions(connection).values()),
                aside_so_far=reading.count_aside(connection),
            )

    @routes.get("/contradictions", summary="What contradicts, newest first")
    def contradictions(limit: Limit = _PAGE, after: AfterId = None) -> Contradictions:
        with city.database.connect() as connection:
            return telling.contradictions_of(read_contradictions(connection, limit + 1, after), limit)

    @routes.get("/aside", summary="Messages that were kept aside, newest first")
    def aside(limit: Limit = _PAGE, after: AfterId = None) -> AsideMessages:
        with city.database.connect() as connection:
            return telling.aside_of(reading.read_poison(connection, limit + 1, after), limit)

    return routes
