"""Add up what has changed: quarters of each line, then hours, days and months of each site in its own time."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any, Final
from zoneinfo import ZoneInfo

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Select,
    Text,
    and_,
    delete,
    exists,
    func,
    select,
    tuple_,
)

from edge_app.city.archive import LINES_A_PART, Archive
from edge_app.city.calendar import STEPS, Step, step_around, zone
from edge_app.city.database import engine
from edge_app.city.database.archived import Place, unreadable
from edge_app.city.database.attached import counts_of_site, counts_there
from edge_app.city.database.days import DAY_S, add_up_alone, keep_days
from edge_app.city.database.engine import among, put
from edge_app.city.database.pieces import Found, Quarter, find_pieces
from edge_app.city.database.tables import ATTACHMENT, DIRTY, LINE, QUARTER, SITE, STEP
from edge_app.city.records import COLUMNS
from edge_app.city.sums import QUARTER_S, beyond, deciding, quarter_sum

_AT_ONCE: Final = 400
"""Quarters or steps of one question to the database; SQLite takes 32,766 values."""
_QUARTERS: Final = 100_000
"""Quarters of sites that are added up anew together: those of three years of one."""
_MEASURES: Final = ("length_s", "covered_s", "flagged_s", "late_s", "doubtful")
"""What a step is the sum of, beside COLUMNS; `straddling_s` is not: it lies beyond the end of the step itself."""


def roll_up(connection: Connection, most: int = 2_000, *, archive: Archive | None = None) -> int:
    """Add up at most so many changed quarters, within the transaction of `connection`; return their number.

    Several workers may do so at once: what one has taken the others leave. archive: where the intervals of days that
    have left the database are. A quarter that needs a file that cannot be read waits, and keeps the sum that it has; of
    one whose file is lost for good the sum stays that of which more was seen.
    """
    keep_days(connection)
    taken = select(DIRTY).order_by(DIRTY.c.line_id, DIRTY.c.start).limit(most)
    if closed := unreadable(connection, archive):
        taken = taken.where(~_needs(connection, closed))
    rows = connection.execute(taken.with_for_update(of=DIRTY, skip_locked=True))
    dirty = [(row.line_id, row.start) for row in rows]
    rolled = list[Quarter]()
    for at in range(0, len(dirty), _AT_ONCE):
        part = dirty[at : at + _AT_ONCE]
        found = find_pieces(connection, archive, part)
        if part := [quarter for quarter in part if quarter not in found.unknown]:
            connection.execute(delete(DIRTY).where(tuple_(DIRTY.c.line_id, DIRTY.c.start).in_(part)))
            _roll_quarters(connection, part, found, _covered(connection, found.lost))
            rolled += part
    _roll_steps(connection, rolled)
    return len(dirty)


def _needs(connection: Connection, places: Sequence[Place]) -> ColumnElement[bool]:
    """Return the condition that a changed quarter needs intervals of one of some days and parts."""
    wanted = engine.wanted(connection, {"day": BigInteger(), "part": BigInteger()}, places)
    begin, end = deciding(DIRTY.c.start, LINE.c.longest_s)
    touching = (
        LINE.c.id == DIRTY.c.line_id,
        wanted.c.part == (DIRTY.c.line_id - 1) // LINES_A_PART,
        wanted.c.day < end,
        wanted.c.day + DAY_S > begin - LINE.c.longest_s + 1,
    )
    return exists().where(*touching).correlate(DIRTY)


def _covered(connection: Connection, quarters: Iterable[Quarter]) -> dict[Quarter, float]:
    """Return how much of some quarters was seen by the sums that they have, s."""
    keys = QUARTER.c.line_id, QUARTER.c.start
    if not (asked := sorted(quarters)):
        return {}
    rows = connection.execute(select(*keys, QUARTER.c.covered_s).where(tuple_(*keys).in_(asked)))
    return {(row.line_id, row.start): row.covered_s for row in rows}


def _roll_quarters(
    connection: Connection, quarters: Sequence[Quarter], found: Found, before: Mapping[Quarter, float]
) -> None:
    """Store the sums of quarters, and forget those in which no interval begins any more.

    before: s seen by those of which a part is lost; one with more stays.
    """
    rows, empty = [], []
    for line, start in quarters:
        total = quarter_sum(found.pieces[line, start], start)
        if (line, start) in before and before[line, start] >= total.covered_s:
            continue
        if not total.intervals:
            empty.append((line, start))
            continue
        rows.append(
            {
                "line_id": line,
                "start": start,
                "covered_s": total.covered_s,
                "length_s": total.length_s,
                "straddling_s": total.straddling_s,
                "intervals": total.intervals,
                "flagged_s": total.flagged_s,
                "late_s": total.late_s,
                "doubtful": total.doubtful,
                **dict(zip(COLUMNS, total.counts, strict=True)),
                "flags": total.flags,
                "settings": sorted(found.settings[line, start]),
            }
        )
    put(connection, QUARTER, rows)
    if empty:
        connection.execute(delete(QUARTER).where(tuple_(QUARTER.c.line_id, QUARTER.c.start).in_(empty)))


def _roll_steps(connection: Connection, quarters: Collection[Quarter]) -> None:
    if quarters:
        add_up_alone(connection)
    sites = _sites_of(connection, {line for line, _ in quarters})
    targets: dict[Step, set[tuple[str, int, int]]] = {step: set() for step in STEPS}
    for line, start in quarters:
        for site, time_zone in sites.get(line, ()):
            for step in STEPS:
                targets[step].add((site, *step_around(start, step, zone(time_zone))))
    for step in STEPS:
        wanted = sorted(targets[step])
        for at in range(0, len(wanted), _AT_ONCE):
            _roll_step(connection, step, wanted[at : at + _AT_ONCE])


def roll_sites(connection: Connection, sites: Collection[str]) -> None:
    """Add sites up anew from all their quarters, because what is attached to them has changed."""
    connection.execute(delete(STEP).where(among(connection, STEP.c.site_id, sites)))
    for part in _portions(connection, sites):
        _roll_together(connection, part)


def _portions(connection: Connection, sites: Collection[str]) -> Iterator[list[str]]:
    """Yield those of some sites that have quarters, so many at a time that these fit into memory."""
    many = select(ATTACHMENT.c.site_id, func.count()).join(QUARTER, counts_there()).group_by(ATTACHMENT.c.site_id)
    part, held = list[str](), 0
    for site, quarters in connection.execute(many.where(among(connection, ATTACHMENT.c.site_id, sites))).all():
        if part and held + quarters > _QUARTERS:
            yield part
            part, held = [], 0
        part.append(site)
        held += quarters
    if part:
        yield part


def _roll_together(connection: Connection, sites: Sequence[str]) -> None:
    zones = select(SITE.c.id, SITE.c.time_zone).where(among(connection, SITE.c.id, sites))
    zone_of = {name: zone(time_zone) for name, time_zone in connection.execute(zones)}
    names = ("straddling_s", *_MEASURES, *COLUMNS)
    columns = [QUARTER.c[name] for name in _MEASURES] + list(counts_of_site().values())
    quarters = select(ATTACHMENT.c.site_id, QUARTER.c.start, QUARTER.c.straddling_s, *columns)
    found = quarters.join(ATTACHMENT, counts_there()).where(among(connection, ATTACHMENT.c.site_id, sites))
    rows = list[dict[str, Any]]()
    for site, mine in groupby(connection.execute(found.order_by(ATTACHMENT.c.site_id, QUARTER.c.start)), itemgetter(0)):
        for (step, begin), values in _sums(mine, zone_of[site]).items():
            rows.append({"site_id": site, "step": step, "start": begin, **dict(zip(names, values, strict=True))})
    for at in range(0, len(rows), _AT_ONCE):
        put(connection, STEP, rows[at : at + _AT_ONCE])


def _sums(quarters: Iterable[Sequence[Any]], tz: ZoneInfo) -> dict[tuple[Step, int], list[float]]:
    """Return the sums of the steps of a site. quarters: of it, by time: site, start, straddling_s, what is added up."""
    sums: dict[tuple[Step, int], list[float]] = {}
    within = dict.fromkeys(STEPS, (0, 0))  # the steps of the quarter before, which mostly are those of the next one
    for _, start, straddling_s, *values in quarters:
        for step, (begin, end) in within.items():
            if not begin <= start < end:
                begin, end = within[step] = step_around(start, step, tz)
            key = step, begin
            mine = [beyond(start, straddling_s, end), *values]
            sums[key] = [a + b for a, b in zip(sums[key], mine, strict=True)] if key in sums else mine
    return sums


def _sites_of(connection: Connection, lines: Collection[int]) -> Mapping[int, Sequence[tuple[str, str]]]:
    found: dict[int, list[tuple[str, str]]] = defaultdict(list)
    statement = select(ATTACHMENT.c.line_id, SITE.c.id, SITE.c.time_zone).join(SITE, SITE.c.id == ATTACHMENT.c.site_id)
    for row in connection.execute(statement.where(ATTACHMENT.c.line_id.in_(lines)).distinct()):
        found[row.line_id].append((row.id, row.time_zone))
    return found


def _roll_step(connection: Connection, step: Step, targets: Sequence[tuple[str, int, int]]) -> None:
    wanted = engine.wanted(connection, {"site_id": Text(), "begin": BigInteger(), "finish": BigInteger()}, targets)
    if step == "hour":
        summed = _of_quarters(wanted)
    else:
        finer: Step = "hour" if step == "day" else "day"
        condition = and_(
            STEP.c.site_id == wanted.c.site_id,
            STEP.c.step == finer,
            STEP.c.start >= wanted.c.begin,
            STEP.c.start < wanted.c.finish,
        )
        sums = [func.sum(STEP.c[name]).label(name) for name in (*_MEASURES, *COLUMNS)]
        summed = select(wanted.c.site_id, wanted.c.begin, *sums).select_from(wanted).join(STEP, condition)
    rows = connection.execute(summed.group_by(wanted.c.site_id, wanted.c.begin)).mappings().all()
    beyond_s = {(site, begin): int(many) for site, begin, many in connection.execute(_straddling(wanted))}
    stored = [
        {
            "site_id": row["site_id"],
            "step": step,
            "start": row["begin"],
            **{name: int(row[name]) for name in (*_MEASURES, *COLUMNS) if name != "covered_s"},
            "covered_s": float(row["covered_s"]),
            "straddling_s": beyond_s.get((row["site_id"], row["begin"]), 0),
        }
        for row in rows
    ]
    put(connection, STEP, stored)
    there = {(row["site_id"], row["begin"]) for row in rows}
    if gone := sorted({(site, begin) for site, begin, _ in targets} - there):
        of_step = STEP.c.step == step, tuple_(STEP.c.site_id, STEP.c.start).in_(gone)
        connection.execute(delete(STEP).where(*of_step))


def _of_quarters(wanted: Any) -> Select[Any]:
    attached = and_(ATTACHMENT.c.site_id == wanted.c.site_id, ATTACHMENT.c.begins < wanted.c.finish)
    within = and_(counts_there(), QUARTER.c.start >= wanted.c.begin, QUARTER.c.start < wanted.c.finish)
    sums = [func.sum(column).label(name) for name, column in counts_of_site().items()]
    measures = [func.sum(QUARTER.c[name]).label(name) for name in _MEASURES]
    return (
        select(wanted.c.site_id, wanted.c.begin, *measures, *sums)
        .select_from(wanted)
        .join(ATTACHMENT, attached)
        .join(QUARTER, within)
    )


def _straddling(wanted: Any) -> Select[Any]:
    """Return what tells the seconds of the intervals of steps that lie beyond the end of these, as `sums.beyond`."""
    attached = and_(ATTACHMENT.c.site_id == wanted.c.site_id, ATTACHMENT.c.begins < wanted.c.finish)
    over = QUARTER.c.start + QUARTER_S + QUARTER.c.straddling_s - wanted.c.finish
    within = and_(
        counts_there(),
        QUARTER.c.start >= wanted.c.begin,
        QUARTER.c.start < wanted.c.finish,
        QUARTER.c.start > wanted.c.finish - QUARTER_S - LINE.c.longest_s,  # the last ones: no other reaches so far
        QUARTER.c.straddling_s > 0,
        over > 0,
    )
    return (
        select(wanted.c.site_id, wanted.c.begin, func.sum(over))
        .select_from(wanted)
        .join(ATTACHMENT, attached)
        .join(LINE, LINE.c.id == ATTACHMENT.c.line_id)
        .join(QUARTER, within)
        .group_by(wanted.c.site_id, wanted.c.begin)
    )
