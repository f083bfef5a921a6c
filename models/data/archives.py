"""Unpack and pack what CVAT, Roboflow and Label Studio give and take: one zip with labels and pictures."""

from __future__ import annotations

import shutil
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from edge_app.system.names import stays_below
from models.common.errors import BuildError
from models.data.errors import UsageError

MOST: Final = 200 * 2**30
"""Bytes that an archive may hold; a small file that claims more is no set of pictures."""
RATIO: Final = 200
"""Times that a file may grow; labels compress to a thirtieth, pictures not at all."""


@contextmanager
def unpacked(path: Path, beside: Path) -> Iterator[Path]:
    """Yield the folder of a set: the path itself, or for a zip a temporary folder with its content.

    beside: folder whose disk takes the content.
    Raises UsageError: when the archive is damaged, too large, or would write outside the folder.
    """
    if path.suffix.lower() != ".zip":
        yield path
        return
    beside.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".unpacked-", dir=beside) as name:
        folder = Path(name)
        try:
            with zipfile.ZipFile(path) as archive:
                _extract(archive, folder, path)
        except (zipfile.BadZipFile, zipfile.LargeZipFile, NotImplementedError, RuntimeError, EOFError) as error:
            raise UsageError(f"{path} cannot be unpacked: {error}.") from error
        inside = list(folder.iterdir())
        root = inside[0] if len(inside) == 1 and inside[0].is_dir() else folder
        try:
            yield root
        except BuildError as error:  # the temporary folder is gone when somebody reads this
            raise type(error)(str(error).replace(str(root), str(path))) from error


def _extract(archive: zipfile.ZipFile, folder: Path, path: Path) -> None:
    files = [one for one in archive.infolist() if not one.is_dir()]
    size, packed = sum(one.file_size for one in files), sum(one.compress_size for one in files)
    if size > MOST or size > RATIO * packed + 2**20:
        raise UsageError(f"{path} would grow to {size / 2**30:.1f} GiB: it is no set of pictures.")
    for one in files:
        plain = one.filename.replace("\\", "/")
        if not stays_below(plain):
            raise UsageError(f"{path} holds {one.filename!r}, which lies outside of it: pack it again.")
        target = folder / plain
        target.parent.mkdir(parents=True, exist_ok=True)
        with archive.open(one) as source, target.open("wb") as out:
            shutil.copyfileobj(source, out)


def packed(folder: Path, path: Path) -> None:
    """Write a zip with all files of a folder; the same files give the same zip. Raises OSError."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(one for one in folder.rglob("*") if one.is_file()):
            about = zipfile.ZipInfo(file.relative_to(folder).as_posix())
            about.compress_type = zipfile.ZIP_DEFLATED if file.suffix in (".xml", ".json") else zipfile.ZIP_STORED
            archive.writestr(about, file.read_bytes())
