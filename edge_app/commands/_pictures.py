"""List the pictures that `predict` looks at, and see to it that its outputs spare them."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from edge_app.commands._options import try_output
from edge_app.errors import ConfigError, reason_of

if TYPE_CHECKING:
    from edge_app.serve.outputs import PictureFile


def list_pictures(given: Sequence[Path], outputs: Sequence[Path]) -> tuple[list[PictureFile], list[str]]:
    """Return the pictures to look at, those of a folder in the order of their names, and a sentence for what is amiss.

    outputs: left out where they are below a given folder, whose other folders are all searched, without links to
    folders and without hidden names.
    Raises ConfigError: for a path that is neither there nor a regular file or a folder, a name that is there twice, and
    nothing to look at.
    """
    from edge_app.serve.outputs import PictureFile

    left_out = [Path(os.path.realpath(path)) for path in outputs]
    found: dict[str, PictureFile] = {}
    amiss: list[str] = []
    for path in given:
        folder = path.is_dir()
        for file in sorted(_files(path, left_out, amiss)) if folder else [path]:
            try:
                status = file.stat()
            except OSError as error:
                if not folder:
                    raise ConfigError(
                        f"{path} is not there ({reason_of(error)}): name a picture or a folder"
                    ) from error
                amiss.append(f"{file} cannot be read ({reason_of(error)})")
                continue
            if not stat.S_ISREG(status.st_mode):  # to open a pipe waits for whoever writes into it
                if not folder:
                    raise ConfigError(f"{path} is neither a file nor a folder: name a picture or a folder of them")
                amiss.append(f"{file} is no regular file")
                continue
            name = _shown(file.relative_to(path).as_posix() if folder else file.name)
            if name in found:
                raise ConfigError(
                    f"{found[name].path} and {file} have one name: look at their folders one after the other"
                )
            found[name] = PictureFile(name, file, status.st_size, status.st_mtime_ns)
    if not found:
        raise ConfigError(*amiss, f"{', '.join(map(str, given))}: there is no file in it")
    return list(found.values()), amiss


def try_outputs(out: Path | None, draw: Path | None, given: Sequence[Path], pictures: Sequence[PictureFile]) -> None:
    """Refuse outputs that cannot be written or would harm a picture, before the work.

    Raises ConfigError, and StoreError: for a disk that is full or fails.
    """
    from edge_app.serve.outputs import drawn_path, kind_of, label_path

    if out:
        if kind_of(out) == "yolo":
            _try_folder("--out", out, given)
            _spare("--out", out, [(picture, label_path(out, picture.name)) for picture in pictures])
        else:
            try:
                try_output(out)
            except RuntimeError as error:  # in Python before 3.13
                raise ConfigError(f"--out {out}: its links lead in a circle; name another file") from error
            _spare("--out", out, [(pictures[0], out)], pictures)
    if draw:
        _try_folder("--draw", draw, given)
        _spare("--draw", draw, [(picture, drawn_path(draw, picture.name)) for picture in pictures])


def _files(path: Path, left_out: Sequence[Path], amiss: list[str]) -> Iterator[Path]:
    """Yield the files below a folder, without hidden ones; add a sentence for each folder that cannot be read."""

    def tell(error: OSError) -> None:
        amiss.append(f"{error.filename} cannot be read ({reason_of(error)}): its pictures are missing")

    top = Path(os.path.realpath(path))
    below = [out for out in left_out if top in out.parents]
    for where, folders, files in os.walk(path, onerror=tell):
        real = Path(os.path.realpath(where))
        folders[:] = [name for name in folders if not name.startswith(".") and real / name not in below]
        for name in files:
            if not name.startswith(".") and real / name not in below:
                yield Path(where, name)


def _try_folder(option: str, folder: Path, given: Sequence[Path]) -> None:
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"{option} {folder}: it is no folder; name another one")
    real = os.path.realpath(folder)
    if any(path.is_dir() and os.path.realpath(path) == real for path in given):
        raise ConfigError(f"{option} {folder}: the pictures are in this folder; name another one")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"{option} {folder}: it cannot be made ({reason_of(error)}); name another folder") from error
    try_output(folder / "classes.txt")


def _spare(
    option: str,
    output: Path,
    targets: Iterable[tuple[PictureFile, Path]],
    pictures: Sequence[PictureFile] = (),
) -> None:
    """Refuse targets that are pictures to look at, by whatever name, or one file for two pictures. Raises ConfigError.

    targets: of each picture the file that is written for it. pictures: to be spared, by default those of the targets.
    """
    targets = list(targets)
    originals = {_identity(picture.path): picture for picture in pictures or [one for one, _ in targets]}
    taken: dict[Path, PictureFile] = {}
    for picture, target in targets:
        if target in taken:
            raise ConfigError(
                f"{option} {output}: {taken[target].path} and {picture.path} would both be written to {target}: "
                "rename one of them"
            )
        taken[target] = picture
        if target.exists() and (original := originals.get(_identity(target))):
            raise ConfigError(f"{option} {output}: it would overwrite the picture {original.path}; name another one")


def _identity(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_dev, status.st_ino


def _shown(name: str) -> str:
    """Return a file name, which in Linux is bytes, as text that can be written: a byte that is no UTF-8 as \\xNN."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")
