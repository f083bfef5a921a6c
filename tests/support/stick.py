"""Archives as they lie on somebody's USB stick: unpacked, and changed on purpose, with sums that agree."""

from __future__ import annotations

import shutil
import subprocess
import tarfile
import zipfile
from pathlib import Path


def unpack(archive: Path, folder: Path) -> None:
    """Unpack an archive into a folder in place of what is there."""
    aside = folder.with_name(f"{folder.name}.new")
    for old in (folder, aside):
        shutil.rmtree(old, ignore_errors=True)
    with tarfile.open(archive) as packed:
        packed.extractall(aside)
    (unpacked,) = aside.iterdir()
    unpacked.rename(folder)
    aside.rmdir()


def copy(unpacked: Path, folder: Path) -> Path:
    """Copy an unpacked archive in place of what is there."""
    shutil.rmtree(folder, ignore_errors=True)
    return Path(shutil.copytree(unpacked, folder))


def break_program(unpacked: Path, module: str) -> None:
    """Have a module of the program fail as soon as it is imported. module: its file in the wheel."""
    (wheel,) = (unpacked / "wheels").glob("edge_app-*.whl")
    original = wheel.with_suffix(".original")
    wheel.rename(original)
    with zipfile.ZipFile(original) as old, zipfile.ZipFile(wheel, "w") as new:
        for item in old.infolist():
            fault = b"raise RuntimeError('broken on purpose')\n" if item.filename == module else None
            new.writestr(item, fault or old.read(item))
    original.unlink()


def add_up(unpacked: Path) -> None:
    """Write the sums of a changed archive, which is another one then."""
    sums = "find . -type f ! -name SHA256SUMS -exec sha256sum {} + >../sums && mv ../sums SHA256SUMS"
    subprocess.run(("sh", "-c", sums), cwd=unpacked, check=True)
