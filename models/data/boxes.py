"""Bring the boxes of labels into one form: in 0..1, of our classes, within the picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from edge_app.records import FloatArray
from models.data.fingerprints import Usable, turned
from models.data.formats import Labelled, Row
from models.data.mapping import SKIP, normalised
from models.data.problems import Kind, Problems
from models.data.samples import CLASSES, OTHER, Sample

SLACK: Final = 0.002
"""Share of the picture's side by which a box may stick out without being listed: it is rounding."""
INSIDE: Final = 0.5
"""Share of the box's area. A box with less of it in the picture is wrong, one with more is clipped; both are listed."""
SHAPE: Final = 0.02
"""Ratio of two aspects up to which a stated size and the picture's own size mean the same shape."""


@dataclass(frozen=True, slots=True, eq=False)
class Boxes:
    """The usable boxes of a picture.

    corners: float32 (N, 4), x0 y0 x1 y1 in 0..1. classes: int16 (N,), indexes of CLASSES. ignored: bool (N,).
    """

    corners: FloatArray
    classes: NDArray[np.int16]
    ignored: NDArray[np.bool_]


def of_sample(sample: Sample) -> Boxes:
    """Return the labels of a sample."""
    return Boxes(sample.boxes, sample.classes, sample.ignored)


def with_boxes(sample: Sample, boxes: Boxes) -> Sample:
    """Return a sample with other labels."""
    return replace(sample, boxes=boxes.corners, classes=boxes.classes, ignored=boxes.ignored)


def same(first: Boxes, second: Boxes) -> bool:
    """Return True when two labellings are equal, in whatever order the boxes are."""
    return sorted(map(tuple, as_rows(first))) == sorted(map(tuple, as_rows(second)))


def as_rows(boxes: Boxes) -> list[list[Any]]:
    """Return labels for a JSON file: class, x0, y0, x1, y1, ignored, in the shortest digits of a float32."""
    corners = [[float(str(value)) for value in box] for box in boxes.corners]
    rows = zip(boxes.classes.tolist(), corners, boxes.ignored.tolist(), strict=True)
    return [[CLASSES[kind], *box, ignored] for kind, box, ignored in rows]


def of_rows(rows: Sequence[Sequence[Any]]) -> Boxes:
    """Return the labels that `as_rows` wrote. Raises ValueError, TypeError or IndexError: when they are no labels."""
    corners = np.array([row[1:5] for row in rows], np.float32).reshape(-1, 4)
    kinds = np.array([CLASSES.index(row[0]) for row in rows], np.int16)
    return Boxes(corners, kinds, np.array([bool(row[5]) for row in rows], np.bool_))


def checked(item: Labelled, picture: Usable, classes: Mapping[str, str], problems: Problems) -> Boxes:
    """Return the usable boxes of a picture and list what is wrong with the others.

    classes: normalised class name of the source -> ours, or SKIP.
    """
    turn, size = _drawn_on(item, picture)
    side = np.array(_measure(item, size, problems) * 2, np.float64)
    corners, kinds, ignored = [], [], []
    for row in item.rows:
        label = classes.get(normalised(row.label))
        if label is None:
            _list("unknown class", item, row, f"{row.label!r} is none of ours; map it with --class", problems)
            problems.unmapped[row.label] += 1
        if label is None or label == SKIP:
            continue
        given = np.array(row.corners, np.float64) / side
        box = _clipped(item, row, np.array(turned(tuple(given.tolist()), turn), np.float64), problems)
        if box is not None:
            corners.append(box)
            kinds.append(CLASSES.index(label))
            ignored.append(row.ignored or kinds[-1] == OTHER)
    table = np.array(corners, np.float32).reshape(-1, 4)
    return Boxes(table, np.array(kinds, np.int16), np.array(ignored, np.bool_))


def with_unknown_rest(found: Boxes) -> Boxes:
    """Return the boxes of a picture of which only a part of the vehicles has boxes.

    The whole picture becomes a box to ignore: anchors and detections there count neither for nor against, except where
    a vehicle is labelled.
    """
    return Boxes(
        np.concatenate([found.corners, np.array([[0, 0, 1, 1]], np.float32)]),
        np.append(found.classes, np.int16(OTHER)),
        np.append(found.ignored, True),
    )


def _drawn_on(item: Labelled, picture: Usable) -> tuple[int, tuple[int, int]]:
    """Return how boxes have to be turned, as an EXIF orientation, and the size of the picture that they were drawn on.

    Labels that state the size of the file, not that of the picture as it is seen, were drawn on the picture unturned.
    """
    unturned = item.size is not None and item.size == picture.raw != picture.upright
    return (picture.turn, picture.raw) if unturned else (1, picture.upright)


def _measure(item: Labelled, size: tuple[int, int], problems: Problems) -> tuple[float, float]:
    """Return what the corners are divided by. Labels with another size were made on another copy of the picture."""
    if not item.pixels:
        return (1, 1)
    if item.size is None or item.size == size or min(item.size) <= 0:
        return size
    shape = item.size[0] / item.size[1] * size[1] / size[0]
    what = "resized" if abs(shape - 1) <= SHAPE else "stretched or cut: look at it"
    stated, own = ("x".join(map(str, pair)) for pair in (item.size, size))
    problems.add("size differs", item.labels, f"labelled at {stated}, the picture is {own}: {what}")
    return item.size


def _clipped(item: Labelled, row: Row, box: NDArray[np.float64], problems: Problems) -> NDArray[np.float32] | None:
    """Return the box within the picture, float32 (4,) in 0..1; list an unusable one and return None."""
    inner = np.clip(box, 0, 1).astype(np.float32)
    text = "x0 {:g} y0 {:g} x1 {:g} y1 {:g}".format(*row.corners)
    if not (box[2:] > box[:2]).all():
        _list("zero area", item, row, f"{row.label} {text} has no width or no height", problems)
        return None
    share = np.prod(np.maximum(inner[2:] - inner[:2], 0)) / np.prod(box[2:] - box[:2])
    if share < INSIDE or not (inner[2:] > inner[:2]).all():
        _list("box outside", item, row, f"{row.label} {text} is mostly outside the picture", problems)
        return None
    if np.abs(inner - box).max() > SLACK:
        _list("box clipped", item, row, f"{row.label} {text} sticks out of the picture", problems)
    return inner


def _list(kind: Kind, item: Labelled, row: Row, what: str, problems: Problems) -> None:
    """List a box, with its picture where no line tells the place in a file about many pictures."""
    problems.add(kind, item.labels, what if row.line else f"{item.picture.name}: {what}", row.line)
