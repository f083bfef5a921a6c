"""The folder of the archive: one Parquet file for each day (UTC) and a thousand lines, named by its day.

A file never changes. Late intervals make a new one, with the next number at its end, and the one before is removed when
the database knows the new one.
"""

from __future__ import annotations

import os
import re
import shutil
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime, timezone
from fcntl import LOCK_EX, LOCK_NB, flock
from pathlib import Path
from typing import Final, Literal, TypeAlias

from edge_app.city.records import Kept, Stretch
from edge_app.errors import ConfigError, StoreError, reason_of
from edge_app.system.files import remedy_of, sha256_of

LINES_A_PART: Final = 1_000
"""Lines of one file, by their keys: so many fit into memory where a day is written."""
Problem: TypeAlias = Literal["", "missing", "damaged"]
_NAME: Final = re.compile(r"intervals-(\d{4}-\d\d-\d\d)(?:-part-(\d+))?(?:-v(\d+))?\.parquet")
_WORK: Final = ".work"


class UnreadableFileError(StoreError):
    """A file of the archive cannot be read. problem: what is wrong with it; empty where this process has no archive."""

    def __init__(self, sentence: str, problem: Problem) -> None:
        super().__init__(sentence)
        self.problem: Problem = problem


@dataclass(frozen=True, slots=True)
class ArchiveFile:
    """A file of the archive, as the database knows it.

    day: its first second, UTC. part: of lines. name: below the folder. intervals, vehicles: in it. size: bytes.
    """

    day: int
    part: int
    name: str
    intervals: int
    vehicles: int
    size: int
    sha256: str


def part_of(line: int) -> int:
    """Return the part that a line belongs to. line: its key in the database."""
    return (line - 1) // LINES_A_PART


def date_of(day: int) -> date:
    """Return the date of a day. day: its first second, UTC."""
    return datetime.fromtimestamp(day, timezone.utc).date()


def name_of(day: int, part: int, version: int) -> str:
    """Return the name of a file below the folder. version: from 1."""
    of_part, of_version = f"-part-{part + 1}" if part else "", f"-v{version}" if version > 1 else ""
    return f"{date_of(day).year:04}/intervals-{date_of(day)}{of_part}{of_version}.parquet"


def version_of(name: str) -> int:
    """Return the version in the name of a file, 0 where it is none of ours."""
    found = _NAME.fullmatch(Path(name).name)
    return int(found[3] or 1) if found else 0


def place_of(name: str) -> tuple[int, int]:
    """Return day and part in the name of a file; (0, -1) where it is none of ours."""
    found = _NAME.fullmatch(Path(name).name)
    if not found:
        return 0, -1
    try:
        day = datetime.fromisoformat(found[1]).replace(tzinfo=timezone.utc)
    except ValueError:
        return 0, -1
    return int(day.timestamp()), int(found[2] or 1) - 1


class Archive:
    """The folder of the archive. Any thread may read it; one process at a time writes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._known_good: dict[str, tuple[int, int, int]] = {}
        self._lock = threading.Lock()

    def read(self, file: ArchiveFile, stretches: Sequence[Stretch]) -> list[Kept]:
        """Return the intervals of a file that begin within any of some stretches of time, in no order.

        Raises UnreadableFileError: also where it is not the file that was written.
        """
        from edge_app.city import parquet  # DuckDB takes 50 MB, which only who reads the archive needs

        self.judge(file)
        try:
            return parquet.read_intervals(self.folder / file.name, stretches)
        except OSError as error:
            raise _damaged(file, error) from error

    def judge(self, file: ArchiveFile, *, again: bool = False) -> None:
        """Compare a file with its hash, once until it changes. again: in any case.

        Raises UnreadableFileError: where it is missing, or not as it was written.
        """
        path = self.folder / file.name
        try:
            state = path.stat()
            mark = state.st_mtime_ns, state.st_size, state.st_ino
            if not again and self._known_good.get(file.name) == mark:
                return
            good = state.st_size == file.size and sha256_of(path) == file.sha256
        except FileNotFoundError:
            sentence = f"{file.name} of the archive is not there: bring it back from a backup of that folder"
            raise UnreadableFileError(sentence, "missing") from None
        except OSError as error:
            raise _damaged(file, error) from error
        with self._lock:
            self._known_good.pop(file.name, None)
            if good:
                self._known_good[file.name] = mark
        if not good:
            raise _damaged(file)

    def is_whole(self, file: ArchiveFile) -> bool:
        """Return whether a file is there as it was written."""
        try:
            self.judge(file, again=True)
        except UnreadableFileError:
            return False
        return True

    def set_aside(self, file: ArchiveFile) -> None:
        """Rename what is left of a file, if anything, so that nothing takes it for one of the archive.

        Raises StoreError: when that cannot be done.
        """
        path = self.folder / file.name
        try:
            path.replace(path.with_name(f"{path.name}.lost"))
        except FileNotFoundError:
            pass
        except OSError as error:
            raise StoreError(_unwritable(self.folder, error)) from error

    def looks_well(self, file: ArchiveFile) -> Problem:
        """Return what is wrong with a file at first sight: by its size alone."""
        try:
            return "" if (self.folder / file.name).stat().st_size == file.size else "damaged"
        except OSError:
            return "missing"

    def versions(self, day: int, part: int) -> list[str]:
        """Return the names of all files of a day and part that are there, oldest first."""
        year, _, first = name_of(day, part, 1).partition("/")
        stem = first.removesuffix(".parquet")
        found = [path.name for path in (self.folder / year).glob(f"{stem}*.parquet")]
        same = [name for name in found if version_of(name) and name.partition("-v")[0].removesuffix(".parquet") == stem]
        return [f"{year}/{name}" for name in sorted(same, key=version_of)]

    @contextmanager
    def writing(self) -> Iterator[Path]:
        """Be the only one who writes, within the context, and yield a folder for what is not whole yet.

        Raises ConfigError: while another process writes. Raises StoreError: when the folder cannot be written to.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            lock = os.open(self.folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StoreError(_unwritable(self.folder, error)) from error
        work = self.folder / _WORK
        try:
            _lock(lock, self.folder)
            shutil.rmtree(work, ignore_errors=True)  # of one that was killed
            work.mkdir()
            try:
                yield work
            finally:
                shutil.rmtree(work, ignore_errors=True)
        except StoreError:
            raise
        except OSError as error:
            raise StoreError(_unwritable(self.folder, error)) from error
        finally:
            os.close(lock)

    def put(self, made: Path, name: str) -> None:
        """Give a whole file its name, durably. Raises OSError."""
        target = self.folder / name
        target.parent.mkdir(exist_ok=True)
        with made.open("rb") as written:
            os.fsync(written.fileno())
        made.replace(target)
        for folder in (target.parent, self.folder):
            handle = os.open(folder, os.O_RDONLY)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)


def _lock(handle: int, folder: Path) -> None:
    try:
        flock(handle, LOCK_EX | LOCK_NB)
    except BlockingIOError:
        raise ConfigError(f"{folder}: another process archives at the moment; wait for it") from None


def _damaged(file: ArchiveFile, error: OSError | None = None) -> UnreadableFileError:
    why = f" ({reason_of(error)})" if error else ""
    sentence = f"{file.name} of the archive is damaged{why}: bring it back from a backup of that folder"
    return UnreadableFileError(sentence, "damaged")


def _unwritable(folder: Path, error: OSError) -> str:
    return f"the archive {folder} cannot be written ({reason_of(error)}): {remedy_of(error, 'see who may write there')}"
