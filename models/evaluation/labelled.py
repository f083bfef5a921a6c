"""Read labelled pictures: from a folder of YOLO labels or from shards, in sets and by camera.

A picture is decoded when it is needed and never kept: some hundred decoded pictures would fill the memory of a small
machine.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final, Protocol

import cv2
import numpy as np
from cv2.typing import MatLike
from numpy.typing import NDArray

from edge_app.records import FloatArray, Image
from models.common.errors import BuildError
from models.common.geometry import iou_matrix
from models.conversion import pictures
from models.data import shards, splits
from models.data.fingerprints import PictureError, inspect
from models.data.marks import marks
from models.data.samples import CLASSES, OTHER, Sample
from models.data.sources import Source, find_known

SCORED: Final = tuple(name for name in CLASSES if name != CLASSES[OTHER])
"""Classes that are scored. Three-wheelers and tractors count neither for nor against any class."""
NOT_SCORED: Final = -1
_PLACES: Final = np.array([SCORED.index(name) if name in SCORED else NOT_SCORED for name in CLASSES], np.int16)
"""Number of a label -> index of SCORED."""
_SAME_SHAPE: Final = 0.01
_SAME_LABEL: Final = 0.9
"""IoU of a label with the place where it was marked as wrong; marks are rounded."""


class Listed(Protocol):
    """A picture or its line in an index. sha256: of the encoded file."""

    @property
    def name(self) -> str: ...

    @property
    def sha256(self) -> str: ...


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """One labelled picture.

    name: of the file without suffix, unique within its set. group: the set it belongs to. camera: one fixed view.
    sha256: of the encoded file. fingerprint: its perceptual hash in hex, "" when unknown.
    load: decodes it as uint8 (H, W, 3) BGR in its true shape.
    boxes: float32 (N, 4), x0 y0 x1 y1 in 0..1. classes: int16 (N,), indexes of SCORED, NOT_SCORED for the rest.
    ignored: bool (N,), boxes that count neither for nor against a detector.
    """

    name: str
    group: str
    camera: str
    sha256: str
    load: Callable[[], Image]
    boxes: FloatArray
    classes: NDArray[np.int16]
    ignored: NDArray[np.bool_]
    fingerprint: str = ""

    @property
    def number(self) -> int | None:
        """The first number in the name, by which frames of a camera are in order; None without one."""
        found = re.search(r"\d+", self.name.partition("__")[2] or self.name)
        return int(found[0]) if found else None


def from_folder(folder: Path, sources: tuple[Source, ...] = ()) -> list[Picture]:
    """Return the pictures of a folder with `images` and `labels` (YOLO text), by set, camera and number.

    A name SET__REST belongs to the set SET, others to one that has the folder's name. The camera is what the sources
    say; pictures that they do not know count as taken by one camera of their set.
    Raises BuildError: when there are no pictures, or labels are missing or broken.
    """
    return from_files(pictures.find(folder), folder.resolve().name, sources)


def from_files(paths: Sequence[Path], default: str, sources: tuple[Source, ...] = ()) -> list[Picture]:
    """Return these pictures with the labels beside them, as `from_folder`.

    default: set of the pictures whose name has none.
    """
    return _in_order([_from_file(path, default, sources) for path in paths])


def from_shards(
    paths: Sequence[Path], split: splits.Split | None = None, part: str = "test", group: str = ""
) -> list[Picture]:
    """Return the pictures of shard files or folders of them, all or those of one part of a split.

    group: the set that they all belong to; "" for those that their names say.
    Raises BuildError: when there are none.
    """
    found = [
        _from_sample(sample) for sample in shards.read(paths) if split is None or split.part(sample.camera) == part
    ]
    if not found:
        raise BuildError(f"There are no pictures of part {part!r} in {', '.join(map(str, paths))}.")
    return _in_order([replace(one, group=group) for one in found] if group else found)


def by_set(found: Sequence[Picture]) -> dict[str, list[int]]:
    """Return name of a set -> rows of its pictures, in their order."""
    sets: dict[str, list[int]] = {}
    for row, picture in enumerate(found):
        sets.setdefault(picture.group, []).append(row)
    return sets


def checked(picture: Picture) -> Picture | None:
    """Return the picture with its labels as checked by eye (models.data.marks); None when nothing in it is marked.

    Vehicles without a label become ignored boxes, and labels that lie on nothing or say another class are left out, so
    that a detector that finds an unlabelled vehicle is not wrong.
    """
    unlabelled, wrong = (marks(what).get(picture.sha256) for what in ("unlabelled", "mislabelled"))
    if unlabelled is None and wrong is None:
        return None
    unlabelled, wrong = (np.empty((0, 4), np.float32) if boxes is None else boxes for boxes in (unlabelled, wrong))
    right = ~(iou_matrix(picture.boxes, wrong) > _SAME_LABEL).any(axis=1)
    return replace(
        picture,
        boxes=np.concatenate([picture.boxes[right], unlabelled]),
        classes=np.concatenate([picture.classes[right], np.full(len(unlabelled), NOT_SCORED, np.int16)]),
        ignored=np.concatenate([picture.ignored[right], np.ones(len(unlabelled), np.bool_)]),
    )


def marks_fingerprint(found: Iterable[Picture]) -> str:
    """Return the sha256 over what is marked in these pictures: with the same one, labels were checked alike."""
    kinds = [marks(what) for what in ("unlabelled", "mislabelled")]
    return _digest(
        f"{one.sha256} {[kind[one.sha256].tolist() for kind in kinds if one.sha256 in kind]}" for one in found
    )


def fingerprint(found: Iterable[Listed]) -> str:
    """Return the sha256 over names and pictures: two evaluations with the same one used the same set."""
    return _digest(f"{picture.name} {picture.sha256}" for picture in found)


def _digest(lines: Iterable[str]) -> str:
    """Return the sha256 over lines, whatever their order."""
    return hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()


def _in_order(found: Sequence[Picture]) -> list[Picture]:
    return sorted(found, key=lambda p: (p.group, p.camera, -1 if p.number is None else p.number, p.name))


def _from_file(path: Path, default: str, sources: tuple[Source, ...]) -> Picture:
    known = pictures.truth(path)
    classes = np.array(known.classes, np.int16)
    if len(classes) and not (classes.min() >= 0 and classes.max() < len(CLASSES)):
        raise BuildError(f"The labels of {path} name a class beyond 0..{len(CLASSES) - 1} ({', '.join(CLASSES)}).")
    group = _group(path.stem, default)
    content = path.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    source = find_known(path.stem, digest, sources)
    load = partial(_read, path, source.aspect) if source else partial(pictures.load, path)
    camera = source.camera if source else group
    classes = _PLACES[classes]
    return Picture(
        path.stem, group, camera, digest, load, known.boxes, classes, classes == NOT_SCORED, _fingerprint(content)
    )


def _fingerprint(content: bytes) -> str:
    try:
        return inspect(content).fingerprint
    except PictureError:
        return ""  # whoever decodes the picture says what is wrong with it


def _from_sample(sample: Sample) -> Picture:
    return Picture(
        name=sample.name,
        group=_group(sample.name, sample.camera),
        camera=sample.camera,
        sha256=sample.sha256,
        load=partial(_decoded, sample),
        boxes=sample.boxes,
        classes=_PLACES[sample.classes],
        ignored=sample.ignored | (sample.classes == OTHER),
        fingerprint=sample.fingerprint or _fingerprint(sample.image),
    )


def _group(name: str, default: str) -> str:
    first, sign, _ = name.partition("__")
    return first if sign else default


def _decoded(sample: Sample) -> Image:
    image = cv2.imdecode(np.frombuffer(sample.image, np.uint8), cv2.IMREAD_COLOR)
    if image is None:
        raise BuildError(f"The picture {sample.name} of the shards cannot be decoded.")
    return _in_shape(image, sample.aspect)


def _read(path: Path, aspect: float | None) -> Image:
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if image is None:
        raise BuildError(f"{path} is not a readable picture.")
    return _in_shape(image, aspect)


def _in_shape(image: MatLike, aspect: float | None) -> Image:
    """Return the picture as wide for its height as the camera saw it. aspect: None for as it is."""
    height, width = image.shape[:2]
    if aspect and abs(width / height / aspect - 1) > _SAME_SHAPE:
        image = cv2.resize(image, (round(height * aspect), height), interpolation=cv2.INTER_LINEAR)
    return np.asarray(image, np.uint8)
