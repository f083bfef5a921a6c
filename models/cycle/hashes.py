"""Hash files, folders and code, and remember the hashes of files that have not been touched since."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Final

from edge_app.system.files import sha256_of

ROOT: Final = Path(__file__).resolve().parents[2]
ABSENT: Final = ""
_CODE: Final = {".py", ".toml", ".j2", ".json"}

Known = dict[str, tuple[int, int, str]]
"""Path -> size in bytes, time of change in ns, sha256."""


class Hashes:
    """Hashes of files and folders below one folder. known: of an earlier time; a file whose size and time are the
    same is not read again.
    """

    def __init__(self, folder: Path, known: Mapping[str, tuple[int, int, str]]) -> None:
        self._folder, self.known = folder, Known(known)

    def of(self, path: Path) -> str:
        """Return the sha256 of a file, or of names and contents of a folder; ABSENT when nothing is there.

        path: relative to the folder, or absolute. Hidden files do not count.
        """
        place = self._folder / path
        if place.is_dir():
            files = sorted(one for one in place.rglob("*") if one.is_file() and not _hidden(one.relative_to(place)))
            rows = (f"{one.relative_to(place).as_posix()} {self._file(one)}" for one in files)
            return hashlib.sha256("\n".join(rows).encode("utf-8", "surrogateescape")).hexdigest()
        return self._file(place) if place.is_file() else ABSENT

    def all(self, paths: Iterable[Path]) -> dict[str, str]:
        """Return path -> hash. A file of the checkout is named from there: it lies elsewhere on another machine."""
        return {_named(path): self.of(path) for path in paths}

    def _file(self, path: Path) -> str:
        stat, name = path.stat(), os.path.relpath(path, self._folder)
        size, changed, sha256 = self.known.get(name, (-1, -1, ABSENT))
        if (size, changed) != (stat.st_size, stat.st_mtime_ns):
            sha256 = sha256_of(path)
            self.known[name] = (stat.st_size, stat.st_mtime_ns, sha256)
        return sha256


def _named(path: Path) -> str:
    return f"checkout/{path.relative_to(ROOT).as_posix()}" if path.is_relative_to(ROOT) else path.as_posix()


def _hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


@cache
def code(packages: tuple[str, ...]) -> str:
    """Return the hash of the program's files in some packages, "models/data"; documents and artefacts do not count."""
    total = hashlib.sha256()
    for package in packages:
        for path in sorted((ROOT / package).rglob("*")):
            if path.suffix in _CODE and "artefacts" not in path.parts:
                total.update(f"{path.relative_to(ROOT).as_posix()} {sha256_of(path)}\n".encode())
    return total.hexdigest()
