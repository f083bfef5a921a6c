"""Label formats: each module reads one into `Labelled` and writes samples in it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias

from models.data.problems import Problems
from models.data.samples import Sample

SUFFIXES: Final = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".gif", ".tif", ".tiff")
"""What counts as a picture in a folder; what is neither JPEG nor PNG is then listed as unreadable, not overlooked."""


@dataclass(frozen=True, slots=True)
class Row:
    """One box as the labels give it: the source's own class name, x0 y0 x1 y1, and the line that says so."""

    label: str
    corners: tuple[float, float, float, float]
    line: int | None
    ignored: bool = False


@dataclass(frozen=True, slots=True)
class Labelled:
    """A picture and its boxes, as found.

    name: unique in its set. labels: the file that holds the rows. size: (width, height) in px that the rows' corners
    are measured in, None when they are 0..1 already, or when the labels say px but not of what: `pixels` tells.
    """

    name: str
    picture: Path
    labels: Path
    rows: tuple[Row, ...]
    pixels: bool
    size: tuple[int, int] | None = None


Reader: TypeAlias = Callable[[Path, Problems], Iterator[Labelled]]
Writer: TypeAlias = Callable[[Path, Sequence[Sample]], None]


def pictures_below(folder: Path) -> dict[str, Path]:
    """name -> picture of a folder and those in it; the name is the path below it without suffix."""
    found: dict[str, Path] = {}
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() in SUFFIXES and path.is_file():
            # Two suffixes of one name: the first has the plain name, as the label file has.
            plain = path.relative_to(folder).with_suffix("").as_posix()
            found[plain if plain not in found else path.relative_to(folder).as_posix()] = path
    return found


def suffix_of(image: bytes) -> str:
    """The file name's suffix for an encoded picture."""
    return ".png" if image.startswith(b"\x89PNG") else ".jpg"


def number(text: str) -> float:
    """A finite number. Raises ValueError for anything else, "nan" and "inf" too."""
    value = float(text)
    if not abs(value) < float("inf"):
        raise ValueError(f"{text!r} is no finite number")
    return value
