"""Store harvested frames: readable for this user alone, within a quota for each day, deleted when they are too old.

Each FOLDER/DAY or FOLDER/DAY_CLIP is laid out like a Pascal VOC archive of CVAT: JPEGImages/, Annotations/ and
ImageSets/Main/default.txt; and harvest.jsonl with one line a frame, which says why it was kept.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

from edge_app.errors import StoreError, reason_of
from edge_app.system.files import write_atomic
from edge_app.system.readings import readings

Refusal: TypeAlias = Literal["kept already", "frames a day", "MB a day", "disk is full"]

_MARK: Final = ".edge-app-harvest"
"""Empty file by which a harvest folder is recognised."""
_DAY: Final = re.compile(r"(\d{4}-\d\d-\d\d)(_.*)?")
_MB: Final = 1e6


@dataclass(frozen=True, slots=True)
class Quota:
    """Limits of a harvest folder.

    frames and mb (10^6 bytes): for each day. days: age in days at which frames are deleted, None for never.
    keep_free_mb: MB of the disk that stay free for the counts.
    """

    frames: int
    mb: float
    days: int | None
    keep_free_mb: float


class HarvestFolder:
    """A folder of harvested frames; it is created when it is missing.

    clip: name of the recording that the frames are from; becomes a part of the names of the days' folders.
    Raises StoreError: when the folder cannot be created or contains foreign files.
    """

    def __init__(self, folder: Path, quota: Quota, clip: str = "") -> None:
        self._folder, self._quota = folder, quota
        self._clip = f"_{slug(clip)}" if clip else ""
        self._used: tuple[str, int, int] = ("", 0, 0)
        self._prepare()

    def refusal(self, day: str, name: str, size: int) -> Refusal | None:
        """Return why a frame of `size` bytes cannot be kept on a day such as "2026-11-25", None when it can."""
        if self._picture(day, name).exists():
            return "kept already"
        _, frames, used = self._usage(day)
        free = readings(self._folder).disk_free_mb
        if frames >= self._quota.frames:
            return "frames a day"
        if used + size > self._quota.mb * _MB:
            return "MB a day"
        return "disk is full" if free is not None and free < self._quota.keep_free_mb + size / _MB else None

    def put(self, day: str, name: str, picture: bytes, annotation: bytes, why: Mapping[str, Any]) -> Path:
        """Write one frame and return the path of the picture.

        name: file name without its ending. picture: JPEG. annotation: XML. why: written to harvest.jsonl.
        The list of names is written last, so that a power cut leaves no name without its files.
        Raises StoreError: when a file cannot be written.
        """
        path = self._picture(day, name)
        batch = path.parent.parent
        line = json.dumps({"file": path.name, **why}, ensure_ascii=False) + "\n"
        try:
            for part in ("JPEGImages", "Annotations", "ImageSets", "ImageSets/Main"):
                _make_private(batch)
                _make_private(batch / part)
            write_atomic(path, picture, mode=0o600)
            write_atomic(batch / "Annotations" / f"{name}.xml", annotation, mode=0o600)
            _append(batch / "harvest.jsonl", line.encode())
            _append(batch / "ImageSets" / "Main" / "default.txt", f"{name}\n".encode())
        except OSError as error:
            raise StoreError(f"cannot keep a frame in {self._folder}: {reason_of(error)}") from error
        _, frames, used = self._usage(day)
        self._used = day, frames + 1, used + len(picture) + len(annotation)
        return path

    def _picture(self, day: str, name: str) -> Path:
        return self._folder / f"{day}{self._clip}" / "JPEGImages" / f"{name}.jpg"

    def expire(self, today: date) -> int:
        """Delete the days that are too old, or later than tomorrow (a clock ran ahead); return their number."""
        if self._quota.days is None:
            return 0
        first, deleted = today - timedelta(days=self._quota.days), 0
        for folder, day in self._days():
            if not first <= day <= today + timedelta(days=1):
                shutil.rmtree(folder, ignore_errors=True)
                deleted += not folder.exists()
        return deleted

    def _prepare(self) -> None:
        problem = folder_problem(self._folder)
        if problem:
            raise StoreError(f"the harvest folder {self._folder} {problem}")
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._folder.chmod(0o700)
            write_atomic(self._folder / _MARK, b"", mode=0o600)
        except OSError as error:
            reason = reason_of(error)
            raise StoreError(
                f"the harvest folder {self._folder} cannot be used ({reason}): name another one"
            ) from error

    def _days(self) -> list[tuple[Path, date]]:
        found = []
        for folder in self._folder.glob("*"):
            match = _DAY.fullmatch(folder.name)
            with suppress(ValueError):  # 2026-99-99 is no folder of ours
                if match and folder.is_dir() and not folder.is_symlink():
                    found.append((folder, date.fromisoformat(match[1])))
        return found

    def _usage(self, day: str) -> tuple[str, int, int]:
        """Return the day, its number of frames and their bytes, those of earlier starts of the program included."""
        if self._used[0] != day:
            files = [
                path
                for folder, folder_day in self._days()
                if folder_day.isoformat() == day
                for part in ("JPEGImages", "Annotations")
                for path in (folder / part).glob("*")
            ]
            frames = sum(path.suffix == ".jpg" for path in files)
            self._used = day, frames, sum(path.stat().st_size for path in files)
        return self._used


def slug(name: str) -> str:
    """Return a name with only characters that every file system and labelling tool accepts."""
    return re.sub(r"[^A-Za-z0-9.-]+", "-", name)


def is_harvest(folder: Path) -> bool:
    """Return whether a folder was created for harvested frames."""
    return (folder / _MARK).is_file()


def folder_problem(folder: Path) -> str | None:
    """Return why a folder, which need not exist, cannot be used, as the end of a sentence; None when it can."""
    try:
        if folder.exists() and not folder.is_dir():
            return "is a file: name a folder"
        if folder.exists() and any(folder.iterdir()) and not is_harvest(folder):
            return "holds other files, and old ones are deleted there: name a new folder"
    except OSError as error:
        return f"cannot be read ({reason_of(error)}): name another one"
    return None


def _make_private(folder: Path) -> None:
    folder.mkdir(mode=0o700, exist_ok=True)


def _append(path: Path, content: bytes) -> None:
    """Append to a file that only this user may read, whatever the umask says."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "wb") as file:
        file.write(content)
