"""Draw pictures of the rendered street with exact boxes: our own drawings may always be trained on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, Literal

import cv2
import numpy as np

from edge_app.records import FloatArray, Image
from edge_app.sources.street.street import Street
from models.common.geometry import shared_area
from models.data.fingerprints import inspect
from models.data.samples import CLASSES, OTHER, Sample, digest

ORIGIN: Final = "edge-app rendered street, own drawing"
LICENCE: Final = "LicenseRef-own"
_EVERY_S: Final = 1.7
"""Seconds between two pictures: vehicles have moved on, and it is no multiple of a period of the light."""
_SIZE: Final = (640, 360)
_LIGHTS: Final[tuple[Literal["day", "cycle"], ...]] = ("day", "cycle")
_HIDDEN: Final = 0.6
"""Share of a vehicle behind nearer ones, or outside the picture, from which it is ignored."""


def samples(count: int, seed: int) -> Iterator[Sample]:
    """Yield `count` pictures, half by day and, with other traffic, half in the cycle of light."""
    for number, light in enumerate(_LIGHTS):
        street = Street(
            width=_SIZE[0] * 2, height=_SIZE[1] * 2, fps=1 / _EVERY_S, seed=seed + number, light=light, flow=(20, 20)
        )
        for index in range(count * number // len(_LIGHTS), count * (number + 1) // len(_LIGHTS)):
            frame = street.read(0)
            assert frame is not None  # at pace "fast" there is always one
            known = [(CLASSES.index(label), box) for _, label, box in street.boxes() if label in CLASSES]
            yield _sample(
                f"street__{light}_{seed + number}_{index:05d}", f"street-{light}-{seed + number}", frame.image, known
            )


def _sample(name: str, camera: str, image: Image, known: Sequence[tuple[int, tuple[float, ...]]]) -> Sample:
    height, width = image.shape[:2]
    boxes = np.array([box for _, box in known], np.float32).reshape(-1, 4)
    inside = np.clip(boxes, 0, np.array([width, height] * 2, np.float32))
    ignored = _hidden(boxes, inside)
    left = (inside[:, 2] > inside[:, 0]) & (inside[:, 3] > inside[:, 1])
    small = cv2.resize(image, _SIZE, interpolation=cv2.INTER_AREA)
    code = cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, 88])[1].tobytes()
    kinds = np.array([kind for kind, _ in known], np.int16)
    return Sample(
        name=name,
        image=code,
        width=_SIZE[0],
        height=_SIZE[1],
        aspect=width / height,
        boxes=(inside / np.array([width, height] * 2, np.float32))[left].astype(np.float32),
        classes=kinds[left],
        ignored=(ignored | (kinds == OTHER))[left],
        sha256=digest(code),
        origin=ORIGIN,
        licence=LICENCE,
        camera=camera,
        fingerprint=inspect(code).fingerprint,
    )


def _hidden(boxes: FloatArray, inside: FloatArray) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    """Return which boxes, given from far to near, are mostly outside the picture or behind nearer ones; bool (N,)."""
    whole = np.maximum((boxes[:, 2:] - boxes[:, :2]).prod(axis=1), 1)
    hidden = 1 - np.maximum(inside[:, 2:] - inside[:, :2], 0).prod(axis=1) / whole
    for i in range(len(boxes)):
        hidden[i] += float(shared_area(inside[i : i + 1], inside[i + 1 :]).max(initial=0)) / whole[i]
    return np.asarray(hidden >= _HIDDEN, bool)
