"""Measure everything that the report says in one pass over the samples; pictures are read again only for the sheets."""

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
from models.data.samples import MOTORCYCLE, Sample
from models.data.shards import Entry

CHECKED_FROM: Final = 24.0
"""Height in px of the model's input from which a motorcycle is checked for its rider: smaller people are not seen."""
SMALLEST: Final = 7.0
"""Px of the model's input below which an object has no anchor to learn from."""
STILL: Final = 0.5
"""IoU of two boxes in two frames from which the vehicle stood still."""
STANDING: Final = 0.8
"""Share of the boxes of both frames that stood still, from which one frame teaches no more than the other."""
GRADES: Final = (SMALLEST, 16.0, 32.0, 96.0)
"""Edges between the sizes of the report's table, in px of the square root of the area."""


@dataclass(slots=True)
class Findings:
    """Results of one pass; the first four lists run in parallel, one entry a picture.

    corners: boxes as labelled, float32 (N, 4) in 0..1. sides: their width and height in px of the model's input.
    kinds: their classes. owners: origin and camera of the picture.
    rises: for every motorcycle that is large enough the share of its rider above the box, NaN where the model sees no
    rider; empty without a model.
    suspects: labels that look wrong.
    """

    corners: list[FloatArray] = field(default_factory=list)
    sides: list[FloatArray] = field(default_factory=list)
    kinds: list[NDArray[np.int16]] = field(default_factory=list)
    owners: list[tuple[str, str]] = field(default_factory=list)
    rises: list[FloatArray] = field(default_factory=list)
    suspects: list[Suspect] = field(default_factory=list)

    def boxes(self, kind: int, owner: str | None = None) -> FloatArray:
        """Return width and height of boxes in px of the model's input, float32 (N, 2).

        kind: their class. owner: an origin or a camera, None for all.
        """
        chosen = [
            sides[kinds == kind]
            for sides, kinds, owners in zip(self.sides, self.kinds, self.owners, strict=True)
            if owner is None or owner in owners
        ]
        return np.concatenate([*chosen, np.empty((0, 2), np.float32)]).astype(np.float32)

    def rises_of(self, owner: str) -> FloatArray:
        """Return the rises of an origin or a camera, float32 (N,), with NaN."""
        chosen = [rises for rises, owners in zip(self.rises, self.owners, strict=False) if owner in owners]
        return np.concatenate([*chosen, np.empty(0, np.float32)]).astype(np.float32)

    def of_kind(self, kind: str) -> list[Suspect]:
        """Return the suspects of a kind, worst first, and of equal ones the largest."""
        return sorted((s for s in self.suspects if s.kind == kind), key=lambda s: (-s.weight, -s.area))


def gather(
    samples: Iterable[Sample], size: Size, detect: Callable[[Image], ModelDetections] | None, sure: float
) -> Findings:
    """Measure every box at the model's input, and compare the labels with what a trusted model sees.

    detect: returns the model's detections in a scene; None without a model. sure: score from which one is believed.
    """
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
    large_enough = ~sample.ignored[motorcycles] & (boxes[:, 3] - boxes[:, 1] >= CHECKED_FROM)
    rises = riders.rises(boxes, people * side)
    found.rises.append(rises[large_enough])
    out = np.flatnonzero(large_enough & (rises >= riders.RISEN))  # False for NaN
    found.suspects += [left_out(sample, int(motorcycles[i]), float(rises[i])) for i in out]


@dataclass(frozen=True, slots=True)
class Duplicates:
    """Pictures that are the same or nearly the same.

    exact: pairs of names with one sha256. across: near-duplicates of different cameras, nearest first.
    distinct: camera -> number of pictures, where frames with the same vehicles in the same places count once.
    """

    exact: tuple[tuple[str, str], ...]
    across: tuple[Pair, ...]
    distinct: dict[str, int]


def duplicates(entries: Sequence[Entry], corners: Sequence[FloatArray]) -> Duplicates:
    """Return the duplicates among pictures. corners: the boxes of each, in 0..1."""
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
    """Return True when nearly all vehicles of two frames stand in the same places."""
    few, many = sorted((len(a), len(b)))
    if few < STANDING * many or not few:
        return few == many
    overlaps = iou_matrix(a, b)
    return bool(min((overlaps.max(axis=axis) >= STILL).mean() for axis in (0, 1)) >= STANDING)
