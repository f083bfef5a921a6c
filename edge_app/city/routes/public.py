"""Routes of the public page: traffic now and the usual day of the sites that the city shows to everybody.

No login, no cookie; answers may be kept by any cache, and the page be shown within others.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from http import HTTPStatus
from typing import Final

from fastapi import APIRouter, Depends, Response

from edge_app.city.calendar import step_around, zone
from edge_app.city.database import reading
from edge_app.city.database.engine import Connection
from edge_app.city.database.reading import Site, Total
from edge_app.city.public_answers import Flow, PublicDay, PublicSite, PublicSites
from edge_app.city.routes.city import City, SiteId, judge_parameters
from edge_app.city.routes.data import usual_of
from edge_app.city.routes.files import page_file
from edge_app.city.routes.kept import Kept
from edge_app.city.site_answers import Usual, Way
from edge_app.city.sums import QUARTER_S
from edge_app.city.telling import LAST_S, SEEN, moment, newest_seen
from edge_app.errors import StoreError
from edge_app.http.problems import RefusalError
from edge_app.records import DIRECTIONS

KEPT_S: Final = 60
"""How long an answer is good, here and in caches on its way."""
_HOUR_S: Final = 3600
_CACHED: Final = {"cache-control": f"public, max-age={KEPT_S}", "access-control-allow-origin": "*"}
_EMBEDDED: Final = {
    "cache-control": f"public, max-age={KEPT_S}",
    "content-security-policy": "default-src 'self'; img-src 'self' data:; frame-ancestors *; base-uri 'none'; "
    "form-action 'none'",
}


def public_routes(city: City) -> APIRouter:
    """Return the routes of the public page."""
    routes, judged = APIRouter(), [Depends(judge_parameters)]
    kept = Kept(_Told(city).read, city.utc, KEPT_S)

    @routes.get("/public", include_in_schema=False)
    def public_page() -> Response:
        return page_file("public.html", _EMBEDDED)

    @routes.get("/public/{site}", include_in_schema=False)
    def public_page_of(site: str) -> Response:
        page = page_file("public.html", _EMBEDDED)
        with suppress(StoreError):  # the page says that the database is away
            if all(one.id != site for one in kept.now().sites):
                page.status_code = HTTPStatus.NOT_FOUND
        return page

    @routes.get(
        "/api/v1/public/sites",
        summary="Traffic now and the usual day of the sites shown to everybody",
        dependencies=judged,
    )
    def public_sites(response: Response) -> PublicSites:
        response.headers.update(_CACHED)
        return kept.now()

    @routes.get("/api/v1/public/sites/{site}", summary="The same of one site", dependencies=judged)
    def public_site(site: SiteId, response: Response) -> PublicSite:
        response.headers.update(_CACHED)
        found = next((one for one in kept.now().sites if one.id == site), None)
        if found is None:
            sentence = "no such site is public; /api/v1/public/sites lists them"
            raise RefusalError(HTTPStatus.NOT_FOUND, sentence, code="not_public")
        return found

    return routes


class _Told:
    """The answer about all sites; usual days are made anew once an hour."""

    def __init__(self, city: City) -> None:
        self._city = city
        self._usual: dict[str, tuple[tuple[int, int], Usual]] = {}

    def read(self, now: float) -> PublicSites:
        with self._city.database.connect() as connection:
            found = [site for site in reading.read_sites(connection, now) if site.row.public]
            demo = self._city.demo
            shown = [site for site in found if demo or not site.synthetic]
            told = [
                _told(connection, site, int(now), self._usual_of(connection, site, now), demo=demo) for site in shown
            ]
        return PublicSites(at=moment(int(now)), synthetic=demo, sites=told)

    def _usual_of(self, connection: Connection, site: Site, now: float) -> Usual:
        day, _ = step_around(int(now), "day", zone(site.row.time_zone))
        until = day, int(now) // _HOUR_S
        kept = self._usual.get(site.row.id)
        if kept is None or kept[0] != until:
            kept = self._usual[site.row.id] = until, usual_of(connection, site, int(now))
        return kept[1]


def _told(connection: Connection, site: Site, now: int, usual: Usual, *, demo: bool) -> PublicSite:
    row = site.row
    begin, _ = step_around(now, "day", zone(row.time_zone))
    totals = reading.read_totals(connection, row.id, min(begin, now - LAST_S), now + 1, "quarter")
    totals = [total for total in totals if demo or not total.synthetic]
    seen = [total for total in totals if total.covered_s >= SEEN * QUARTER_S]
    today = [total for total in seen if total.start >= begin]
    by_second = dict(zip(usual.seconds, usual.vehicles, strict=True))
    flow = _flow(seen, begin, now, by_second)
    return PublicSite(
        id=row.id,
        road=row.road,
        lat=row.lat,
        lon=row.lon,
        time_zone=row.time_zone,
        left_to_right=Way(name=row.left_name, bearing_deg=row.left_bearing),
        right_to_left=Way(name=row.right_name, bearing_deg=row.right_bearing),
        now=flow,
        synthetic=demo,
        part_seen=flow is None and any(total.covered_s > 0 for total in totals if total.start >= now - _HOUR_S),
        today=PublicDay(
            start=moment(begin),
            seconds=[total.start - begin for total in today],
            vehicles=[sum(_rates(total)) for total in today],
        ),
        usual=PublicDay(
            start=moment(begin),
            seconds=usual.seconds,
            vehicles=[many * _HOUR_S / QUARTER_S for many in usual.vehicles],
        ),
    )


def _flow(seen: Sequence[Total], begin: int, now: int, usual: dict[int, float]) -> Flow | None:
    newest = newest_seen(seen, now)
    if newest is None:
        return None
    left, right = _rates(newest)
    known = usual.get(newest.start - begin)
    return Flow(
        start=moment(newest.start),
        end=moment(newest.start + QUARTER_S),
        left_to_right=left,
        right_to_left=right,
        usual=None if known is None else known * _HOUR_S / QUARTER_S,
    )


def _rates(total: Total) -> tuple[int, int]:
    """Return vehicles an hour by direction; what was not seen counts as what was."""
    many = len(DIRECTIONS)
    left, right = (sum(total.counts[side::many]) for side in range(many))
    scale = _HOUR_S / total.covered_s
    return round(left * scale), round(right * scale)
