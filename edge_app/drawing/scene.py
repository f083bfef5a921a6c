"""Prepare a result for people: scaled down, with privacy, with or without the overlay. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import cv2
import numpy as np

from edge_app.drawing.overlay import Totals, Trails, draw
from edge_app.records import LABELS, FloatArray, FrameResult, Image, Line, Region, Tracks, region_px

_BLOCKS: Final = 6
"""Blocks along the shorter side of a hidden part: with so few neither a face nor a number plate can be read."""
_MARGIN: Final = 0.08
"""Part of a box's sides that is hidden around it: detectors cut off elbows and bumpers."""
_PLATES_FROM: Final = 0.4
"""Part of a vehicle's height below which number plates hang; above is the windscreen, with the driver behind glass."""
_RIDERS: Final = ("person", "motorcycle", "bicycle")
_GREY: Final = 36


@dataclass(frozen=True, slots=True)
class Privacy:
    """Parts of a picture that people may not recognise.

    pixelate: whether people, riders and the places of number plates are pixelated.
    region: the part of the frame that the detector receives, None for all; then everything outside is pixelated,
    because nobody is detected there.
    """

    pixelate: bool = False
    region: Region | None = None


@dataclass(frozen=True, slots=True)
class Captions:
    """Content of the overlay beside the tracks.

    clock, notes: texts above the table. glow: line id -> brightness 0..1.
    """

    lines: Sequence[Line]
    totals: Totals
    clock: str = ""
    notes: Sequence[str] = ()
    glow: Mapping[str, float] | None = None


def plain(result: FrameResult, width: int, privacy: Privacy) -> Image:
    """Return the frame at most `width` px wide, with even sides as video needs them, without overlay."""
    small = resized(result.frame.image, width)
    if not privacy.pixelate:
        return small
    factor = small.shape[1] / result.frame.size[0]
    boxes = np.concatenate([result.detections.boxes, result.tracks.boxes]) * np.float32(factor)
    labels = [LABELS[n] for n in (*result.detections.classes, *result.tracks.classes)]
    picture = _outside_pixelated(small, privacy.region)
    for box in hidden_parts(boxes, labels):
        _pixelate(picture, box)
    return picture


def annotated(
    result: FrameResult,
    width: int,
    privacy: Privacy,
    captions: Captions,
    trails: Trails,
    speeds: Mapping[int, float] | None = None,
) -> Image:
    """Return the picture of `plain` with the overlay. trails: in px of that picture. speeds: km/h of tracks, by id."""
    small = plain(result, width, privacy)
    tracks = scaled(result.tracks, small.shape[1] / result.frame.size[0])
    return draw(
        small,
        tracks,
        captions.lines,
        captions.totals,
        trails,
        clock=captions.clock,
        notes=captions.notes,
        glow=captions.glow,
        speeds=speeds,
    )


def cut_out(
    result: FrameResult, box: FloatArray, privacy: Privacy, *, margin: float, least: int, longest: int
) -> tuple[Image, tuple[int, int, int, int]]:
    """Return the part of a frame around a box, with privacy, and the box in it: x0, y0, x1, y1 px.

    box: float32 (4,), px. margin: part of its sides that is shown around it. least: shortest side of the part, px of
    the frame, where that is as large. longest: longest side of the picture, px; it is never larger than the part.
    """
    width, height = result.frame.size
    centre, sides = (box[:2] + box[2:]) / 2, np.maximum((box[2:] - box[:2]) * (1 + 2 * margin), least)
    x0, y0 = np.clip(np.floor(centre - sides / 2), 0, (width - 2, height - 2)).astype(int).tolist()
    x1, y1 = np.clip(np.ceil(centre + sides / 2), (x0 + 2, y0 + 2), (width, height)).astype(int).tolist()
    part: Image = result.frame.image[y0:y1, x0:x1].copy()
    if privacy.pixelate:
        boxes = np.concatenate([result.detections.boxes, result.tracks.boxes])
        labels = [LABELS[n] for n in (*result.detections.classes, *result.tracks.classes)]
        for hidden in hidden_parts(boxes - np.array([x0, y0, x0, y0], np.float32), labels):
            _pixelate(part, hidden)
    scale = min(1.0, longest / max(part.shape[:2]))
    if scale < 1:
        size = max(1, round(part.shape[1] * scale)), max(1, round(part.shape[0] * scale))
        part = np.asarray(cv2.resize(part, size, interpolation=cv2.INTER_AREA), np.uint8)
    inner = np.clip((box - np.array([x0, y0, x0, y0])) * scale, 0, (*part.shape[1::-1], *part.shape[1::-1]))
    left, top, right, bottom = inner.round().astype(int).tolist()
    return part, (left, top, right, bottom)


