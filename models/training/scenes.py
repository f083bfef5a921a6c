"""Read the pictures of a training from shards, and draw them so that every class occurs.

They stay encoded in memory.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_app.records import Image
from models.common.errors import BuildError
from models.data import shards, splits
from models.data.samples import MOTORCYCLE, OTHER, Sample
from models.training.framing import Scene
from models.training.hints import Hints
from models.training.pasting import SIDEWAYS, large_enough

_WITH_RIDER: Final = 1.6
"""Height / width, in true shape, from which a motorcycle's box in traffic holds its rider."""
_RIDER: Final = 1.4
"""Height with the rider relative to that without."""
_CLOSE: Final = 0.25
"""Height relative to the picture's from which a vehicle is close by."""
_KEPT_BYTES: Final = 4_000_000_000
"""Some 5,000 pictures of 640 px; TensorFlow takes half as much beside them."""


@dataclass(frozen=True, slots=True)
class Parts:
    """The pictures that train and those that validate; no camera is in both."""

    training: tuple[Sample, ...]
    validation: tuple[Sample, ...]


def read(folders: Sequence[Path], split: Path) -> Parts:
    """Return the pictures of shards by the parts of a split. Raises BuildError: when either part is empty."""
    cameras = splits.read(split)
    by_part: dict[str | None, list[Sample]] = {"train": [], "validation": []}
    for sample in shards.read(folders):
        by_part.setdefault(cameras.part(sample.camera), []).append(sample)
    for part in ("train", "validation"):
        if not by_part[part]:
            raise BuildError(f"No picture in {', '.join(map(str, folders))} is of part {part!r} of {split}.")
    return Parts(tuple(by_part["train"]), tuple(by_part["validation"]))


def decoded(sample: Sample) -> Scene:
    """Return the scene of a sample. Raises BuildError: when the picture cannot be decoded."""
    image = cv2.imdecode(np.frombuffer(sample.image, np.uint8), cv2.IMREAD_COLOR)
    if image is None:
        raise BuildError(f"The picture {sample.name} cannot be decoded.")
    ignored = sample.ignored | (sample.classes == OTHER)
    kinds, placed = sample.classes.astype(np.int8), np.ones(len(sample.boxes), bool)
    return Scene(np.asarray(image, np.uint8), sample.aspect, sample.boxes, kinds, ignored, placed)


class Kept:
    """Decoded pictures that are kept: a training looks at each many times, and decoding took most of a batch's time.

    most: bytes to keep; what comes later is decoded each time.
    """

    def __init__(self, most: int = _KEPT_BYTES) -> None:
        self._left = most
        self._scenes: dict[Sample, Scene] = {}

    def __call__(self, sample: Sample) -> Scene:
        """Return the scene of a sample; its picture cannot be written to. Raises BuildError: as `decoded` does."""
        if known := self._scenes.get(sample):
            return known
        scene = decoded(sample)
        scene.image.flags.writeable = False
        if scene.image.nbytes <= self._left:
            self._left -= scene.image.nbytes
            self._scenes[sample] = scene
        return scene


def in_true_shape(scene: Scene) -> Image:
    """Return the picture in the camera's aspect, as a detector needs it. Its height and boxes in 0..1 stay the same."""
    height = scene.image.shape[0]
    return np.asarray(cv2.resize(scene.image, (round(height * scene.aspect), height)), np.uint8)


def with_riders(scene: Scene) -> Scene:
    """Return the scene for a view whose labels mostly leave out the rider.

    Its motorcycles say what is there, but not where it ends. A box that is not tall enough to hold a rider is raised to
    where one would be, so that the right anchors answer for it; the place that these anchors predict is not trained.
    """
    motorcycle = scene.kinds == MOTORCYCLE
    wide, high = (scene.boxes[:, 2:] - scene.boxes[:, :2]).T
    boxes = scene.boxes.copy()
    low = motorcycle & (high < _WITH_RIDER * wide * scene.aspect)
    boxes[low, 1] = np.maximum(0, boxes[low, 3] - _RIDER * high[low])
    return replace(scene, boxes=boxes, placed=scene.placed & ~motorcycle)


