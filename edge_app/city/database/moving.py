"""Move the intervals of a day into the archive.

Killed at any moment, nothing is lost or double: what is to be made is noted first, the intervals are written, read back
and counted, and one transaction lets the database know the file and forget the intervals. Whatever comes meanwhile
takes the note away, and the day is moved another time.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import reduce
from operator import add
from pathlib import Path
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, Select, and_, func, select, update

from edge_app.city.archive import Archive, ArchiveFile, UnreadableFileError, name_of, version_of
from edge_app.city.database.archived import files_of, note_unreadable
from edge_app.city.database.days import DAY_S, drop_day, keep_days, of_part, parts_of, write_csv
from edge_app.city.database.engine import Database, insert_new
from edge_app.city.database.lost import forget_lost, lost_files
from edge_app.city.database.tables import ARCHIVED, CONTRADICTION, DIRTY, INTERVAL, LINE, MEASURE, SERIES, SETTINGS
from edge_app.city.interval_columns import INTERVALS
from edge_app.city.parquet import Written, quarters_of, write_intervals
from edge_app.city.records import COLUMNS, Contradiction, LineName
from edge_app.errors import StoreError
from edge_app.system.files import sha256_of

log = logging.getLogger(__name__)

_EMPTY: Final = {"name": "", "intervals": 0, "vehicles": 0, "size": 0, "sha256": "", "judged": 0, "problem": ""}


class Moved(NamedTuple):
    """What was moved. day: its first second, UTC. intervals: that left the database. size: of its files, bytes."""

    day: int
    intervals: int
    size: int


@dataclass(frozen=True, slots=True)
class _Made:
    """A new file of a part. replaced: names of those whose intervals it has too."""

    file: ArchiveFile
    written: Written
    replaced: tuple[str, ...]


def move_day(database: Database, archive: Archive, work: Path, day: int, now: int) -> Moved | None:
    """Move a day; return None where it has to wait: for being added up, or since some of it has just come.

    work: folder on the disk of the archive. day: its first second, UTC. now: UTC s. What goes on in a part of the lines
    does not hold up the others. Raises StoreError: when the database or the archive cannot be used.
    """
    names = _announce(database, archive, day)
    made = {}
    for part, name in names.items():
        try:
            one = _make(database, archive, work, (day, part), name, now)
        except OSError as error:
            raise error if isinstance(error, StoreError) else StoreError(_unwritten(archive, name, error)) from error
        if one:
            made[part] = one
    good = _settle(database, day, made, now)
    for part, one in made.items():
        for name in one.replaced if part in good else (one.file.name,):
            (archive.folder / name).unlink(missing_ok=True)
    if not good:
        return None
    files = [made[part] for part in good]
    return Moved(day, sum(one.written.fresh for one in files), sum(one.file.size for one in files))


def _announce(database: Database, archive: Archive, day: int) -> dict[int, str]:
    """Note which files are to be made, by part; none while some of the day waits to be added up."""
    with database.begin() as connection:
        keep_days(connection, alone=True)
        waiting = select(DIRTY.c.start).where(DIRTY.c.start >= day, DIRTY.c.start < day + DAY_S).limit(1)
        if connection.execute(waiting).first() is not None:
            return {}
        parts = parts_of(connection, day)
        for part in parts:
            begin_file(connection, day, part)
        lost, names = lost_files(connection, [day]), {}
        for row in connection.execute(select(ARCHIVED).where(ARCHIVED.c.day == day, ARCHIVED.c.part.in_(parts))).all():
            if row.moving not in ("", row.name):  # of one that was killed
                (archive.folder / row.moving).unlink(missing_ok=True)
            gone = [one.file.name for one in lost if one.file.part == row.part]
            there = [*archive.versions(day, row.part), row.name, *gone]
            names[row.part] = name_of(day, row.part, 1 + max(map(version_of, there)))
            here = (ARCHIVED.c.day == day) & (ARCHIVED.c.part == row.part)
            connection.execute(update(ARCHIVED).where(here).values(moving=names[row.part]))
    return names


def _make(
    database: Database, archive: Archive, work: Path, place: tuple[int, int], name: str, now: int
) -> _Made | None:
    """Write the file of a part of a day and hold it to the database; None where its former file cannot be read."""
    day, part = place
    rows, file = work / "rows.csv", work / "intervals.parquet"
    with database.connect() as connection:
        write_csv(connection, _rows(), day, part, rows)
        known = files_of(connection, [place]).get(place)
        lines, lost = keys_of_lines(connection), {one.file.name: one.file for one in lost_files(connection, [day])}
    if known is not None:
        try:
            archive.judge(known, again=True)
        except UnreadableFileError as error:
            with database.begin() as connection:
                note_unreadable(connection, known, error, now)
            log.warning("%s; what has come of that day stays in the database", error)
            return None
    strays = [one for one in archive.versions(day, part) if not known or one != known.name]
    strays = [one for one in strays if one not in lost or archive.is_whole(lost[one])]
    strays = [one for one in strays if is_of(archive.folder / one, lines)]
    written = write_intervals(
        rows, archive.folder / known.name if known else None, [archive.folder / one for one in strays], file
    )
    with database.connect() as connection:
        vehicles = func.coalesce(func.sum(reduce(add, (INTERVAL.c[column] for column in COLUMNS))), 0)
        counted = connection.execute(of_part(select(func.count(), vehicles), day, part)).one()
    if (written.fresh, written.fresh_vehicles) != tuple(map(int, counted)):
        log.info("%s: the day has changed meanwhile; it is moved another time", name)
        return None
    made = ArchiveFile(day, part, name, written.intervals, written.vehicles, file.stat().st_size, sha256_of(file))
    archive.put(file, name)
    return _Made(made, written, (*((known.name,) if known else ()), *strays))


def _settle(database: Database, day: int, made: Mapping[int, _Made], now: int) -> list[int]:
    """Let the database know the files and forget their intervals; return the parts of which nothing came meanwhile."""
    if not made:
        return []
    with database.begin() as connection:
        keep_days(connection, alone=True)
        noted = connection.execute(select(ARCHIVED.c.part, ARCHIVED.c.moving).where(ARCHIVED.c.day == day))
        good = [part for part, moving in noted if part in made and made[part].file.name == moving]
        drop_day(connection, day, good)
        lines = keys_of_lines(connection)
        for part in good:
            one = made[part]
            know_file(connection, one.file, now)
            _tell(connection, one.written.contradictions, lines, now)
            mark_changed(connection, one.written.regained, lines)
            forget_lost(connection, one.replaced)
    return good


def begin_file(connection: Connection, day: int, part: int) -> None:
    """Have a row for the file of a day and a part, if there is none yet."""
    insert_new(connection, ARCHIVED, [{"day": day, "part": part, "moving": "", **_EMPTY}])


def know_file(connection: Connection, file: ArchiveFile, now: int) -> None:
    """Let the database know the file of a day and a part, which is whole. now: UTC s."""
    values = {"name": file.name, "intervals": file.intervals, "vehicles": file.vehicles, "size": file.size}
    here = (ARCHIVED.c.day == file.day) & (ARCHIVED.c.part == file.part)
    state = {"sha256": file.sha256, "judged": now, "problem": "", "moving": ""}
    connection.execute(update(ARCHIVED).where(here).values(**values, **state))


def mark_changed(
    connection: Connection, quarters: Iterable[tuple[LineName, int]], lines: Mapping[LineName, int]
) -> None:
    """Have quarters added up anew. lines: their keys by name."""
    insert_new(connection, DIRTY, [{"line_id": lines[name], "start": start} for name, start in sorted(quarters)])


def _rows() -> Select[Any]:
    """Return the statement for intervals in the columns of a file, which know no keys of this database."""
    end = INTERVAL.c.start + INTERVAL.c.length_s
    same = and_(*(INTERVAL.c[name] == MEASURE.c[name] for name in ("line_id", "start", "id")))
    columns: Mapping[str, Any] = {
        "site": LINE.c.topic_site,
        "device": LINE.c.device,
        "line": LINE.c.name,
        "installation": SERIES.c.installation,
        "delay_ms": INTERVAL.c.arrived_ms - end * 1000,
        "others": func.coalesce(INTERVAL.c.others, ""),
        "measures": func.coalesce(MEASURE.c.content, ""),
        **{name: SETTINGS.c[name] for name in ("model", "config", "boot_id", "interval_s", "flags")},
    }
    return (
        select(*(columns.get(name, INTERVAL.c.get(name)) for name in INTERVALS))
        .select_from(INTERVAL)
        .join(SERIES, SERIES.c.id == INTERVAL.c.series_id)
        .join(SETTINGS, SETTINGS.c.id == INTERVAL.c.settings_id)
        .outerjoin(MEASURE, same)
    )


def keys_of_lines(connection: Connection) -> dict[LineName, int]:
    """Return the keys of all lines by their names."""
    rows = connection.execute(select(LINE.c.id, LINE.c.topic_site, LINE.c.device, LINE.c.name))
    return {LineName(*name): key for key, *name in rows}


def is_of(file: Path, lines: Mapping[LineName, int]) -> bool:
    """Return whether a file that the database does not know has intervals of this city; else say so."""
    try:
        if all(name in lines for name, _ in quarters_of(file)):
            return True
        log.warning("%s has lines of another city and is left alone: take it out of the folder", file)
    except OSError as error:
        log.warning("%s is no file of this archive and is left alone (%s)", file, error)
    return False


def _tell(
    connection: Connection, contradictions: Iterable[Contradiction], lines: Mapping[LineName, int], now: int
) -> None:
    for one in contradictions:
        row = {"line_id": lines[one.name], "kind": one.kind, "what": one.what, "start": one.start, "stop": one.end}
        insert_new(connection, CONTRADICTION, [{**row, "found": now}])


def _unwritten(archive: Archive, name: str, error: OSError) -> str:
    return f"{archive.folder / name} cannot be written ({error}): its intervals stay in the database"
