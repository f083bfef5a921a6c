"""Find labels that look wrong: compared with what a trusted model sees, and with each other. Pure.

A suspect is a question for a person, not a decision: the model is wrong too, most often on motorcycles seen from above.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

import numpy as np

from edge_app.records import LABELS, Detections, FloatArray
from models.common.geometry import covered_share, iou_matrix
from models.data.samples import BICYCLE, CLASSES, Sample

Kind: TypeAlias = Literal["missing label", "other class", "not seen", "double label", "rider left out"]
KINDS: Final[dict[Kind, str]] = {
    "missing label": "The model is sure of a vehicle where there is no label.",
    "other class": "The model is sure that a labelled vehicle is of another class.",
    "not seen": "A large label on which the model sees no vehicle at all.",
    "double label": "Two labels on nearly the same place.",
    "rider left out": "The box of a motorcycle leaves out the rider's head and shoulders.",
}
NAMES: Final[dict[str, Kind]] = {kind.replace(" ", "-"): kind for kind in KINDS}
"""Kinds as options name them."""
APART: Final = 0.2
"""IoU below which a detection belongs to no label."""
ON_IT: Final = 0.6
"""IoU from which a detection is about a label."""
COVERED: Final = 0.5
"""Share of a detection inside a label, from which the label is about it all the same: a crowd, a truck and its trailer.
"""
TWICE: Final = 0.85
"""IoU from which two labels are about one vehicle."""
LARGE: Final = 32.0
"""Shorter side in px of the model's input from which a vehicle should be seen."""
BLIND: Final = 0.3
"""IoU and score: a label is not seen when no detection reaches both."""


@dataclass(frozen=True, slots=True)
class Suspect:
    """One label, or the place where one may be missing.

    box: x0 y0 x1 y1 in 0..1 of the picture. label: as labelled, None when there is none.
    seen: what the model or the other label says. weight: 0..1, how sure the finding is; the highest come first.
    sha256: of the picture.
    """

    kind: Kind
    name: str
    origin: str
    camera: str
    box: tuple[float, float, float, float]
    label: str | None
    seen: str | None
    weight: float
    sha256: str

    @property
    def area(self) -> float:
        """Area of the box as a share of the picture."""
        return (self.box[2] - self.box[0]) * (self.box[3] - self.box[1])


def of_detections(sample: Sample, found: Detections, scale: FloatArray, sure: float) -> Iterator[Suspect]:
    """Yield the labels that contradict detections, and detections without a label.

    found: detections, boxes in 0..1 of the picture, down to a low score.
    scale: float32 (2,), px of the model's input for a picture's width and height.
    sure: score from which a detection is believed.
    """
    labels = _common(sample)
    overlaps = iou_matrix(found.boxes * np.tile(scale, 2), sample.boxes * np.tile(scale, 2))
    inside = covered_share(found.boxes, sample.boxes)
    for i in np.flatnonzero(found.scores >= sure):
        seen, score = LABELS[found.classes[i]], float(found.scores[i])
        if not len(sample.boxes) or (overlaps[i].max() < APART and inside[i].max() < COVERED):
            if seen in CLASSES and seen != CLASSES[BICYCLE]:  # most sets label no bicycles
                yield _suspect(sample, "missing label", found.boxes[i], None, seen, score)
            continue
        best = int(overlaps[i].argmax())
        same = (overlaps[:, best] >= BLIND) & (found.classes == labels[best])
        if overlaps[i, best] >= ON_IT and not sample.ignored[best] and not same.any() and seen in CLASSES:
            yield _suspect(sample, "other class", sample.boxes[best], CLASSES[sample.classes[best]], seen, score)
    for k in np.flatnonzero(~sample.ignored):
        width, height = (sample.boxes[k, 2:] - sample.boxes[k, :2]) * scale
        near = found.scores[overlaps[:, k] >= BLIND]
        if min(width, height) >= LARGE and not (near >= BLIND).any():
            strongest = float(near.max()) if len(near) else 0.0
            yield _suspect(sample, "not seen", sample.boxes[k], CLASSES[sample.classes[k]], None, 1 - strongest)


def _common(sample: Sample) -> FloatArray:
    """Return the classes of a sample as indexes of LABELS, -1 for a class that the product does not know."""
    known = [LABELS.index(label) if label in LABELS else -1 for label in CLASSES]
    return np.asarray(np.array(known, np.float32)[sample.classes], np.float32)


def of_labels(sample: Sample) -> Iterator[Suspect]:
    """Yield the labels of one picture that lie on each other."""
    overlaps = np.triu(iou_matrix(sample.boxes, sample.boxes), 1)
    for i, j in np.argwhere(overlaps >= TWICE):
        first, second = (CLASSES[sample.classes[k]] for k in (i, j))
        yield _suspect(sample, "double label", sample.boxes[i], first, second, float(overlaps[i, j]))


def _suspect(
    sample: Sample, kind: Kind, box: FloatArray, label: str | None, seen: str | None, weight: float
) -> Suspect:
    x0, y0, x1, y1 = (round(float(v), 5) for v in box)
    known = (sample.name, sample.origin, sample.camera)
    return Suspect(kind, *known, (x0, y0, x1, y1), label, seen, round(weight, 4), sample.sha256)


def left_out(sample: Sample, index: int, rise: float) -> Suspect:
    """Return the suspect for a motorcycle above whose box the rider rises by this share of the rider's height."""
    return _suspect(sample, "rider left out", sample.boxes[index], "motorcycle", None, min(1.0, rise))
