"""Know which intervals are in the archive, and read them from there.

A day is in the archive or in the database, but for what came after it was moved: that lies in the database until the
day is moved again. Whoever reads both reads the database first, so that a day that is moved meanwhile is found twice
rather than never.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Set
from types import MappingProxyType
from typing import Any, NamedTuple, TypeAlias

from sqlalchemy import Connection, Select, and_, delete, func, select, update

from edge_app.city.archive import Archive, ArchiveFile, Problem, UnreadableFileError, part_of
from edge_app.city.database import engine
from edge_app.city.database.days import DAY_S, day_of
from edge_app.city.database.lost import lost_files
from edge_app.city.database.tables import ARCHIVED, LINE
from edge_app.city.records import Interval, Kept, LineName, Stretch

Key: TypeAlias = tuple[int, int, Any]
"""Line, start and id of an interval."""
Place: TypeAlias = tuple[int, int]
"""Day and part of a file."""


class Asked(NamedTuple):
    """A stretch of time of a line, [start, end), UTC s, that somebody wants the intervals of."""

    line: int
    start: int
    end: int


class Past(NamedTuple):
    """What the archive knows of a batch. known: by key.

    doubtful: keys of days whose file cannot be read now, or is lost. places: those of the batch that are in the archive
    or are being moved there.
    """

    known: Mapping[Key, Interval] = MappingProxyType({})
    doubtful: Set[Key] = frozenset()
    places: Set[Place] = frozenset()


def files_of(connection: Connection, places: Iterable[Place]) -> dict[Place, ArchiveFile]:
    """Return the files of those days and parts that have one."""
    return {place: file for place, file in _known_places(connection, set(places)).items() if file.name}


def _known_places(connection: Connection, places: Set[Place]) -> dict[Place, ArchiveFile]:
    """Return those days and parts that are in the archive or are being moved there; the name of these is empty."""
    if not places:
        return {}
    rows = connection.execute(_of_days(connection, {day for day, _ in places}))
    found = {(row.day, row.part): _file(row) for row in rows}
    return {place: found[place] for place in sorted(places & found.keys())}


def all_files(connection: Connection) -> list[tuple[ArchiveFile, int, Problem]]:
    """Return all files of the archive, the oldest day first, with when they were judged, UTC s, and the outcome."""
    statement = select(ARCHIVED).where(ARCHIVED.c.name != "").order_by(ARCHIVED.c.day, ARCHIVED.c.part)
    return [(_file(row), row.judged, row.problem) for row in connection.execute(statement)]


def tally(connection: Connection) -> dict[str, int]:
    """Return how many files the archive has by their state: whole, missing or damaged."""
    statement = select(ARCHIVED.c.problem, func.count().label("many")).where(ARCHIVED.c.name != "")
    counted = {row.problem: row.many for row in connection.execute(statement.group_by(ARCHIVED.c.problem))}
    return {state or "whole": counted.get(state, 0) for state in ("", "missing", "damaged")}


def note_judged(connection: Connection, file: ArchiveFile, problem: Problem, now: int) -> None:
    """Note what was found when a file was looked at. now: UTC s."""
    here = and_(ARCHIVED.c.day == file.day, ARCHIVED.c.part == file.part, ARCHIVED.c.name == file.name)
    connection.execute(update(ARCHIVED).where(here).values(problem=problem, judged=now))


def forget_file(connection: Connection, file: ArchiveFile) -> bool:
    """Know a file no longer; return whether it was known."""
    here = ARCHIVED.c.day == file.day, ARCHIVED.c.part == file.part, ARCHIVED.c.name == file.name
    return bool(connection.execute(delete(ARCHIVED).where(*here)).rowcount)


def disturb(connection: Connection, places: Iterable[Place]) -> None:
    """Tell whoever moves days that intervals of some have come, so that they are not moved yet."""
    for day, part in sorted(set(places)):
        here = and_(ARCHIVED.c.day == day, ARCHIVED.c.part == part)
        connection.execute(update(ARCHIVED).where(here).values(moving=""))


def places_of(asked: Iterable[Asked]) -> set[Place]:
    """Return the days and parts that stretches of time lie in."""
    return {(day, part_of(line)) for line, start, end in asked for day in range(day_of(start), end, DAY_S)}


def names_of(connection: Connection, lines: Collection[int]) -> dict[int, LineName]:
    """Return the names of lines by their keys."""
    statement = select(LINE.c.id, LINE.c.topic_site, LINE.c.device, LINE.c.name)
    rows = connection.execute(statement.where(engine.among(connection, LINE.c.id, lines)))
    return {key: LineName(*name) for key, *name in rows}


def read_file(
    archive: Archive | None, file: ArchiveFile, asked: Iterable[Asked], names: Mapping[int, LineName]
) -> list[tuple[int, Kept]]:
    """Return what one file has of some stretches of time, with the keys of the lines.

    Raises UnreadableFileError: also where this process has no archive.
    """
    if archive is None:
        raise UnreadableFileError(f"{file.name} is in an archive: name its folder in archive.folder", "")
    end = file.day + DAY_S
    stretches = [
        Stretch(names[one.line], max(one.start, file.day), min(one.end, end))
        for one in asked
        if part_of(one.line) == file.part and one.start < end and one.end > file.day
    ]
    keys = {names[one.line]: one.line for one in asked}
    return [(keys[kept.interval.name], kept) for kept in archive.read(file, stretches)]


def read_all(connection: Connection, archive: Archive | None, asked: Asked) -> list[Kept]:
    """Return what the archive has of a stretch of time, in no order.

    Raises StoreError: when any of it cannot be read; for parts of an answer would be taken for all of it.
    """
    within = ARCHIVED.c.day > asked.start - DAY_S, ARCHIVED.c.day < asked.end, ARCHIVED.c.part == part_of(asked.line)
    files = [_file(row) for row in connection.execute(select(ARCHIVED).where(*within, ARCHIVED.c.name != "")).all()]
    names, found = names_of(connection, {asked.line}), list[Kept]()
    for file in files:
        try:
            read = read_file(archive, file, [asked], names)
        except UnreadableFileError:
            place = file.day, file.part
            anew = files_of(connection, [place]).get(place)  # perhaps it was written anew since
            if anew is None or anew.name == file.name:
                raise
            read = read_file(archive, anew, [asked], names)
        found += [kept for _, kept in read]
    return found


def past_of(connection: Connection, archive: Archive | None, keys: Collection[Key], now: int) -> Past:
    """Return what the archive knows of the intervals of a batch, within its transaction. now: UTC s."""
    days = {day_of(start) for _, start, _ in keys}
    lost = {(one.file.day, one.file.part) for one in lost_files(connection, days)} if days else set()
    if not days or not (lost or connection.execute(_of_days(connection, days).limit(1)).first()):
        return Past()  # as nearly always: what comes is of today
    of_place: dict[Place, list[Key]] = defaultdict(list)
    for key in keys:
        of_place[day_of(key[1]), part_of(key[0])].append(key)
    files = _known_places(connection, of_place.keys())
    known, names = dict[Key, Interval](), names_of(connection, {line for line, *_ in keys})
    doubtful = {key for place in lost & of_place.keys() for key in of_place[place]}
    for place, file in files.items():
        asked = [Asked(line, start, start + 1) for line, start, _ in of_place[place]]
        try:
            found = read_file(archive, file, asked, names) if file.name else ()
        except UnreadableFileError as error:
            doubtful.update(of_place[place])
            note_unreadable(connection, file, error, now)
        else:
            known.update({(line, kept.interval.start, kept.interval.id): kept.interval for line, kept in found})
    return Past({key: known[key] for key in keys if key in known}, doubtful, files.keys())


def note_unreadable(connection: Connection, file: ArchiveFile, error: UnreadableFileError, now: int) -> None:
    """Note that a file cannot be read, unless it is this process alone that has no archive."""
    if error.problem:
        note_judged(connection, file, error.problem, now)


def unreadable(connection: Connection, archive: Archive | None) -> list[Place]:
    """Return the days and parts whose file cannot be read: all of them where this process has no archive."""
    statement = select(ARCHIVED.c.day, ARCHIVED.c.part).where(ARCHIVED.c.name != "")
    if archive is not None:
        statement = statement.where(ARCHIVED.c.problem != "")
    return [(day, part) for day, part in connection.execute(statement)]


def _of_days(connection: Connection, days: Collection[int]) -> Select[Any]:
    return select(ARCHIVED).where(engine.among(connection, ARCHIVED.c.day, days))


def _file(row: Any) -> ArchiveFile:
    return ArchiveFile(row.day, row.part, row.name, row.intervals, row.vehicles, row.size, row.sha256)
