"""Labelled pictures that judge: from folders of YOLO labels, in sets and by camera. Decoded when asked, never kept."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from edge_app.records import FloatArray, Image
from models import pictures
from models.errors import BuildError

CLASSES: Final = ("car", "motorcycle", "bus", "truck", "other")
"""Names of the class numbers in the labels."""
SCORED: Final = CLASSES[:-1]
"""Three-wheelers and tractors count neither for nor against any class."""
_NAME: Final = re.compile(r"(?:(?P<set>.+?)__)?(?P<rest>.*)")


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """One labelled picture.

    name: of the file, unique within its set. group: the set it belongs to. camera: one fixed view. load: decodes it as
    uint8 (H, W, 3) BGR in its true shape. boxes: float32 (N, 4) x0 y0 x1 y1 in 0..1. classes: int16 (N,), of CLASSES.
    ignored: bool (N,), neither for nor against.
    """

    name: str
    group: str
    camera: str
    load: Callable[[], Image]
    boxes: FloatArray
    classes: NDArray[np.int16]
    ignored: NDArray[np.bool_]


def from_folder(folder: Path) -> list[Picture]:
    """The pictures of a folder with `images` and `labels` (YOLO text), in the order of time as far as names tell it.

    A name SET__REST belongs to the set SET, others to one that is called like the folder. Raises BuildError in a
    sentence for a folder without pictures and for labels that are absent or broken.
    """
    found = [_picture(path, folder) for path in pictures.find(folder)]
    return sorted(found, key=lambda picture: (picture.group, picture.camera, _natural(picture.name)))


def by_set(found: Sequence[Picture]) -> dict[str, list[Picture]]:
    """The pictures of each set, in their order."""
    sets: dict[str, list[Picture]] = {}
    for picture in found:
        sets.setdefault(picture.group, []).append(picture)
    return sets


def _picture(path: Path, folder: Path) -> Picture:
    known = pictures.truth(path)
    classes = np.array(known.classes, np.int16)
    if len(classes) and not (classes.min() >= 0 and classes.max() < len(CLASSES)):
        raise BuildError(f"The labels of {path} name a class beyond 0..{len(CLASSES) - 1} ({', '.join(CLASSES)}).")
    parts = _NAME.fullmatch(path.stem)
    group = (parts and parts["set"]) or folder.resolve().name
    rest = (parts and parts["rest"]) or path.stem
    words = re.sub(r"[\d_\W]+.*", "", rest)
    camera = f"{group}-{words}" if words else group
    ignored = classes == CLASSES.index("other")
    return Picture(path.name, group, camera, partial(pictures.load, path), known.boxes, classes, ignored)


def _natural(name: str) -> list[tuple[int, str]]:
    """Sorts frame9 before frame10."""
    return [(int(part), "") if part.isdigit() else (0, part) for part in re.split(r"(\d+)", name)]
