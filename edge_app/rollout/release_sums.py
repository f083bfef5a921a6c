"""Find an archive of a release in the SHA256SUMS of its build. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

_LINE: Final = re.compile(r"([0-9a-f]{64})  (edge-app-([0-9][0-9a-z.]*)-([a-z0-9_]+)\.tar\.xz)")


@dataclass(frozen=True, slots=True)
class Archive:
    """Archive of a build. name: of the file. processor: as `uname -m` names it."""

    name: str
    version: str
    processor: str


def find_archive(sums: str, sha256: str) -> Archive | None:
    """Return the archive of that hash; None where SHA256SUMS has none for devices. sums: its text."""
    for line in sums.splitlines():
        found = _LINE.fullmatch(line)
        if found and found[1] == sha256:
            return Archive(*found.group(2, 3, 4))
    return None
