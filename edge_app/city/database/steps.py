"""Read the sums of steps with their flags: of the site's own time, or of that of another place."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from operator import add
from typing import Any, Final
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, Text, and_, cast, select

from edge_app.city.calendar import Step, step_around, zone
from edge_app.city.database.attached import counts_there
from edge_app.city.database.reading import AnyStep, Total, read_quarters, read_totals
from edge_app.city.database.tables import ATTACHMENT, QUARTER, SITE, STEP
from edge_app.city.reach import reaching_s, within_s
from edge_app.city.records import COLUMNS, SYNTHETIC
from edge_app.city.sums import QUARTER_S, beyond

_HOUR_S: Final = 3600
_LONGEST_STEP_S: Final = 32 * 86_400
_LONGEST_INTERVAL_S: Final = 86_400
"""Longest interval that is read."""
_AT_ONCE_S: Final = 100 * 86_400
"""Time whose quarters are in memory together."""


@dataclass(frozen=True, slots=True)
class HourSum:
    """Vehicles of all classes and both directions of an hour of a site.

    covered_s: of the intervals that begin in it, seen. seen_s: of the hour itself. synthetic: some of it is invented.
    """

    start: int
    covered_s: float
    seen_s: float
    vehicles: int
    synthetic: bool


def read_steps(
    connection: Connection, site: str, start: int, end: int, step: AnyStep, tz: ZoneInfo | None = None
) -> list[Total]:
    """Return the sums of a site that begin in [start, end), UTC s, with their flags, by time.

    tz: zone whose hours, days and months are asked for, None for that of the site, whose sums are stored. Those of
    another zone are added up from quarters of an hour, which all zones share. Steps without an interval are left out.
    """
    if step == "quarter":
        return quarters_with_reached(read_quarters(connection, start, end, [site], reaching=True).get(site, ()), start)
    if tz is not None:
        return _added_up(connection, site, start, end, step, tz)
    own = zone_of(connection, site)
    found = read_totals(connection, site, start - _LONGEST_INTERVAL_S - _LONGEST_STEP_S, start, step, straddling=True)
    found += _with_flags(connection, site, read_totals(connection, site, start, end, step), end)
    return _with_reached([(one, step_around(one.start, step, own)[1]) for one in found], start)


def quarters_with_reached(quarters: Iterable[Total], start: int) -> list[Total]:
    """Return the quarters that begin at a time, UTC s, or later, with what was seen of them by intervals before them.

    quarters: by time, also those before that reach so far.
    """
    return _with_reached([(one, one.start + QUARTER_S) for one in quarters], start)


def _with_reached(found: Sequence[tuple[Total, int]], start: int) -> list[Total]:
    """Return the sums that begin at a time, UTC s, or later, with what was seen of them by intervals before them.

    found: by time, each with its end.
    """
    later = [(one, end) for one, end in found if one.start >= start]
    reached = reaching_s(found, [(one.start, end) for one, end in later])
    return [replace(one, reached_s=seen_s) if seen_s else one for (one, _), seen_s in zip(later, reached, strict=True)]


def read_hours(connection: Connection, site: str, start: int, end: int, tz: ZoneInfo | None = None) -> list[HourSum]:
    """Return the hours of a site that begin in [start, end), UTC s, by time; those without an interval are left out.

    tz: as with `read_steps`.
    """
    if tz is not None:
        totals = _added_up(connection, site, start, end, "hour", tz)
        return [HourSum(one.start, one.covered_s, one.seen_s, sum(one.counts), one.synthetic) for one in totals]
    first = start - _LONGEST_INTERVAL_S - _HOUR_S  # of those before `start` the ones that may reach so far
    where = and_(STEP.c.site_id == site, STEP.c.step == "hour", STEP.c.start >= first, STEP.c.start < end)
    columns = [STEP.c[name] for name in ("start", "length_s", "covered_s", "straddling_s", "flagged_s")]
    vehicles = reduce(add, [STEP.c[name] for name in COLUMNS]).label("vehicles")
    rows = connection.execute(select(*columns, vehicles).where(where).order_by(STEP.c.start)).all()
    later = [row for row in rows if row.start >= start]
    reached = _reached_by_hours(connection, site, rows, later)
    invented = _invented(connection, site, [(row.start, bool(row.flagged_s)) for row in later])
    return [
        HourSum(row.start, row.covered_s, within_s(row) + seen_s, row.vehicles, row.start in invented)
        for row, seen_s in zip(later, reached, strict=True)
    ]


def _reached_by_hours(connection: Connection, site: str, rows: Sequence[Any], later: Sequence[Any]) -> list[float]:
    """Return the seconds seen of some hours by intervals that begin before them. rows: all hours, also those before."""
    if not any(row.straddling_s for row in rows):  # as nearly everywhere: a year has nine thousand ends
        return [0.0] * len(later)
    tz = zone_of(connection, site)
    ends = {row.start: step_around(row.start, "hour", tz)[1] for row in rows}
    return reaching_s([(row, ends[row.start]) for row in rows], [(row.start, ends[row.start]) for row in later])


def _invented(connection: Connection, site: str, hours: Sequence[tuple[int, bool]]) -> set[int]:
    """Return the hours with a quarter that has invented counts. hours: begin, and whether it has any flag."""
    flagged = [begin for begin, has_flag in hours if has_flag]
    if not flagged:
        return set()
    starts = [begin for begin, _ in hours]
    there = QUARTER.c.start >= flagged[0], QUARTER.c.start < flagged[-1] + _HOUR_S
    synthetic = QUARTER.c.flagged_s > 0, cast(QUARTER.c.flags, Text).like(f'%"{SYNTHETIC}"%')
    rows = select(QUARTER.c.start).join(ATTACHMENT, counts_there()).where(ATTACHMENT.c.site_id == site)
    found = connection.execute(rows.where(*there, *synthetic)).scalars()
    return {starts[bisect_right(starts, start) - 1] for start in found}


def _with_flags(connection: Connection, site: str, totals: Sequence[Total], end: int) -> list[Total]:
    """Return steps longer than a quarter with the flags of their quarters.

    totals: of one site, by time. end: before which the last one begins, UTC s. Sums of hours and longer steps have the
    time with flags alone.
    """
    flagged = [total.start for total in totals if total.flagged_s]
    if not flagged:
        return list(totals)
    starts, found = [total.start for total in totals], defaultdict[int, Counter[str]](Counter)
    there = QUARTER.c.start >= flagged[0], QUARTER.c.start < max(end, flagged[-1] + _LONGEST_STEP_S)
    rows = select(QUARTER.c.start, QUARTER.c.flags).join(ATTACHMENT, counts_there())
    for start, flags in connection.execute(rows.where(ATTACHMENT.c.site_id == site, QUARTER.c.flagged_s > 0, *there)):
        # A quarter with intervals has its step: the last one that begins before it.
        found[starts[bisect_right(starts, start) - 1]].update(flags)
    return [replace(total, flags=found[total.start]) if total.flagged_s else total for total in totals]


def _added_up(connection: Connection, site: str, start: int, end: int, step: Step, tz: ZoneInfo) -> list[Total]:
    """Return the steps of a zone that begin in [start, end), UTC s, from the quarters that begin in them."""
    around = step_around(start, step, tz)
    begin = start if around[0] == start else around[1]
    stop = step_around(end - 1, step, tz)[1] if begin < end else begin
    found, within, before = dict[int, Total](), (0, 0), list[tuple[Total, int]]()
    for at in range(begin, stop, _AT_ONCE_S):
        part = read_quarters(connection, at, min(at + _AT_ONCE_S, stop), [site], reaching=at == begin)
        for quarter in part.get(site, ()):
            if quarter.start < begin:
                before.append((quarter, quarter.start + QUARTER_S))
                continue
            if not within[0] <= quarter.start < within[1]:
                within = step_around(quarter.start, step, tz)
            first, finish = within
            over = beyond(quarter.start, quarter.straddling_s, finish)
            mine = replace(quarter, start=first, settings=(), straddling_s=over)
            found[first] = found[first].plus(mine) if first in found else mine
    return _with_reached([*before, *((one, step_around(one.start, step, tz)[1]) for one in found.values())], begin)


def zone_of(connection: Connection, site: str) -> ZoneInfo:
    """Return the time zone of a site."""
    return zone(connection.execute(select(SITE.c.time_zone).where(SITE.c.id == site)).scalar_one())
