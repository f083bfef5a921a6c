"""One look at the road as people may see it: made small, made private, with or without what the counter knows. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import cv2
import numpy as np

from edge_app.drawing.overlay import Totals, Trails, draw
from edge_app.records import LABELS, FloatArray, FrameResult, Image, Line, Region, Tracks, region_px

_CELLS: Final = 6
"""Coarse pixels along the shorter side of what is hidden: neither a face nor a number plate survives that."""
_MARGIN: Final = 0.08
"""Of a box's sides: detectors cut elbows and bumpers."""
_PLATES_FROM: Final = 0.4
"""Number plates hang below this part of a vehicle's height; above is the wind screen, and a driver behind glass."""
_RIDERS: Final = ("person", "motorcycle", "bicycle")
_GREY: Final = 36


@dataclass(frozen=True, slots=True)
class Privacy:
    """pixelate: people, riders and the places of number plates. region: what the detector looks at, None for all;
    what lies outside is pixelated as a whole, since nobody is found there."""

    pixelate: bool = False
    region: Region | None = None


@dataclass(frozen=True, slots=True)
class Captions:
    """What stands beside the picture; glow: line id -> 0..1."""

    lines: Sequence[Line]
    totals: Totals
    clock: str = ""
    notes: Sequence[str] = ()
    glow: Mapping[str, float] | None = None


def plain(result: FrameResult, width: int, privacy: Privacy) -> Image:
    """No wider than `width` px, sides even as video needs them; without anything drawn."""
    small = resized(result.frame.image, width)
    if not privacy.pixelate:
        return small
    factor = small.shape[1] / result.frame.size[0]
    boxes = np.concatenate([result.detections.boxes, result.tracks.boxes]) * np.float32(factor)
    labels = [LABELS[n] for n in (*result.detections.classes, *result.tracks.classes)]
    made = _outside(small, privacy.region)
    for box in hidden_parts(boxes, labels):
        _coarse(made, box)
    return made


def annotated(result: FrameResult, width: int, privacy: Privacy, facts: Captions, trails: Trails) -> Image:
    """As `plain`, with everything drawn; the trails are in px of that picture."""
    small = plain(result, width, privacy)
    tracks = scaled(result.tracks, small.shape[1] / result.frame.size[0])
    return draw(small, tracks, facts.lines, facts.totals, trails, clock=facts.clock, notes=facts.notes, glow=facts.glow)


def empty(width: int, size: tuple[int, int], facts: Captions) -> Image:
    """While there is no picture: a grey one of the shape `size`, with lines, totals and notes."""
    grey = np.full((*resized(np.zeros((size[1], size[0], 3), np.uint8), width).shape[:2], 3), _GREY, np.uint8)
    return draw(grey, NOBODY, facts.lines, facts.totals, Trails(), clock=facts.clock, notes=facts.notes)


def resized(image: Image, width: int) -> Image:
    """A new picture, never larger than the given one."""
    height, whole = image.shape[:2]
    factor = min(1.0, width / whole)
    size = max(2, int(whole * factor) & ~1), max(2, int(height * factor) & ~1)
    if size == (whole, height):
        made: Image = image.copy()
        return made
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)


def on_black(image: Image, size: tuple[int, int]) -> Image:
    """A picture of another shape, whole, in the middle of one of this width and height."""
    factor = min(size[0] / image.shape[1], size[1] / image.shape[0])
    width, height = max(1, int(image.shape[1] * factor)), max(1, int(image.shape[0] * factor))
    canvas: Image = np.zeros((size[1], size[0], 3), np.uint8)
    left, top = (size[0] - width) // 2, (size[1] - height) // 2
    canvas[top : top + height, left : left + width] = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    return canvas


def scaled(tracks: Tracks, factor: float) -> Tracks:
    """The same tracks in a picture of another size."""
    by = np.float32(factor)
    return replace(
        tracks,
        boxes=tracks.boxes * by,
        centroids=tracks.centroids * by,
        velocities=tracks.velocities * by,
        origins=tracks.origins * by,
    )


def hidden_parts(boxes: FloatArray, labels: Sequence[str]) -> Iterable[FloatArray]:
    """What is not to be recognised, float32 (4,) px each: people and riders whole, of other vehicles the part with the
    plates."""
    for box, label in zip(boxes, labels, strict=True):
        x0, y0, x1, y1 = box.tolist()
        dx, dy = _MARGIN * (x1 - x0), _MARGIN * (y1 - y0)
        # What is taller than wide may be a rider that was taken for a car.
        whole = label in _RIDERS or y1 - y0 > x1 - x0
        top = y0 - dy if whole else y0 + _PLATES_FROM * (y1 - y0)
        yield np.array([x0 - dx, top, x1 + dx, y1 + dy], np.float32)


def _outside(image: Image, region: Region | None) -> Image:
    """The picture itself, or a coarse one with the region in its first sharpness."""
    if region is None:
        return image
    x0, y0, x1, y1 = region_px(region, (image.shape[1], image.shape[0]))
    made = _blocks(image, max(8, image.shape[0] // 24))
    made[y0:y1, x0:x1] = image[y0:y1, x0:x1]
    return made


def _coarse(image: Image, box: FloatArray) -> None:
    """In place."""
    height, width = image.shape[:2]
    x0, y0 = np.maximum(np.floor(box[:2]), 0).astype(int).tolist()
    x1, y1 = np.minimum(np.ceil(box[2:]), (width, height)).astype(int).tolist()
    if x1 > x0 and y1 > y0:
        cell = max(8, min(x1 - x0, y1 - y0) // _CELLS)
        image[y0:y1, x0:x1] = _blocks(image[y0:y1, x0:x1], cell)


def _blocks(image: Image, cell: int) -> Image:
    height, width = image.shape[:2]
    size = max(1, width // cell), max(1, height // cell)
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_NEAREST), np.uint8)


_NONE = np.empty((0, 2), np.float32)
NOBODY: Final = Tracks(
    np.empty(0, np.int64), np.empty((0, 4), np.float32), _NONE, _NONE, np.empty(0, np.int16), np.empty(0, np.float32),
    np.empty(0, np.bool_), _NONE, np.empty(0, np.float64),
)  # fmt: skip
"""No tracks at all."""
