"""Read the intervals that quarters are added up from, out of the database and the archive."""

from __future__ import annotations

import time
import zlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from sqlalchemy import BigInteger, Connection, and_, select

from edge_app.city.archive import Archive, UnreadableFileError
from edge_app.city.database import engine
from edge_app.city.database.archived import Asked, files_of, names_of, note_unreadable, places_of, read_file
from edge_app.city.database.days import DAY_S
from edge_app.city.database.lost import lost_files
from edge_app.city.database.tables import INTERVAL, LINE, MEASURE, SERIES, SETTINGS
from edge_app.city.measured import doubtful_of
from edge_app.city.overlaps import Piece
from edge_app.city.records import COLUMNS, Kept
from edge_app.city.sums import QUARTER_S, deciding

Quarter: TypeAlias = tuple[int, int]
"""Line and start, UTC s."""


@dataclass(slots=True)
class Found:
    """The intervals that are `deciding` for each quarter, and under which model and config its own counted.

    unknown: quarters of which a file of the archive cannot be read. lost: those of which one is lost for good.
    """

    pieces: dict[Quarter, list[Piece]] = field(default_factory=lambda: defaultdict(list))
    settings: dict[Quarter, set[tuple[str, str]]] = field(default_factory=lambda: defaultdict(set))
    unknown: set[Quarter] = field(default_factory=set)
    lost: set[Quarter] = field(default_factory=set)


def find_pieces(connection: Connection, archive: Archive | None, quarters: Sequence[Quarter]) -> Found:
    """Return what some quarters are added up from. What is in the database and in the archive is found once."""
    found = Found()
    past = _from_archive(connection, archive, quarters, found)
    known: dict[Quarter, dict[tuple[int, Any], tuple[Piece, str, str]]] = defaultdict(dict)
    for row in _from_database(connection, quarters):
        known[row.line_id, row.quarter][row.start, row.id] = _piece(row), row.model, row.config
    if past:
        lines = {line for line, _ in past}
        of_line, longest, series = defaultdict(list), _longest(connection, lines), _series(connection, lines)
        for line, start in quarters:
            of_line[line].append(start)
        for line, kept in past:
            one = kept.interval
            told = _piece_of(kept, series.get((line, one.installation), -zlib.crc32(one.installation.encode())))
            for start in of_line[line]:
                begin, end = deciding(start, longest[line])
                if one.start < end and one.end > begin and not one.aside:
                    known[line, start][one.start, one.id] = told, one.settings.model, one.settings.config
    for quarter, of_quarter in known.items():
        for (start, _), (piece, model, config) in sorted(of_quarter.items()):  # where two came at once, by their id
            found.pieces[quarter].append(piece)
            if quarter[1] <= start < quarter[1] + QUARTER_S:
                found.settings[quarter].add((model, config))
    return found


def _from_database(connection: Connection, quarters: Sequence[Quarter]) -> Iterable[Any]:
    wanted = engine.wanted(connection, {"line_id": BigInteger(), "quarter": BigInteger()}, quarters)
    begin, end = deciding(wanted.c.quarter, LINE.c.longest_s)
    touching = and_(
        INTERVAL.c.line_id == wanted.c.line_id,
        INTERVAL.c.start < end,
        INTERVAL.c.start > begin - LINE.c.longest_s,
        INTERVAL.c.start + INTERVAL.c.length_s > begin,
        INTERVAL.c.aside.is_(False),
        # A constant bound on both sides lets the planner leave out every partition but those of these days.
        INTERVAL.c.start > min(start for _, start in quarters) - 2 * DAY_S,
        INTERVAL.c.start < max(start for _, start in quarters) + QUARTER_S + DAY_S,
    )
    return connection.execute(
        select(wanted.c.quarter, INTERVAL, SETTINGS.c.flags, SETTINGS.c.model, SETTINGS.c.config, MEASURE.c.content)
        .select_from(wanted)
        .join(LINE, LINE.c.id == wanted.c.line_id)
        .join(INTERVAL, touching)
        .join(SETTINGS, SETTINGS.c.id == INTERVAL.c.settings_id)
        .outerjoin(MEASURE, and_(*(INTERVAL.c[name] == MEASURE.c[name] for name in ("line_id", "start", "id"))))
    )


def _from_archive(
    connection: Connection, archive: Archive | None, quarters: Sequence[Quarter], told: Found
) -> list[tuple[int, Kept]]:
    """Return what the archive has of some quarters, with the keys of the lines.

    told: gets the quarters that it cannot tell. Intervals of the days around may decide about those of a quarter.
    """
    places = places_of(Asked(line, start - 2 * DAY_S, start + QUARTER_S + DAY_S) for line, start in quarters)
    files = files_of(connection, places)
    gone = {(one.file.day, one.file.part) for one in lost_files(connection, {day for day, _ in places})}
    if not files and not gone:
        return []
    lines = {line for line, _ in quarters}
    longest, asked = _longest(connection, lines), dict[Quarter, Asked]()
    for line, start in quarters:
        begin, end = deciding(start, longest[line])
        asked[line, start] = Asked(line, begin - longest[line] + 1, end)
    told.lost.update(quarter for quarter, one in asked.items() if gone & places_of([one]))
    names, found = names_of(connection, lines), list[tuple[int, Kept]]()
    for place, file in files.items():
        of_file = {quarter: one for quarter, one in asked.items() if place in places_of([one])}
        try:
            found += read_file(archive, file, of_file.values(), names)
        except UnreadableFileError as error:
            told.unknown.update(of_file)
            note_unreadable(connection, file, error, int(time.time()))
    return found


def _longest(connection: Connection, lines: Iterable[int]) -> Mapping[int, int]:
    """Return how long the longest interval of each line is, s."""
    statement = select(LINE.c.id, LINE.c.longest_s).where(engine.among(connection, LINE.c.id, set(lines)))
    return {row.id: row.longest_s for row in connection.execute(statement)}


def _series(connection: Connection, lines: Iterable[int]) -> Mapping[tuple[int, str], int]:
    statement = select(SERIES.c.line_id, SERIES.c.installation, SERIES.c.id)
    rows = connection.execute(statement.where(engine.among(connection, SERIES.c.line_id, set(lines))))
    return {(line, installation): key for line, installation, key in rows}


def _piece(row: Any) -> Piece:
    return Piece(
        start=row.start,
        end=row.start + row.length_s,
        series=row.series_id,
        arrived_ms=row.arrived_ms,
        counts=tuple(getattr(row, name) for name in COLUMNS),
        coverage=row.coverage,
        flags=row.flags,
        doubtful=doubtful_of(row.content or ""),
    )


def _piece_of(kept: Kept, series: int) -> Piece:
    one = kept.interval
    return Piece(
        start=one.start,
        end=one.end,
        series=series,
        arrived_ms=kept.arrived_ms,
        counts=one.counts,
        coverage=one.coverage,
        flags=one.settings.flags,
        doubtful=doubtful_of(one.measures),
    )
