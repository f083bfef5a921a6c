"""Read the intervals of a site as they came, out of the database and the archive."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, and_, func, select

from edge_app.city.archive import Archive, part_of
from edge_app.city.database.archived import Asked, names_of, read_all
from edge_app.city.database.attached import attached_lines
from edge_app.city.database.days import DAY_S
from edge_app.city.database.tables import ARCHIVED, INTERVAL, LINE, SERIES, SETTINGS
from edge_app.city.overlaps import Piece, counting
from edge_app.city.records import COLUMNS, NONE, Interval, Kept, LineName, Settings, Vector
from edge_app.city.sums import QUARTER_S, deciding


@dataclass(frozen=True, slots=True)
class SiteInterval:
    """An interval of a site. counts: in the directions of the site. late: it arrived later than its length after its
    end. counted: it is in the sums; else it overlaps one that is, or ends in the future."""

    interval: Interval
    counts: Vector
    arrived_ms: int
    late: bool
    counted: bool


def read_site_intervals(
    connection: Connection, archive: Archive | None, site: str, start: int, end: int
) -> list[SiteInterval]:
    """Return every interval of a site that begins in [start, end), UTC s, by time.

    Raises StoreError: when a file of the archive cannot be read.
    """
    found = list[SiteInterval]()
    for attached in attached_lines(connection, site):
        line, first, stop = asked = attached.within(start, end)
        if first < stop:
            longest_s = connection.execute(select(LINE.c.longest_s).where(LINE.c.id == line)).scalar_one()
            begin, _ = deciding(first - first % QUARTER_S, longest_s)
            _, last = deciding((stop - 1) // QUARTER_S * QUARTER_S, longest_s)
            there = _intervals(connection, archive, asked._replace(start=begin - longest_s, end=last))
            found += _told(there, first, stop, longest_s, turned=attached.turned)
    return sorted(found, key=lambda one: (one.interval.start, one.interval.name, one.interval.id))


def stretch_of_site(connection: Connection, site: str) -> tuple[int, int]:
    """Return from when to when a site may have intervals, UTC s: outside there is none; twice 0 without any."""
    begins, ends = list[int](), list[int]()
    for line in {attached.line for attached in attached_lines(connection, site)}:
        day, of_part = ARCHIVED.c.day, (ARCHIVED.c.part == part_of(line), ARCHIVED.c.name != "")
        for value, where in ((INTERVAL.c.start, [INTERVAL.c.line_id == line]), (day, of_part)):
            first, last = (connection.execute(select(of(value)).where(*where)).scalar() for of in (func.min, func.max))
            if first is not None and last is not None:
                begins.append(first)
                ends.append(last + (DAY_S if value is day else 1))
    return min(begins, default=0), max(ends, default=0)


def _intervals(connection: Connection, archive: Archive | None, asked: Asked) -> list[Kept]:
    """Return the intervals of a line that begin in a stretch of time, each once, by start."""
    name = names_of(connection, {asked.line})[asked.line]
    within = and_(INTERVAL.c.line_id == asked.line, INTERVAL.c.start >= asked.start, INTERVAL.c.start < asked.end)
    settings = [column for column in SETTINGS.c if column.name != "id"]
    rows = connection.execute(
        select(INTERVAL, SERIES.c.installation, *settings)
        .join(SERIES, SERIES.c.id == INTERVAL.c.series_id)
        .join(SETTINGS, SETTINGS.c.id == INTERVAL.c.settings_id)
        .where(within)
    ).all()
    kept = [_kept(row, name) for row in rows] + read_all(connection, archive, asked)
    once = {(one.interval.start, one.interval.id): one for one in kept}
    return [once[key] for key in sorted(once)]


def _told(there: Sequence[Kept], first: int, stop: int, longest_s: int, *, turned: bool) -> list[SiteInterval]:
    series = {name: at for at, name in enumerate(sorted({one.interval.installation for one in there}))}
    pieces = [_piece(one, series[one.interval.installation]) for one in there]
    usable = [piece for piece, one in zip(pieces, there, strict=True) if not one.interval.aside]
    counted = set[int]()
    quarters = {piece.start - piece.start % QUARTER_S for piece in usable if first <= piece.start < stop}
    for quarter in quarters:
        begin, end = deciding(quarter, longest_s)
        touching = [piece for piece in usable if piece.start < end and piece.end > begin]
        own = range(quarter, quarter + QUARTER_S)
        counted.update(id(piece) for piece in counting(touching) if piece.start in own)
    return [
        SiteInterval(one.interval, _ways(piece.counts, turned=turned), one.arrived_ms, piece.late, id(piece) in counted)
        for piece, one in zip(pieces, there, strict=True)
        if first <= piece.start < stop
    ]


def _ways(counts: Vector, *, turned: bool) -> Vector:
    # COLUMNS come in pairs, one for each direction.
    return tuple(counts[at ^ 1] for at in range(len(counts))) if turned else counts


def _piece(kept: Kept, series: int) -> Piece:
    one = kept.interval
    return Piece(one.start, one.end, series, kept.arrived_ms, one.counts, one.coverage, one.settings.flags)


def _kept(row: Any, name: LineName) -> Kept:
    interval = Interval(
        id=row.id,
        name=name,
        installation=row.installation,
        seq=row.seq,
        start=row.start,
        end=row.start + row.length_s,
        counts=tuple(getattr(row, column) for column in COLUMNS),
        totals=NONE,
        coverage=row.coverage,
        frames=row.frames,
        dropped=row.dropped,
        settings=Settings(row.model, row.config, row.boot_id, row.interval_s, row.flags),
        others=row.others or "",
        aside=row.aside,
    )
    return Kept(interval, row.arrived_ms)
