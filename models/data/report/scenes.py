"""Decode samples in the shape of the scene, and run a trusted model on them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import cv2
import numpy as np

from edge_app.detectors.ssd import suppress
from edge_app.detectors.tflite import TfliteDetector
from edge_app.records import Detections, FloatArray, Image
from models.conversion.anchors import Size
from models.conversion.network import ROAD_USERS
from models.conversion.pictures import letterbox
from models.conversion.raw_model import RawModel
from models.data.errors import DataError
from models.data.samples import Sample

FAINTEST: Final = 0.1
PERSON: Final = 0.4
"""Score from which a person is a rider."""
SAME: Final = 0.55
STRETCH: Final = 0.01
"""Ratio of two aspects up to which a picture has its scene's shape."""


def scene(sample: Sample) -> Image:
    """Return a sample as uint8 (H, W, 3) BGR in the scene's aspect: a stretched picture gets its width back.

    Raises DataError: when it cannot be decoded.
    """
    image = cv2.imdecode(np.frombuffer(sample.image, np.uint8), cv2.IMREAD_COLOR)
    if image is None:
        raise DataError(f"Picture {sample.name} cannot be decoded; import it again.")
    height, width = image.shape[:2]
    if abs(width / height / sample.aspect - 1) > STRETCH:
        image = cv2.resize(image, (round(height * sample.aspect), height), interpolation=cv2.INTER_LINEAR)
    return np.asarray(image, np.uint8)


def scale(sample: Sample, size: Size) -> FloatArray:
    """Return the px of a model's input that width and height of a letterboxed picture become, float32 (2,)."""
    width = min(size.width, size.height * sample.aspect)
    return np.array([width, width / sample.aspect], np.float32)


@dataclass(frozen=True, slots=True)
class ModelDetections:
    """Detections in one picture, boxes in 0..1 of it.

    vehicles: as the product sees them. people: float32 (M, 4).
    """

    vehicles: Detections
    people: FloatArray


class Model:
    """The product's own detector for vehicles, and the same file read for people, which the product leaves out."""

    def __init__(self, path: Path) -> None:
        self._detector = TfliteDetector(path, score=FAINTEST)
        manifest = json.loads(path.with_suffix(".json").read_text("utf-8"))
        self._raw = RawModel(path.read_bytes(), manifest, threads=2)
        self._size = Size(manifest["input"]["width"], manifest["input"]["height"])
        known = manifest["labels"] == list(ROAD_USERS)
        self._person = manifest["labels"].index("person") if known else None
        self.sha256 = str(manifest["sha256"])

    def detect(self, image: Image) -> ModelDetections:
        """Return vehicles and people in a picture, uint8 (H, W, 3) BGR in the scene's shape."""
        found = self._detector.detect(image)
        side = np.array([image.shape[1], image.shape[0]] * 2, np.float32)
        vehicles = Detections(np.asarray(found.boxes / side, np.float32), found.scores, found.classes)
        return ModelDetections(vehicles, self._people(image) / side)

    def _people(self, image: Image) -> FloatArray:
        """Return boxes of people, float32 (M, 4) in px of the picture; none when the model was not built here."""
        if self._person is None:
            return np.empty((0, 4), np.float32)
        raw = self._raw.everyone(letterbox(image, self._size))
        scores = raw.scores[:, self._person]
        sure = scores >= PERSON
        boxes, scores = raw.boxes[sure], scores[sure]
        kept = suppress(boxes, scores, np.zeros(len(boxes), np.intp), SAME, SAME)
        height, width = image.shape[:2]
        factor = min(self._size.width / width, self._size.height / height)
        margin = (np.array(self._size) - np.array([width, height]) * factor) / 2
        return np.asarray((boxes[kept] - np.tile(margin, 2)) / factor, np.float32)

    def close(self) -> None:
        """Release the interpreter."""
        self._detector.close()


@contextmanager
def opened(path: Path) -> Iterator[Model]:
    """Open a model for the length of a block. Raises DetectorError: when the file is none."""
    model = Model(path)
    try:
        yield model
    finally:
        model.close()
