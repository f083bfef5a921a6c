"""Run detectors on labelled pictures: each picture is decoded once and passed to all detectors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from edge_app.config.model import DetectorConfig
from edge_app.detectors.tflite import TfliteDetector
from edge_app.records import LABELS, Detections, FloatArray
from models.data.marks import marks
from models.evaluation.cyclists import bicycles_of, motorcycles_of, taken_for
from models.evaluation.labelled import NOT_SCORED, SCORED, Picture, checked
from models.evaluation.light import Light, light

FAINTEST: Final = 0.02
"""Lowest score of detections in the precision-recall curve."""


@dataclass(frozen=True, slots=True, eq=False)
class Observation:
    """One picture as one model saw it; all boxes float32, x0 y0 x1 y1 in px of the model's input.

    truth (N, 4), classes int16 (N,), indexes of SCORED, and ignored bool (N,): the labels.
    boxes (M, 4), scores (M,) and found int16 (M,), indexes of SCORED: the detections, strongest first.
    light: of the picture. bicycles, motorcycles: what each was taken for, see models.evaluation.cyclists.
    checked: the same detections with the labels of labelled.checked, None when nothing is marked.
    """

    truth: FloatArray
    classes: NDArray[np.int16]
    ignored: NDArray[np.bool_]
    boxes: FloatArray
    scores: FloatArray
    found: NDArray[np.int16]
    light: Light = "day"
    bicycles: tuple[str, ...] = ()
    motorcycles: tuple[str, ...] = ()
    checked: Observation | None = None

    def above(self, score: float) -> Observation:
        """Return the observation with the detections from this score on."""
        kept = self.scores >= score
        return replace(self, boxes=self.boxes[kept], scores=self.scores[kept], found=self.found[kept])


def open_detector(model: Path, settings: DetectorConfig, threads: int) -> TfliteDetector:
    """Return the product's own detector with its own suppression, but down to FAINTEST.

    Raises DetectorError: when the model does not fit its manifest.
    """
    return TfliteDetector(model, threads=threads, score=FAINTEST, same_iou=settings.same_iou, any_iou=settings.any_iou)


def observe(
    detectors: Sequence[TfliteDetector], shown: Sequence[Picture], forward: Callable[[], None] = lambda: None
) -> list[list[Observation]]:
    """Return for each detector an observation of every picture, in their order.

    forward: called after each picture.
    Raises BuildError or DetectorError: when a picture or a model cannot be used.
    """
    seen: list[list[Observation]] = [[] for _ in detectors]
    bicycles, none = marks("bicycles"), np.empty((0, 4), np.float32)
    for picture in shown:
        image, second = picture.load(), checked(picture)
        height, width = image.shape[:2]
        lit, marked = light(image), bicycles.get(picture.sha256, none)
        cyclists, riders = bicycles_of(picture, marked), motorcycles_of(picture, marked)
        for observations, found in zip(seen, detectors, strict=True):
            size = found.manifest.input
            scale = min(size.width / width, size.height / height)
            detections = found.detect(image)
            inside = (width * scale, height * scale)
            one = _observation(picture, detections, inside, scale, lit)
            again = _observation(second, detections, inside, scale, lit) if second else None
            taken = (tuple(taken_for(detections, boxes, (width, height))) for boxes in (cyclists, riders))
            observations.append(replace(one, bicycles=next(taken), motorcycles=next(taken), checked=again))
        forward()
    return seen


def _observation(
    picture: Picture, found: Detections, size: tuple[float, float], scale: float, lit: Light
) -> Observation:
    """Return the observation of a picture. size: of the picture inside the model's input, px."""
    names = np.array([SCORED.index(name) if name in SCORED else NOT_SCORED for name in LABELS], np.int16)
    classes = names[found.classes]
    scored = classes != NOT_SCORED
    return Observation(
        truth=picture.boxes * np.array(size * 2, np.float32),
        classes=picture.classes,
        ignored=picture.ignored,
        boxes=found.boxes[scored] * np.float32(scale),
        scores=found.scores[scored],
        found=classes[scored],
        light=lit,
    )
