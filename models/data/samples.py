"""Define one annotated picture, whatever format it came from."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from edge_app.records import FloatArray
from edge_app.system.names import stays_below

CLASSES: Final = ("car", "motorcycle", "bus", "truck", "other", "bicycle")
"""A label's number is its index here. `other` (three-wheelers, tractors, what cannot be told) is never trained nor
scored. `bicycle` is one with its rider: a network that is trained on motorcycles alone takes every bicycle for one.
"""
OTHER: Final = CLASSES.index("other")
MOTORCYCLE: Final = CLASSES.index("motorcycle")
BICYCLE: Final = CLASSES.index("bicycle")
ASPECT_DIGITS: Final = 6
"""Decimals of an aspect that a float32 carries unchanged."""
NO_LICENCE: Final = "none stated"
"""Stands in place of a licence's SPDX id: such pictures can be measured with, but nothing made from them ships."""


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """One annotated picture.

    name: unique within a set. image: the encoded file (JPEG or PNG) as it was found. width, height: its size, px.
    aspect: width / height of the scene as the camera saw it, 16/9 for a frame that was stretched to a square.
    boxes: float32 (N, 4), x0 y0 x1 y1 in 0..1 of the picture. classes: int16 (N,), indexes of CLASSES.
    ignored: bool (N,), boxes that count neither for nor against a detector; those of class `other` always are.
    sha256: of image. origin: who made it. licence: an SPDX id or NO_LICENCE. camera: one fixed view, or one scene.
    fingerprint: perceptual hash in hex (models.data.fingerprints), "" when it was not computed.
    credit: who made the picture, where its licence asks to name each; "" when nobody says.
    Raises ValueError: when an array has another type or shape, a text is empty, or a class is unknown.
    """

    name: str
    image: bytes
    width: int
    height: int
    aspect: float
    boxes: FloatArray
    classes: NDArray[np.int16]
    ignored: NDArray[np.bool_]
    sha256: str
    origin: str
    licence: str
    camera: str
    fingerprint: str = ""
    credit: str = ""

    def __post_init__(self) -> None:
        n = len(self.boxes)
        _check("boxes", self.boxes, np.float32, (n, 4))
        _check("classes", self.classes, np.int16, (n,))
        _check("ignored", self.ignored, np.bool_, (n,))
        if not all((self.name, self.sha256, self.origin, self.licence, self.camera)):
            raise ValueError(f"sample {self.name!r} lacks a name, sha256, origin, licence or camera")
        if not stays_below(self.name):
            raise ValueError(f"sample {self.name!r} would be written outside its folder")
        if n and not (self.classes.min() >= 0 and self.classes.max() < len(CLASSES)):
            raise ValueError(f"sample {self.name!r} has a class outside 0..{len(CLASSES) - 1}")

    def without_image(self) -> Sample:
        """Return the sample without the file's bytes, for work on many pictures at once."""
        return replace(self, image=b"")

    def counts(self) -> Mapping[str, int]:
        """Return class -> number of boxes, ignored ones included."""
        return {label: int(np.sum(self.classes == i)) for i, label in enumerate(CLASSES)}


def _check(name: str, array: NDArray[np.generic], dtype: type, shape: tuple[int, ...]) -> None:
    if array.dtype != dtype or array.shape != shape:
        raise ValueError(f"{name} must be {dtype.__name__} {shape}, not {array.dtype} {array.shape}")


def digest(image: bytes) -> str:
    """Return the sha256 of bytes in hex."""
    return hashlib.sha256(image).hexdigest()
