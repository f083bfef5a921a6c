"""All that the report says, gathered in one pass over the samples; pictures are read again only for the sheets."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from edge_app.records import FloatArray, Image
from models.common.geometry import iou_matrix
from models.conversion.anchors import Size
from models.data.fingerprints import Pair, near_pairs
from models.data.report import riders
from models.data.report.scenes import ModelDetections, scale, scene
from models.data.report.suspects import Suspect, left_out, of_detections, of_labels
from models.data.samples import CLASSES, Sample
from models.data.shards import Entry

MOTORCYCLE: Final = CLASSES.index("motorcycle")
JUDGED_FROM: Final = 24.0
"""Height in px of the model's input from which a motorcycle is asked for its rider: smaller people are not seen."""
SMALLEST: Final = 7.0
"""px of the model's input under which an object has no anchor to learn from."""
STILL: Final = 0.5
"""IoU of two boxes in two frames from which the vehicle stood still."""
STANDING: Final = 0.8
"""Share of the boxes of both frames that stood still, from which one frame teaches no more than the other."""
GRADES: Final = (SMALLEST, 16.0, 32.0, 96.0)
"""Edges, in px of the square root of the area, between the sizes of the report's table."""


@dataclass(slots=True)
class Findings:
    """What one pass found; the lists run in parallel, one entry a box.

    corners: as labelled, 0..1. sides: width and height in px of the model's input. kinds: classes. owners: origin and
    camera. rises: of every motorcycle that is large enough the share of its rider above the box, NaN where the model
    sees nobody; empty without a model.
    """

    corners: list[FloatArray] = field(default_factory=list)
    sides: list[FloatArray] = field(default_factory=list)
    kinds: list[NDArray[np.int16]] = field(default_factory=list)
    owners: list[tuple[str, str]] = field(default_factory=list)
    rises: list[FloatArray] = field(default_factory=list)
    suspects: list[Suspect] = field(default_factory=list)

    def boxes(self, kind: int, owner: str | None = None) -> FloatArray:
        """float32 (N, 2): width and height in px of the model's input, of a class and an origin or camera."""
        chosen = [
            sides[kinds == kind]
            for sides, kinds, owners in zip(self.sides, self.kinds, self.owners, strict=True)
            if owner is None or owner in owners
        ]
        return np.concatenate([*chosen, np.empty((0, 2), np.float32)]).astype(np.float32)

    def rises_of(self, owner: str) -> FloatArray:
        """float32 (N,), with NaN, of an origin or a camera."""
        chosen = [rises for rises, owners in zip(self.rises, self.owners, strict=False) if owner in owners]
        return np.concatenate([*chosen, np.empty(0, np.float32)]).astype(np.float32)

    def of_kind(self, kind: str) -> list[Suspect]:
        """The suspects of a kind, worst first, and of equal ones the largest."""
        return sorted((s for s in self.suspects if s.kind == kind), key=lambda s: (-s.weight, -s.area))


def gather(
    samples: Iterable[Sample], size: Size, detect: Callable[[Image], ModelDetections] | None, sure: float
) -> Findings:
    """Measure every box at the model's input; look, where there is a trusted model, says what it sees in a scene."""
    found = Findings()
    for sample in samples:
        factor = scale(sample, size)
        found.corners.append(sample.boxes)
        found.sides.append((sample.boxes[:, 2:] - sample.boxes[:, :2]) * factor)
        found.kinds.append(sample.classes)
        found.owners.append((sample.origin, sample.camera))
        found.suspects += of_labels(sample)
        if detect is not None:
            seen = detect(scene(sample))
            found.suspects += of_detections(sample, seen.vehicles, factor, sure)
            _riders(found, sample, seen.people, factor)
    return found


def _riders(found: Findings, sample: Sample, people: FloatArray, factor: FloatArray) -> None:
    side = np.tile(factor, 2)
    motorcycles = np.flatnonzero(sample.classes == MOTORCYCLE)
    boxes = sample.boxes[motorcycles] * side
    judged = ~sample.ignored[motorcycles] & (boxes[:, 3] - boxes[:, 1] >= JUDGED_FROM)
    rises = riders.rises(boxes, people * side)
    found.rises.append(rises[judged])
    out = np.flatnonzero(judged & (rises >= riders.RISEN))  # NaN is not
    found.suspects += [left_out(sample, int(motorcycles[i]), float(rises[i])) for i in out]


@dataclass(frozen=True, slots=True)
class Duplicates:
    """Pictures that are the same or nearly the same.

    exact: pairs of names with one sha256. across: near-duplicates of different cameras, nearest first. distinct:
    camera -> pictures left when of those with the same vehicles in the same places only one counts.
    """

    exact: tuple[tuple[str, str], ...]
    across: tuple[Pair, ...]
    distinct: dict[str, int]


def duplicates(entries: Sequence[Entry], corners: Sequence[FloatArray]) -> Duplicates:
    """The duplicates among pictures; corners: the boxes of each, 0..1."""
    first: dict[str, int] = {}
    origins = [first.setdefault(entry.sha256, i) for i, entry in enumerate(entries)]
    exact = [(entries[root].name, entries[i].name) for i, root in enumerate(origins) if root != i]
    across: list[Pair] = []
    earlier: dict[int, list[int]] = {}
    for pair in near_pairs([entry.fingerprint for entry in entries]):
        if entries[pair.first].camera == entries[pair.second].camera:
            earlier.setdefault(pair.second, []).append(pair.first)
        else:
            across.append(pair)
    repeats: set[int] = set()
    for i in range(len(entries)):
        if any(j not in repeats and _standing(corners[i], corners[j]) for j in earlier.get(i, ())):
            repeats.add(i)
    distinct = Counter(entry.camera for i, entry in enumerate(entries) if i not in repeats)
    return Duplicates(tuple(exact), tuple(sorted(across, key=lambda pair: pair.bits)), dict(distinct))


def _standing(a: FloatArray, b: FloatArray) -> bool:
    """Whether nearly all vehicles of two frames stand in the same places."""
    few, many = sorted((len(a), len(b)))
    if few < STANDING * many or not few:
        return few == many
    overlaps = iou_matrix(a, b)
    return bool(min((overlaps.max(axis=axis) >= STILL).mean() for axis in (0, 1)) >= STANDING)
