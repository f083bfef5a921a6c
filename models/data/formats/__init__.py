"""Read label formats into `Labelled` and write samples in them; each module knows one format."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final, TypeAlias

from edge_app.system.names import stays_below
from models.data.problems import Problems
from models.data.samples import Sample

SUFFIXES: Final = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".gif", ".tif", ".tiff")
"""File endings of pictures in a folder. A picture that is neither JPEG nor PNG is then listed as unreadable instead of
overlooked.
"""


@dataclass(frozen=True, slots=True)
class Row:
    """One box as the labels give it.

    label: the source's own class name. corners: x0 y0 x1 y1. line: where it stands in the file, None when unknown.
    """

    label: str
    corners: tuple[float, float, float, float]
    line: int | None
    ignored: bool = False


@dataclass(frozen=True, slots=True)
class Labelled:
    """A picture and its boxes as found.

    name: unique in its set. picture, labels: the two files.
    pixels: True when the corners are in px, False when they are in 0..1.
    size: width and height in px that the corners refer to, None when the labels do not say.
    unchecked: True for labels of a detector at which no person has looked yet.
    unlabelled: why the picture has no labels at all, not even that there are no vehicles; "" when it has some.
    lost: number of boxes that were listed as wrong, and are not in the rows.
    afresh: True when they were drawn without seeing those that the picture had.
    by, at: who labelled it and when, as the file says it; "" when it does not. sha256: of the picture, if it is stated.
    """

    name: str
    picture: Path
    labels: Path
    rows: tuple[Row, ...]
    pixels: bool
    size: tuple[int, int] | None = None
    unchecked: bool = False
    unlabelled: str = ""
    lost: int = 0
    afresh: bool = False
    by: str = ""
    at: str = ""
    sha256: str = ""


@dataclass(frozen=True, slots=True)
class Place:
    """A place where a vehicle may lack its label. box: x0 y0 x1 y1 in 0..1. says: what is suspected."""

    box: tuple[float, float, float, float]
    says: str


@dataclass(frozen=True, slots=True, eq=False)
class Shown:
    """A picture as a labelling program shows it to a person.

    says: a text for each label of the sample, "" for none. places: without a label; who leaves one as it is says that
    no vehicle is there. unchecked: the labels are a detector's.
    """

    sample: Sample
    says: tuple[str, ...]
    places: tuple[Place, ...] = ()
    unchecked: bool = False


DOUBT: Final = "doubt"
"""Class of a place in a labelling program; a reader leaves its boxes out."""
UNCHECKED: Final = "unchecked"
"""Mark of a picture in a labelling program until a person has looked at its labels."""


Reader: TypeAlias = Callable[[Path, Path, Problems], Iterator[Labelled]]
"""Reads labels (a folder or a file) with pictures of a folder, and lists what is wrong. Raises UsageError."""
Writer: TypeAlias = Callable[[Path, Iterable[Sample]], None]
"""Writes samples into a new folder."""
Presenter: TypeAlias = Callable[[Path, Iterable[Shown]], None]
"""Writes what a labelling program shows into a new folder."""


def plain(samples: Iterable[Sample]) -> Iterator[Shown]:
    """Yield samples as a labelling program shows them, without any text."""
    for sample in samples:
        yield Shown(sample, ("",) * len(sample.boxes))


class Pictures:
    """The pictures below a folder, found by the file names that labels give, and which of them were asked for."""

    def __init__(self, folder: Path) -> None:
        self._paths = [p for p in sorted(folder.rglob("*")) if p.suffix.lower() in SUFFIXES and p.is_file()]
        self._places = {path.relative_to(folder).as_posix(): path for path in self._paths}
        self._alone: dict[str, Path | None] = {}
        for path in self._paths:
            self._alone[path.name] = None if path.name in self._alone else path
        self._asked: set[Path] = set()

    def find(self, name: str) -> Path | None:
        """Return a picture by its path below the folder, images/ or JPEGImages/, else by a unique file name."""
        plain = name.replace("\\", "/")
        places = (self._places.get(f"{start}{plain}") for start in ("", "images/", "JPEGImages/"))
        found = next((path for path in places if path), None) or self._alone.get(plain.rpartition("/")[2])
        self._asked.update([found] if found else [])
        return found

    def not_asked(self) -> list[Path]:
        """Return the pictures that no label asked for."""
        return [path for path in self._paths if path not in self._asked]


def pictures_below(folder: Path) -> dict[str, Path]:
    """Return name -> picture of a folder and those in it; the name is the path below it without suffix."""
    found: dict[str, Path] = {}
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() in SUFFIXES and path.is_file():
            # Of two files with one name and different suffixes the first gets the plain name, like the label file.
            plain = path.relative_to(folder).with_suffix("").as_posix()
            found[plain if plain not in found else path.relative_to(folder).as_posix()] = path
    return found


def suffix_of(image: bytes) -> str:
    """Return the file name's suffix for an encoded picture."""
    return ".png" if image.startswith(b"\x89PNG") else ".jpg"


def number(text: str) -> float:
    """Return a finite number. Raises ValueError: for anything else, "nan" and "inf" included."""
    value = float(text)
    if not abs(value) < float("inf"):
        raise ValueError(f"{text!r} is no finite number")
    return value


def without_suffix(name: str) -> str:
    """Return the name of the picture that a file name stands for.

    For a file name that leads out of the folder, as an absolute path does, it is the last part, by which `Pictures`
    finds the picture too.
    """
    path = PurePosixPath(name.replace("\\", "/")).with_suffix("")
    return path.as_posix() if stays_below(path.as_posix()) else path.name


def save(folder: Path, sample: Sample) -> str:
    """Write the picture below the folder. Return its path there."""
    path = folder / f"{sample.name}{suffix_of(sample.image)}"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(sample.image)
    return path.relative_to(folder).as_posix()


def in_pixels(sample: Sample) -> list[list[float]]:
    """Return the boxes in px of the stored picture, x0 y0 x1 y1, rounded to a thousandth."""
    side = [sample.width, sample.height] * 2
    return [[round(v * s, 3) for v, s in zip(box, side, strict=True)] for box in sample.boxes.astype(float).tolist()]
