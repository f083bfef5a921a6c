"""Read the sums of steps with their flags: of the site's own time, or of that of another place."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import reduce
from operator import add
from typing import Final
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, Text, and_, cast, select

from edge_app.city.calendar import Step, step_around
from edge_app.city.database.attached import counts_there
from edge_app.city.database.reading import AnyStep, Total, read_quarters, read_totals
from edge_app.city.database.tables import ATTACHMENT, QUARTER, STEP
from edge_app.city.records import COLUMNS, SYNTHETIC
from edge_app.city.sums import beyond

_HOUR_S: Final = 3600
_LONGEST_STEP_S: Final = 32 * 86_400
_AT_ONCE_S: Final = 100 * 86_400
"""Time whose quarters are in memory together."""


@dataclass(frozen=True, slots=True)
class HourSum:
    """Vehicles of all classes and both directions of an hour of a site. covered_s: of it, seen.

    synthetic: some of it is invented.
    """

    start: int
    covered_s: float
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
        return read_totals(connection, site, start, end, step)
    if tz is not None:
        return _added_up(connection, site, start, end, step, tz)
    return _with_flags(connection, site, read_totals(connection, site, start, end, step), end)


def read_hours(connection: Connection, site: str, start: int, end: int, tz: ZoneInfo | None = None) -> list[HourSum]:
    """Return the hours of a site that begin in [start, end), UTC s, by time; those without an interval are left out.

    tz: as with `read_steps`.
    """
    if tz is not None:
        totals = _added_up(connection, site, start, end, "hour", tz)
        return [HourSum(one.start, one.covered_s, sum(one.counts), one.synthetic) for one in totals]
    where = and_(STEP.c.site_id == site, STEP.c.step == "hour", STEP.c.start >= start, STEP.c.start < end)
    vehicles = reduce(add, [STEP.c[name] for name in COLUMNS])
    statement = select(STEP.c.start, STEP.c.covered_s, vehicles, STEP.c.flagged_s).where(where).order_by(STEP.c.start)
    rows = connection.execute(statement).all()
    invented = _invented(connection, site, [(begin, bool(flagged_s)) for begin, _, _, flagged_s in rows])
    return [HourSum(begin, covered_s, many, begin in invented) for begin, covered_s, many, _ in rows]


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
    found, within = dict[int, Total](), (0, 0)
    for at in range(begin, stop, _AT_ONCE_S):
        for quarter in read_quarters(connection, at, min(at + _AT_ONCE_S, stop), [site]).get(site, ()):
            if not within[0] <= quarter.start < within[1]:
                within = step_around(quarter.start, step, tz)
            first, finish = within
            over = beyond(quarter.start, quarter.straddling_s, finish)
            mine = replace(quarter, start=first, settings=(), straddling_s=over)
            found[first] = found[first].plus(mine) if first in found else mine
    return list(found.values())
