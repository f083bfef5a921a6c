"""Unpack an archive of a release for root: unpack.py ARCHIVE NAME FOLDER, for install.sh.

Everything must lie in the folder NAME of the archive, and be a file or a folder: a link, a device or a path that leads
elsewhere ends it before anything is written. Exit 1 with a sentence.
"""

from __future__ import annotations

import lzma
import shutil
import sys
import tarfile
from pathlib import Path, PurePosixPath

MOST_BYTES = 2**31
"""Largest sum of all files: whoever has signed an archive may have been mistaken about it."""


def unpack(archive: Path, name: str, folder: Path) -> None:
    """Write what is in the folder `name` of an archive into `folder`, which must be empty.

    Raises ValueError: with one sentence, when it is no such archive. Raises OSError: when it cannot be written.
    """
    try:
        # Read twice: nothing is written of an archive that has something wrong further on.
        with tarfile.open(archive, "r:xz") as packed:
            total = 0
            for member in packed:
                _place(member, name)
                total += member.size
                if total > MOST_BYTES:
                    raise ValueError(f"the archive holds more than {MOST_BYTES:,} bytes")
        with tarfile.open(archive, "r:xz") as packed:
            for member in packed:
                _write(packed, member, folder / _place(member, name))
    except (tarfile.TarError, lzma.LZMAError, EOFError) as error:
        raise ValueError(f"the archive is damaged: {error}") from error


def _place(member: tarfile.TarInfo, name: str) -> PurePosixPath:
    """Return the path of a member within the folder. Raises ValueError: where it has none."""
    path = PurePosixPath(member.name)
    if path.is_absolute() or not path.parts or path.parts[0] != name or ".." in path.parts:
        raise ValueError(f"the archive holds {member.name!r}, which is not in its folder {name}")
    if not member.isreg() and not member.isdir():
        raise ValueError(f"the archive holds {member.name!r}, which is neither a file nor a folder")
    return PurePosixPath(*path.parts[1:])


def _write(packed: tarfile.TarFile, member: tarfile.TarInfo, path: Path) -> None:
    if member.isdir():
        path.mkdir(parents=True, exist_ok=True)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    content = packed.extractfile(member)
    assert content is not None  # it is a regular file
    with content, path.open("xb") as file:
        shutil.copyfileobj(content, file)
    path.chmod(0o755 if member.mode & 0o100 else 0o644)


if __name__ == "__main__":
    try:
        unpack(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]))
    except (ValueError, OSError) as error:
        sys.exit(f"install: {error}")
