"""A city of thousands of sites with a year of sums, written straight into its tables: by SQL, so in a minute."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, func, literal, select, text, true

from edge_app.city.database.engine import Database
from edge_app.city.database.tables import ATTACHMENT, DEVICE, LINE, QUARTER, SITE, STEP
from edge_app.city.records import COLUMNS

CENTRE: Final = (52.3702, 4.8952)
_TIME_ZONE: Final = "Europe/Amsterdam"
_ROADS: Final = ("Quay", "Mill", "Station", "Ring", "Canal", "Orchard", "Market", "Harbour", "Dyke", "School")
_KINDS: Final = ("Road", "Street", "Lane", "Avenue", "Square")
_STATES: Final = ("online", "online", "online", "blind", "slow", "offline")
_ONLINE: Final = 0.94
"""Share of sites with nothing wrong."""
_BATCH: Final = 100
_HOUR_S: Final = 3600
_QUARTER_S: Final = 900


def fill(database: Database, sites: int, now: int, *, days: int = 365, quarter_days: int = 8, seed: int = 1) -> None:
    """Write a city. days: of hours and days of each site. quarter_days: of quarters of each line. now: UTC s."""
    chance = random.Random(seed)
    for begin in range(0, sites, _BATCH):
        numbers = range(begin, min(begin + _BATCH, sites))
        rows = [_site(number, now, chance) for number in numbers]
        with database.begin() as connection:
            for table in (LINE, SITE, DEVICE, ATTACHMENT):
                connection.execute(table.insert(), [row[table.name] for row in rows])
            lines = LINE.c.id.between(numbers[0] + 1, numbers[-1] + 1)
            _steps(connection, now, days, lines)
            _quarters(connection, now, quarter_days, lines)
    with database.begin() as connection:
        connection.execute(text("ANALYZE"))


def _site(number: int, now: int, chance: random.Random) -> dict[str, dict[str, Any]]:
    lat, lon = _place(chance)
    bearing = chance.randrange(0, 360)
    road = f"{_ROADS[number % 10]} {_KINDS[number // 10 % 5]} {number // 50 + 1}"
    names = {"topic_site": f"district-{number % 20}", "device": f"pole-{number}"}
    state = "online" if chance.random() < _ONLINE else chance.choice(_STATES)
    health = {"quality": [state] if state in ("blind", "slow") else [], "source": {"state": "ok"}}
    told = {"state": "offline" if state == "offline" else "online", "heard": now, "version": "0.1.0", "contract": "1.3"}
    directions = {"left_name": "into town", "left_bearing": bearing, "right_name": "out of town"}
    return {
        LINE.name: {"id": number + 1, **names, "name": "main", "told": [], "longest_s": 60},
        SITE.name: {
            "id": f"site-{number:05}",
            "road": road,
            "lat": lat,
            "lon": lon,
            "time_zone": _TIME_ZONE,
            **directions,
            "right_bearing": (bearing + 180) % 360,
            "lanes": chance.choice((None, 2, 4)),
            "public": False,
            "by_hand": True,
        },
        DEVICE.name: {**names, **told, "health": health, "meta": {}},
        ATTACHMENT.name: {"id": number + 1, "site_id": f"site-{number:05}", "line_id": number + 1, "begins": 0},
    }


def _place(chance: random.Random) -> tuple[float, float]:
    """Return a place in the city: dense in the middle, thinner towards the edge, degrees."""
    far, angle = abs(chance.gauss(0, 0.045)), chance.uniform(0, 2 * math.pi)
    return round(CENTRE[0] + far * math.sin(angle), 5), round(CENTRE[1] + 1.6 * far * math.cos(angle), 5)


def _series(begin: int, end: int, step: int) -> Any:
    """Return a query of times, UTC s, one a row."""
    times = select(literal(begin).label("start")).cte("times", recursive=True)
    return times.union_all(select(times.c.start + step).where(times.c.start + step < end))


def _counts(number: Any, start: Any, share: int) -> Iterator[Any]:
    """Yield vehicles for each column: more by day than by night, and other at every site. share: of an hour, 1 / n."""
    hour = start // _HOUR_S % 24
    by_day = func.abs(12 - hour) * -1 + 14
    for at in range(len(COLUMNS)):
        yield ((number * (37 + at) % 60 + 4) * by_day // (share * (1 + 6 * (at // 2)))).label(COLUMNS[at])


def _steps(connection: Connection, now: int, days: int, lines: ColumnElement[bool]) -> None:
    for step, length in (("hour", _HOUR_S), ("day", 86_400)):
        end = now // length * length
        times = _series(end - days * 86_400, end, length)
        whole = (literal(length), literal(length * 0.999), literal(0), literal(0))
        counts = _counts(ATTACHMENT.c.line_id, times.c.start, 1)
        rows = select(ATTACHMENT.c.site_id, literal(step), times.c.start, *whole, *counts)
        rows = rows.select_from(ATTACHMENT.join(LINE).join(times, true())).where(lines)
        rows = rows.order_by(ATTACHMENT.c.site_id, times.c.start)  # as the key is: else its index takes long
        names = ("site_id", "step", "start", "length_s", "covered_s", "flagged_s", "straddling_s", *COLUMNS)
        connection.execute(STEP.insert().from_select(names, rows))


def _quarters(connection: Connection, now: int, days: int, lines: ColumnElement[bool]) -> None:
    end = now // _QUARTER_S * _QUARTER_S
    times = _series(end - days * 86_400, end, _QUARTER_S)
    told = (literal(_QUARTER_S * 0.999), literal(_QUARTER_S), literal(0), literal(15), literal(0))
    counts = _counts(LINE.c.id, times.c.start, 4)
    empty = (literal({}, QUARTER.c.flags.type), literal([], QUARTER.c.settings.type))
    rows = select(LINE.c.id, times.c.start, *told, *counts, *empty).select_from(LINE.join(times, true()))
    rows = rows.where(lines).order_by(LINE.c.id, times.c.start)
    names = ("line_id", "start", "covered_s", "length_s", "straddling_s", "intervals", "flagged_s", *COLUMNS)
    connection.execute(QUARTER.insert().from_select((*names, "flags", "settings"), rows))
