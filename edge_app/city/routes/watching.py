"""Routes for whoever watches over the city side: its health, and its figures for Prometheus."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Final, Literal, get_args

from fastapi import APIRouter, Response
from pydantic import Field

from edge_app import __version__
from edge_app.city import telling
from edge_app.city.access import Right
from edge_app.city.answers import Answer
from edge_app.city.database import archived, reading
from edge_app.city.database.asked import away_devices, read_asked
from edge_app.city.database.engine import Connection
from edge_app.city.database.lost import lost_files
from edge_app.city.database.orders import count_waiting, read_holder
from edge_app.city.database.rollout_figures import count_asking, count_stops, count_stuck, tally_rollouts
from edge_app.city.database.rollouts import read_led
from edge_app.city.gap_telling import gaps_of, is_stuck
from edge_app.city.metrics import KIND, Figures, OfficeFigures, metrics_text
from edge_app.city.records import WORDS
from edge_app.city.routes.city import City, needs
from edge_app.city.routes.kept import Kept, kept_a_moment
from edge_app.city.site_answers import State as SiteState
from edge_app.drift.signals import Kind as DriftKind
from edge_app.mqtt.device_messages import State as DeviceState

_KEPT_S: Final = 15.0
"""How long figures are good: numbers of all series are read for them."""
_MISSING: Final = ("waiting", "asked", "away")
_OK: Final[Literal["ok"]] = "ok"


class CityHealth(Answer):
    """Page and database answer."""

    state: Literal["ok"]
    version: str
    broker: Literal["connected", "away"] = Field(description="Connection of the worker beside the page to its broker")
    worker: Literal["keeps up", "behind", "silent"] = Field(
        description="behind: what comes is older than two minutes; silent: connected, and nothing has come for five"
    )
    behind_s: int = Field(ge=0, description="Age of the newest intervals that come, from their end")
    silent_s: int = Field(ge=0, description="Since the last message, while there is a connection")


def watching_routes(city: City) -> APIRouter:
    """Return the routes of health and metrics."""
    routes = APIRouter()
    figures = Kept(lambda now: _read(city, now), city.utc, _KEPT_S)
    there = kept_a_moment(lambda: _ask_database(city))

    @routes.get("/health", summary="Whether page and database answer; needs no login")
    async def health() -> CityHealth:
        await there.now()
        worker = city.worker()
        return CityHealth(
            state=_OK,
            version=__version__,
            broker="away" if city.broker() else "connected",
            worker=worker.word,
            behind_s=round(worker.behind_s),
            silent_s=round(worker.silent_s),
        )

    @routes.get(
        "/metrics",
        summary="Figures for Prometheus",
        dependencies=[needs(Right.READ)],
        response_class=Response,
        responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
    )
    async def metrics() -> Response:
        return Response(metrics_text(await figures.now()), media_type=KIND)

    return routes


def _ask_database(city: City) -> bool:
    with city.database.connect() as connection:
        reading.is_there(connection)
    return True


def _read(city: City, now: float) -> Figures:
    with city.database.connect() as connection:
        sites = reading.read_sites(connection, now)
        devices = reading.read_devices(connection)
        series = reading.read_series(connection)
        gaps = gaps_of(series, read_asked(connection), away_devices(connection, int(now)))
        kinds, aside, waiting = reading.read_tallies(connection)
        files = {**archived.tally(connection), "lost": len(lost_files(connection))}
        office = _read_office(connection, now)
    here = [row for row in devices if row.state == "online"]
    return Figures(
        version=__version__,
        sites=_each(get_args(SiteState), (telling.site_of(site, now).state for site in sites)),
        devices=_each((*get_args(DeviceState), "unknown"), (row.state for row in devices)),
        missing={state: sum(one.last - one.first + 1 for one in gaps if one.state == state) for state in _MISSING},
        lost=sum(last - first + 1 for row, _ in series for first, last, _ in row.gone),
        gaps=_each((*_MISSING, "lost"), (gap.state for gap in gaps)),
        stuck_gaps=sum(is_stuck(gap, now) for gap in gaps),
        contradictions={**dict.fromkeys(WORDS, 0), **kinds},
        aside=aside,
        waiting=waiting,
        newest=max((row.heard for row in devices), default=0),
        archive=files,
        overdue=city.overdue(),
        drifting=_each(get_args(DriftKind), (kind for row in here for kind in row.health.get("drift", ()))),
        office=office,
        done=city.done(),
        worker=city.worker(),
    )


def _read_office(connection: Connection, now: float) -> OfficeFigures:
    holder = read_holder(connection)
    running = holder.alive(now)
    return OfficeFigures(
        running=running,
        problem=running and bool(holder.problem),
        orders=count_waiting(connection),
        rollouts=tally_rollouts(connection),
        stops=count_stops(connection),
        asking=count_asking(connection),
        stuck=count_stuck(connection, [kept.id for kept in read_led(connection, now)]),
    )


def _each(names: Iterable[str], found: Iterable[str]) -> dict[str, int]:
    """Return how often each was found, 0 of a name that was not."""
    return {**dict.fromkeys(names, 0), **Counter(found)}