def empty(width: int, size: tuple[int, int], captions: Captions) -> Image:
    """Return a grey picture with the overlay, for the time without frames.

    size: width and height of the frames, px; the picture has their shape and is at most `width` px wide.
    """
    grey = np.full((*resized(np.zeros((size[1], size[0], 3), np.uint8), width).shape[:2], 3), _GREY, np.uint8)
    return draw(
        grey, Tracks.empty(), captions.lines, captions.totals, Trails(), clock=captions.clock, notes=captions.notes
    )


def resized(image: Image, width: int) -> Image:
    """Return a new picture at most `width` px wide, with even sides and never larger than the given one."""
    height, full_width = image.shape[:2]
    factor = min(1.0, width / full_width)
    size = max(2, int(full_width * factor) & ~1), max(2, int(height * factor) & ~1)
    if size == (full_width, height):
        copy: Image = image.copy()
        return copy
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)


def on_black(image: Image, size: tuple[int, int]) -> Image:
    """Return a picture of another shape uncut in the middle of a black one. size: width and height, px."""
    factor = min(size[0] / image.shape[1], size[1] / image.shape[0])
    width, height = max(1, int(image.shape[1] * factor)), max(1, int(image.shape[0] * factor))
    canvas: Image = np.zeros((size[1], size[0], 3), np.uint8)
    left, top = (size[0] - width) // 2, (size[1] - height) // 2
    canvas[top : top + height, left : left + width] = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    return canvas


def scaled(tracks: Tracks, factor: float) -> Tracks:
    """Return the tracks in px of a picture that is `factor` times as large."""
    by = np.float32(factor)
    return replace(
        tracks,
        boxes=tracks.boxes * by,
        centroids=tracks.centroids * by,
        velocities=tracks.velocities * by,
        origins=tracks.origins * by,
    )


def hidden_parts(boxes: FloatArray, labels: Sequence[str]) -> Iterable[FloatArray]:
    """Return the parts that must not be recognised, float32 (4,) px each.

    They are complete people and riders, and of other vehicles the part with the number plates.
    """
    for box, label in zip(boxes, labels, strict=True):
        x0, y0, x1, y1 = box.tolist()
        dx, dy = _MARGIN * (x1 - x0), _MARGIN * (y1 - y0)
        # A box taller than wide may be a rider that was detected as a car.
        all_of_it = label in _RIDERS or y1 - y0 > x1 - x0
        top = y0 - dy if all_of_it else y0 + _PLATES_FROM * (y1 - y0)
        yield np.array([x0 - dx, top, x1 + dx, y1 + dy], np.float32)


def _outside_pixelated(image: Image, region: Region | None) -> Image:
    """Return the picture with everything outside the region pixelated, or the picture itself without a region."""
    if region is None:
        return image
    x0, y0, x1, y1 = region_px(region, (image.shape[1], image.shape[0]))
    pixelated = _blocks(image, max(8, image.shape[0] // 24))
    pixelated[y0:y1, x0:x1] = image[y0:y1, x0:x1]
    return pixelated


def _pixelate(image: Image, box: FloatArray) -> None:
    """Pixelate a box of the image in place."""
    height, width = image.shape[:2]
    x0, y0 = np.maximum(np.floor(box[:2]), 0).astype(int).tolist()
    x1, y1 = np.minimum(np.ceil(box[2:]), (width, height)).astype(int).tolist()
    if x1 > x0 and y1 > y0:
        cell = max(8, min(x1 - x0, y1 - y0) // _BLOCKS)
        image[y0:y1, x0:x1] = _blocks(image[y0:y1, x0:x1], cell)


def _blocks(image: Image, cell: int) -> Image:
    """Return the image in blocks of about `cell` px."""
    height, width = image.shape[:2]
    size = max(1, width // cell), max(1, height // cell)
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_NEAREST), np.uint8)
