"""Routes of the public page: traffic now and the usual day of the sites that the city shows to everybody.

No login, no cookie; answers may be kept by any cache, and the page be shown within others.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from http import HTTPStatus
from statistics import fmean
from typing import Final

from fastapi import APIRouter, Depends, Request, Response

from edge_app.city.calendar import clock_second, moment, step_around, zone
from edge_app.city.curve_answers import Usual
from edge_app.city.database import reading
from edge_app.city.database.engine import Connection
from edge_app.city.database.reading import Site, Total
from edge_app.city.public_answers import Flow, PublicDay, PublicSite, PublicSites
from edge_app.city.reach import stretches
from edge_app.city.routes.city import City, SiteId, judge_parameters
from edge_app.city.routes.curves import usual_days
from edge_app.city.routes.files import page_file
from edge_app.city.routes.kept import Kept, Readers
from edge_app.city.routes.packed import Packed, packed, packed_answer
from edge_app.city.site_answers import Way
from edge_app.city.sums import QUARTER_S
from edge_app.city.telling import LAST_S, counted_until, newest_seen
from edge_app.city.usual import is_seen
from edge_app.errors import StoreError
from edge_app.http.problems import RefusalError
from edge_app.records import DIRECTIONS

PUBLIC: Final = "/api/v1/public/"
"""Begin of the addresses that everybody may read."""
KEPT_S: Final = 60
"""How long an answer is good, here and in caches on its way."""
_OLD_S: Final = 5 * 60
"""Age up to which the answer of before is handed out while a new one is made."""
_MOST_WAITING: Final = 100
"""Readers who wait for the first answer, of a server's 400 connections."""
_JSON: Final = "application/json"
_HOUR_S: Final = 3600
_CACHED: Final = {"cache-control": f"public, max-age={KEPT_S}"}
_EMBEDDED: Final = {
    "cache-control": f"public, max-age={KEPT_S}",
    "content-security-policy": "default-src 'self'; img-src 'self' data:; frame-ancestors *; base-uri 'none'; "
    "form-action 'none'",
}


def public_routes(city: City) -> APIRouter:
    """Return the routes of the public page."""
    routes, judged = APIRouter(), [Depends(judge_parameters)]
    told = _Told(city)

    @routes.get("/public", include_in_schema=False)
    def public_page() -> Response:
        return page_file("public.html", _EMBEDDED)

    @routes.get("/public/{site}", include_in_schema=False)
    async def public_page_of(site: str) -> Response:
        page = page_file("public.html", _EMBEDDED)
        with suppress(StoreError, RefusalError):  # the page itself says that the database is away, or much is asked for
            if await told.site(site) is None:
                page.status_code = HTTPStatus.NOT_FOUND
        return page

    @routes.get(
        f"{PUBLIC}sites",
        summary="Traffic now and the usual day of the sites shown to everybody",
        response_model=PublicSites,
        dependencies=judged,
    )
    async def public_sites(request: Request) -> Response:
        return packed_answer(request, await told.sites.now(), _CACHED, _JSON)

    @routes.get(
        f"{PUBLIC}sites/{{site}}",
        summary="The same of one site",
        response_model=PublicSite,
        dependencies=judged,
    )
    async def public_site(site: SiteId, request: Request) -> Response:
        found = await told.site(site)
        if found is None:
            sentence = "no such site is public; /api/v1/public/sites lists them"
            raise RefusalError(HTTPStatus.NOT_FOUND, sentence, code="not_public")
        return packed_answer(request, found, _CACHED, _JSON)

    return routes


