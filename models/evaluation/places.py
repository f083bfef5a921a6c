"""Show where detectors see a vehicle that nobody labelled, to be looked at by eye and marked (`models.data mark`).

What a better detector finds beyond the labels costs it average precision until somebody has looked. The sheets show
footage: they stay where the pictures may be.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import cv2
import numpy as np

from edge_app.records import FloatArray, Image
from models.common import lettering
from models.common.files import json_bytes, replace_file
from models.common.geometry import iou_matrix
from models.data.marks import PLACES, PLACES_SCHEMA
from models.evaluation.detection import SetResult
from models.evaluation.detection_outcomes import BACKGROUND, outcomes_of
from models.evaluation.labelled import SCORED, Picture
from models.evaluation.report import save

_SAME: Final = 0.5
"""IoU from which two detections are of one place."""
_COLUMNS, _ROWS = 6, 5
_WIDTH, _HEIGHT, _TITLE = 300, 220, 18
_AROUND: Final = 3.0
"""Side of what a tile shows, relative to the box: its surroundings tell what it is."""
_LEAST: Final = 60
"""Px of the picture that a tile shows at least."""
_LETTERS: Final = 12
_TONE: Final = (40, 40, 235)


@dataclass(frozen=True, slots=True, eq=False)
class Place:
    """What a detector took for a vehicle where no label and no mark is.

    picture: it lies in. box: float32 (4,), x0 y0 x1 y1 in 0..1. label: the class. score: of the surest detector.
    """

    picture: Picture
    box: FloatArray
    label: str
    score: float


def unlabelled(results: Sequence[Sequence[SetResult]], least: float) -> Iterator[tuple[Place, Image]]:
    """Yield the places with their pictures, uint8 (H, W, 3) BGR, set by set. Decodes each picture once.

    results: of each model, its sets in the same order. least: score from which a detection is shown.
    """
    for sets in zip(*results, strict=True):
        for row, picture in enumerate(sets[0].picture_set.pictures):
            seen = [found for one in sets for found in _background(one, row, least)]
            if not seen:
                continue
            image = picture.load()
            height, width = image.shape[:2]
            for score, box, label, size in _apart(seen):
                scale = max(width / size[0], height / size[1])
                inside = np.clip(box * scale / np.array([width, height] * 2), 0, 1)
                yield Place(picture, np.asarray(inside, np.float32), label, score), image


_Seen = tuple[float, FloatArray, str, tuple[int, int]]
"""Score, box in px of the model's input, class, and that input's size."""


def _background(one: SetResult, row: int, least: float) -> list[_Seen]:
    observation = one.observations[row]
    shown = (observation.checked or observation).above(least)
    chosen = np.flatnonzero(outcomes_of(shown).kinds == BACKGROUND)
    return [(float(shown.scores[i]), shown.boxes[i], SCORED[shown.found[i]], one.input) for i in chosen]


def _apart(seen: Sequence[_Seen]) -> list[_Seen]:
    """Return the surest detection of each place; boxes of inputs of other sizes are compared in their own shares."""
    kept: list[_Seen] = []
    for one in sorted(seen, key=lambda found: -found[0]):
        if not any(iou_matrix(_shares(one), _shares(other))[0, 0] >= _SAME for other in kept):
            kept.append(one)
    return kept


def _shares(one: _Seen) -> FloatArray:
    """Return the box in shares of its input's longer side, float32 (1, 4)."""
    return np.asarray(one[1] / max(one[3]), np.float32)[None]


def write(
    folder: Path,
    results: Sequence[Sequence[SetResult]],
    least: float,
    command: str,
    forward: Callable[[], None] = lambda: None,
) -> int:
    """Write numbered contact sheets and places.json; return the number of places. forward: called after each."""
    rows, tiles, sheets = [], [], 0
    for number, (place, image) in enumerate(unlabelled(results, least), 1):
        box = [round(float(v), 4) for v in place.box]
        rows.append({
            "number": number, "picture": place.picture.sha256, "name": place.picture.name, "label": place.label,
            "score": round(place.score, 3), "box": box,
        })  # fmt: skip
        tiles.append(_tile(number, place, image))
        if len(tiles) == _COLUMNS * _ROWS:
            sheets += 1
            _save(folder, sheets, tiles)
            tiles = []
        forward()
    if tiles:
        _save(folder, sheets + 1, tiles)
    replace_file(folder / PLACES, json_bytes({"schema": PLACES_SCHEMA, "command": command, "places": rows}, indent=1))
    return len(rows)


def _save(folder: Path, number: int, tiles: Sequence[Image]) -> None:
    blank = np.full_like(tiles[0], 255)
    filled = [*tiles, *([blank] * (-len(tiles) % _COLUMNS))]
    sheet = np.vstack([np.hstack(filled[i : i + _COLUMNS]) for i in range(0, len(filled), _COLUMNS)])
    code = cv2.imencode(".jpg", sheet, [cv2.IMWRITE_JPEG_QUALITY, 88])[1].tobytes()
    save(folder / f"places-{number:02d}.jpg", code)


def _tile(number: int, place: Place, image: Image) -> Image:
    height, width = image.shape[:2]
    x0, y0, x1, y1 = (float(v) for v in place.box * np.array([width, height] * 2))
    high = min(height, max(_LEAST, _AROUND * max(y1 - y0, (x1 - x0) * _HEIGHT / _WIDTH)))
    wide = min(width, high * _WIDTH / _HEIGHT)
    left = int(np.clip((x0 + x1 - wide) / 2, 0, width - wide))
    top = int(np.clip((y0 + y1 - high) / 2, 0, height - high))
    part = image[top : top + max(1, round(high)), left : left + max(1, round(wide))]
    zoom_x, zoom_y = _WIDTH / part.shape[1], _HEIGHT / part.shape[0]
    view = np.asarray(cv2.resize(part, (_WIDTH, _HEIGHT), interpolation=cv2.INTER_LINEAR), np.uint8)
    corners = [round((x0 - left) * zoom_x), round((y0 - top) * zoom_y), round((x1 - left) * zoom_x)]
    cv2.rectangle(view, (corners[0], corners[1]), (corners[2], round((y1 - top) * zoom_y)), _TONE, 2)
    title = np.full((_TITLE, _WIDTH, 3), 245, np.uint8)
    text = f"{number}  {place.label} {place.score:.2f}  {place.picture.name}"
    lettering.write(title, lettering.fitted(text, _WIDTH - 8, _LETTERS), (4, 13), _LETTERS, (40, 40, 40))
    return np.asarray(np.vstack([title, view]), np.uint8)