def weights(samples: Sequence[Sample], balance: float, origins: Mapping[str, float]) -> NDArray[np.float64]:
    """Return the chance of each picture to be drawn, float64 (N,), summing to 1.

    balance: exponent by which rarer classes come more often. origins: part of an origin's name -> factor.
    Gupta et al., "LVIS" (2019): a picture counts by its rarest class.
    """
    counts = [Counter(s.classes[~s.ignored & (s.classes != OTHER)].tolist()) for s in samples]
    images = Counter(kind for count in counts for kind in count)
    commonest = max(images.values(), default=1)
    rarity = [max([(commonest / images[kind]) ** balance for kind in count], default=1.0) for count in counts]
    wanted = [next((w for name, w in origins.items() if name in s.origin), 1.0) for s in samples]
    result = np.array(rarity) * np.array(wanted)
    return np.asarray(result / result.sum(), np.float64)


def with_hint(samples: Sequence[Sample], hints: Hints, kind: int) -> list[Sample]:
    """Return the samples with an object of this kind in their labels or in their hint."""
    hinted = {sha256 for sha256, hint in hints.items() if kind in hint.kinds}
    return [s for s in samples if s.sha256 in hinted or kind in s.classes[~s.ignored]]


def sideways(samples: Sequence[Sample], riderless: Sequence[str]) -> list[Sample]:
    """Return the samples with a motorcycle whose box, rider included, is as wide as one from the side.

    riderless: as for `Drawer`: of these cameras no rider is in the box.
    """

    def has_one(s: Sample) -> bool:
        across = large_enough(s.boxes, (s.width, s.height), s.aspect, SIDEWAYS)
        return bool((across & (s.classes == MOTORCYCLE) & ~s.ignored).any())

    return [s for s in samples if not _is_of(s, riderless) and has_one(s)]


def _is_of(sample: Sample, patterns: Sequence[str]) -> bool:
    """Return whether the sample's camera fits one of the patterns."""
    return any(fnmatchcase(sample.camera, pattern) for pattern in patterns)


def close_ups(samples: Sequence[Sample]) -> list[Sample]:
    """Return the samples in which half of the labelled vehicles are close by."""
    heights = [(s.boxes[:, 3] - s.boxes[:, 1])[~s.ignored & (s.classes != OTHER)] for s in samples]
    return [s for s, known in zip(samples, heights, strict=True) if len(known) and np.median(known) >= _CLOSE]


class Drawer:
    """Source of scenes by their chances.

    riderless: patterns of cameras whose labels mostly leave out the rider. look: gives the scene of a sample.
    """

    def __init__(
        self,
        samples: Sequence[Sample],
        chances: NDArray[np.float64],
        hints: Hints,
        riderless: Sequence[str],
        random: np.random.Generator,
        look: Callable[[Sample], Scene] = decoded,
    ) -> None:
        self._samples, self._chances, self._hints, self._random = samples, chances, hints, random
        self._riderless, self._look = riderless, look

    def __call__(self) -> Scene:
        """Return a random scene with its hint."""
        sample = self._samples[self._random.choice(len(self._samples), p=self._chances)]
        scene = self._look(sample)
        if _is_of(sample, self._riderless):
            scene = with_riders(scene)
        hint = self._hints.get(sample.sha256)
        return scene if hint is None else hint.added(scene)


def lineage(samples: Sequence[Sample], part: str) -> list[dict[str, Any]]:
    """Return the data rows of a manifest, one an origin: licence, pictures, cameras, and a hash over the pictures."""
    rows = []
    for origin in sorted({sample.origin for sample in samples}):
        mine = [sample for sample in samples if sample.origin == origin]
        total = hashlib.sha256("\n".join(sorted(s.sha256 for s in mine)).encode()).hexdigest()
        licences = sorted({sample.licence for sample in mine})
        rows.append({
            "name": origin, "licence": " AND ".join(licences), "images": len(mine), "sha256": total, "split": part,
            "cameras": sorted({sample.camera for sample in mine}),
        })  # fmt: skip
    return rows