class _Told:
    """The answers about all sites and about each one, made once for all who ask, by two threads that do nothing else.

    Usual days are read anew once an hour. Whoever embeds one site does not wait for all the others.
    """

    def __init__(self, city: City) -> None:
        self._city, self._usual = city, dict[str, tuple[tuple[int, int], Usual]]()
        self._for_one = Readers(most=_MOST_WAITING)
        self.sites = Kept(self._all, city.utc, KEPT_S, old_s=_OLD_S, readers=Readers(most=_MOST_WAITING))
        self._names = Kept(self._public, city.utc, KEPT_S, old_s=_OLD_S, readers=self._for_one)
        self._site: dict[str, Kept[Packed | None]] = {}

    async def site(self, name: str) -> Packed | None:
        """Return the answer about one site, None where it is not public. Raises as `Kept.now`."""
        names = await self._names.now()
        for gone in self._site.keys() - names:
            del self._site[gone]
        if name not in names:  # it costs nothing to ask for what is not there
            return None
        if name not in self._site:
            one = partial(self._one, name)
            self._site[name] = Kept(one, self._city.utc, KEPT_S, old_s=_OLD_S, readers=self._for_one)
        return await self._site[name].now()

    def _public(self, _: float) -> frozenset[str]:
        with self._city.database.connect() as connection:
            return reading.public_sites(connection)

    def _all(self, now: float) -> Packed:
        with self._city.database.connect() as connection:
            told = self._read(connection, reading.read_sites(connection, now, public=True), int(now))
        answer = PublicSites(at=moment(int(now)), synthetic=self._city.demo, sites=told)
        return packed(answer.model_dump_json().encode())

    def _one(self, name: str, now: float) -> Packed | None:
        with self._city.database.connect() as connection:
            told = self._read(connection, reading.read_sites(connection, now, name, public=True), int(now))
        return packed(told[0].model_dump_json().encode()) if told else None

    def _read(self, connection: Connection, found: Sequence[Site], now: int) -> list[PublicSite]:
        demo = self._city.demo
        shown = [site for site in found if demo or not site.synthetic]
        if not shown:
            return []
        self._know_usual(connection, shown, now)
        # Today, and what is new also after midnight.
        begin = min(now - LAST_S, *(step_around(now, "day", zone(site.row.time_zone))[0] for site in shown))
        totals = reading.read_quarters(connection, begin, now + 1, [site.row.id for site in shown], reaching=True)
        return [
            _told(
                site,
                [one for one in totals.get(site.row.id, ()) if demo or not one.synthetic],
                now,
                self._usual[site.row.id][1],
                demo=demo,
            )
            for site in shown
        ]

    def _know_usual(self, connection: Connection, shown: Sequence[Site], now: int) -> None:
        """Have the usual days of these sites ready."""
        until = {site.row.id: (step_around(now, "day", zone(site.row.time_zone))[0], now // _HOUR_S) for site in shown}
        wanted = [site for site in shown if self._usual.get(site.row.id, ((0, 0),))[0] != until[site.row.id]]
        for name, usual in usual_days(connection, wanted, now).items():
            self._usual[name] = until[name], usual


def _told(site: Site, totals: Sequence[Total], now: int, usual: Usual, *, demo: bool) -> PublicSite:
    row, tz = site.row, zone(site.row.time_zone)
    begin, end = step_around(now, "day", tz)
    today = [one for one in stretches(totals, begin, end) if is_seen(one)]
    by_clock = dict(zip(usual.seconds, usual.vehicles, strict=True))

    def usually(at: int) -> float | None:
        return by_clock.get(clock_second(at, tz))

    known = {at: many for at in range(begin, end, QUARTER_S) if (many := usually(at)) is not None}
    flow = _flow(totals, now, usually)
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
        today=_day((begin, end), {one.start: sum(_rates(one.sum)) for one in today}),
        usual=_day((begin, end), {at: many * _HOUR_S / QUARTER_S for at, many in known.items()}),
    )


def _day(span: tuple[int, int], rates: Mapping[int, float]) -> PublicDay:
    """Return a curve of a day. rates: begin of a quarter, UTC s -> vehicles an hour."""
    begin, end = span
    return PublicDay(
        start=moment(begin), end=moment(end), seconds=[at - begin for at in rates], vehicles=list(rates.values())
    )


def _flow(totals: Sequence[Total], now: int, usual: Callable[[int], float | None]) -> Flow | None:
    """Return the traffic now. usual: vehicles of the quarter that begins at a time, UTC s."""
    newest = newest_seen(totals, now)
    if newest is None:
        return None
    left, right = _rates(newest)
    until = counted_until(newest)
    known = [many for at in range(newest.start, until, QUARTER_S) if (many := usual(at)) is not None]
    return Flow(
        start=moment(newest.start),
        end=moment(until),
        left_to_right=left,
        right_to_left=right,
        usual=fmean(known) * _HOUR_S / QUARTER_S if known else None,
    )


def _rates(total: Total) -> tuple[int, int]:
    """Return vehicles an hour by direction; what was not seen counts as what was."""
    many = len(DIRECTIONS)
    left, right = (sum(total.counts[side::many]) for side in range(many))
    scale = _HOUR_S / total.covered_s
    return round(left * scale), round(right * scale)
