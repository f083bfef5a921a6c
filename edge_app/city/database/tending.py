"""Look after the files of the archive: find what is missing or damaged, and take what has come back."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from edge_app.city.archive import Archive, ArchiveFile, Problem, UnreadableFileError, place_of, version_of
from edge_app.city.database.archived import all_files, files_of, forget_file, note_judged
from edge_app.city.database.audit import note_change
from edge_app.city.database.days import keep_days
from edge_app.city.database.engine import Database
from edge_app.city.database.lost import LostFile, add_lost, forget_lost, lost_files
from edge_app.city.database.moving import begin_file, is_of, keys_of_lines, know_file, mark_changed
from edge_app.city.parquet import figures_of, has_all, quarters_of
from edge_app.errors import ConfigError
from edge_app.system.files import sha256_of

log = logging.getLogger(__name__)

_AGAIN_S: Final = 30 * 86_400
"""Time after which a file is compared with its hash again: disks forget."""


class Trouble(NamedTuple):
    """A file of the archive that cannot be read. problem: missing or damaged. sentence: for people."""

    file: ArchiveFile
    problem: Problem
    sentence: str


def tend(database: Database, archive: Archive, now: int, *, every: bool = False, most: int = 0) -> list[Trouble]:
    """Look at every file, note what is found, and return those that cannot be read.

    now: UTC s. Compared with their hashes are files that look otherwise than they should or could not be read before;
    of the others so many bytes as `most` says, those first that were not for the longest time, or every one. A missing
    file that a later one has all of is replaced by that, as after an older backup of the database was restored. A file
    that was lost for good and is there again is taken back. Raises StoreError: when the database cannot be used.
    """
    _take_back(database, archive, now)
    with database.connect() as connection:
        files = all_files(connection)
    found = list[Trouble]()
    for file, judged, problem in sorted(files, key=lambda one: one[1]):
        first_sight = archive.looks_well(file)
        due = every or (now - judged > _AGAIN_S and most > 0)
        if not (first_sight or problem or due):
            continue
        most -= file.size
        try:
            archive.judge(file, again=True)
            _note(database, file, "", now)
        except UnreadableFileError as error:
            if error.problem == "missing" and _replace(database, archive, file, now):
                continue
            _note(database, file, error.problem, now)
            found.append(Trouble(file, error.problem, str(error)))
    return sorted(found, key=lambda trouble: trouble.file.name)


def strangers(database: Database, archive: Archive) -> Iterator[str]:
    """Yield the names of files in the folder that the database does not know."""
    with database.connect() as connection:
        known = {file.name for file, *_ in all_files(connection)}
    for path in sorted(archive.folder.glob("*/*.parquet")):
        name = path.relative_to(archive.folder).as_posix()
        if name not in known:
            yield name


def sweep(database: Database, archive: Archive) -> None:
    """Remove files that a later one has all of: whoever made that was killed. To be called by who writes alone."""
    with database.connect() as connection:
        known = {(file.day, file.part): file for file, *_ in all_files(connection)}
    for name in strangers(database, archive):
        file = known.get(place_of(name))
        if file is None or version_of(name) >= version_of(file.name):
            continue
        try:
            archive.judge(file)
            if has_all(archive.folder / file.name, archive.folder / name):
                (archive.folder / name).unlink()
        except OSError as error:
            log.warning("%s of the archive cannot be compared with %s (%s)", name, file.name, error)


def accept_lost(
    database: Database, archive: Archive, names: Sequence[str], reason: str, who: str, now: int
) -> list[LostFile]:
    """Let files that cannot be read be lost for good, all or none, and return them.

    names: as they are told, with or without the folder of their year. who, now: for the audit; UTC s.
    Raises ConfigError: for a file that is not of the archive, or is whole; where all of the archive is away; and while
    another process archives. Raises StoreError: when database or archive cannot be used.
    """
    with archive.writing():  # nobody makes a later file meanwhile
        with database.connect() as connection:
            files = [file for file, *_ in all_files(connection)]
        wanted = [_named(files, name) for name in dict.fromkeys(names)]
        if len(wanted) < len(files) and all(archive.looks_well(file) == "missing" for file in files):
            raise ConfigError(
                f"none of the archive's files is in {archive.folder}: see whether its disk is there; if not one can be "
                "brought back, name them all"
            )
        for file in wanted:
            _judge_lost(database, archive, file, now)
        for file in wanted:
            archive.set_aside(file)
        lost = [LostFile(file, reason, who, now) for file in wanted]
        with database.begin() as connection:
            keep_days(connection, alone=True)
            add_lost(connection, lost)
            for file in wanted:
                if not forget_file(connection, file):
                    raise ConfigError(f"{file.name}: a later file has just taken its place; look again with `--verify`")
                change = {"reason": (None, reason), "intervals": (file.intervals, None)}
                note_change(connection, now, who, "archive.lost", file.name, change)
    return lost


def _named(files: Sequence[ArchiveFile], name: str) -> ArchiveFile:
    found = next((file for file in files if name in (file.name, file.name.rpartition("/")[2])), None)
    if found is None:
        raise ConfigError(f"{name}: the archive has no such file; `--verify` names those that cannot be read")
    return found


def _judge_lost(database: Database, archive: Archive, file: ArchiveFile, now: int) -> None:
    """Raise ConfigError where nothing is lost."""
    if archive.is_whole(file):
        raise ConfigError(f"{file.name} is there and whole: nothing is lost")
    if archive.looks_well(file) == "missing" and _replace(database, archive, file, now):
        raise ConfigError(f"{file.name}: a later file has all of it and takes its place, nothing is lost")


def _take_back(database: Database, archive: Archive, now: int) -> None:
    """Know the files again that were lost and are there, and have their quarters added up anew."""
    with database.connect() as connection:
        back = [one.file for one in lost_files(connection) if not archive.looks_well(one.file)]
        taken = files_of(connection, [(file.day, file.part) for file in back])
        lines = keys_of_lines(connection) if back else {}
    for file in back:
        if (file.day, file.part) in taken or not archive.is_whole(file):
            continue  # beside a later one it is merged when its day is moved again
        changed = quarters_of(archive.folder / file.name)
        with database.begin() as connection:
            keep_days(connection, alone=True)
            forget_lost(connection, [file.name])
            begin_file(connection, file.day, file.part)
            know_file(connection, file, now)
            mark_changed(connection, changed, lines)
            note_change(connection, now, "this program", "archive.found", file.name)
        log.warning("%s was lost and is there again", file.name)


def _note(database: Database, file: ArchiveFile, problem: Problem, now: int) -> None:
    with database.begin() as connection:
        note_judged(connection, file, problem, now)


def _replace(database: Database, archive: Archive, file: ArchiveFile, now: int) -> bool:
    """Take a later file of the same day and part in the place of one that is missing; return whether there is one."""
    with database.connect() as connection:
        lines = keys_of_lines(connection)
    for name in reversed(archive.versions(file.day, file.part)):
        path = archive.folder / name
        if version_of(name) <= version_of(file.name) or not is_of(path, lines):
            continue
        try:
            intervals, vehicles = figures_of(path)
            changed, size, sha256 = quarters_of(path), path.stat().st_size, sha256_of(path)
        except OSError:
            continue
        if intervals < file.intervals or vehicles < file.vehicles:
            continue
        later = ArchiveFile(file.day, file.part, name, intervals, vehicles, size, sha256)
        with database.begin() as connection:
            know_file(connection, later, now)
            mark_changed(connection, changed, lines)
        log.warning("%s of the archive is not there; %s has all of it and takes its place", file.name, name)
        return True
    return False
