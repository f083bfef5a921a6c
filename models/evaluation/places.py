"""Show where detectors see a vehicle that nobody labelled, to be looked at by eye and marked (`models.data mark`).

What a better detector finds beyond the labels costs it average precision until somebody has looked. The sheets show
footage: they stay where the pictures may be.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from edge_app.records import FloatArray, Image
from models.common.files import json_bytes
from models.common.geometry import iou_matrix
from models.data.marks import PLACES, PLACES_SCHEMA
from models.data.report import sheets
from models.evaluation.detection import SetResult
from models.evaluation.detection_outcomes import BACKGROUND, outcomes_of
from models.evaluation.labelled import SCORED, Picture
from models.evaluation.observations import Observation
from models.evaluation.report import save

_SAME: Final = 0.5
"""IoU from which two detections are of one place."""
_TILES: Final = 30
"""Tiles of a sheet: more cannot be looked at at once."""


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
            seen = [(one.input, _background(one.observations[row], least)) for one in sets]
            if any(len(observation.scores) for _, observation in seen):
                image = picture.load()
                found = [place for size, observation in seen for place in _placed(picture, image, size, observation)]
                yield from ((place, image) for place in _apart(found))


def _background(observation: Observation, least: float) -> Observation:
    """Return the observation with those detections alone that overlap no label and no mark."""
    shown = (observation.checked or observation).above(least)
    chosen = outcomes_of(shown).kinds == BACKGROUND
    return replace(shown, boxes=shown.boxes[chosen], scores=shown.scores[chosen], found=shown.found[chosen])


def _placed(picture: Picture, image: Image, size: tuple[int, int], observation: Observation) -> list[Place]:
    """Return the detections as places of the picture. size: of the model's input, in whose px they are."""
    height, width = image.shape[:2]
    shown = np.array([width, height] * 2, np.float32) * min(size[0] / width, size[1] / height)
    boxes = np.clip(observation.boxes / shown, 0, 1)
    rows = zip(boxes, observation.found, observation.scores, strict=True)
    return [Place(picture, box, SCORED[label], float(score)) for box, label, score in rows]


def _apart(found: Sequence[Place]) -> list[Place]:
    """Return the surest detection of each place."""
    kept: list[Place] = []
    for one in sorted(found, key=lambda place: -place.score):
        if not any(iou_matrix(one.box[None], other.box[None])[0, 0] >= _SAME for other in kept):
            kept.append(one)
    return kept


def write(folder: Path, results: Sequence[Sequence[SetResult]], least: float, command: str) -> int:
    """Write numbered contact sheets and places.json; return the number of places.

    command: as typed, kept in the list. Raises BuildError: when a file cannot be written, or a picture not be read.
    """
    rows: list[dict[str, Any]] = []
    tiles: list[sheets.Tile] = []
    for number, (place, image) in enumerate(unlabelled(results, least), 1):
        picture = place.picture
        rows.append({
            "number": number, "picture": picture.sha256, "name": picture.name, "label": place.label,
            "score": round(place.score, 3), "box": [round(float(v), 4) for v in place.box],
        })  # fmt: skip
        caption = f"{number}  {place.label} {place.score:.2f}  {picture.name}"
        tiles.append(sheets.cut(image, place.box.tolist(), picture.boxes, caption))
    for number, first in enumerate(range(0, len(tiles), _TILES), 1):
        save(folder / f"places-{number:02d}.jpg", sheets.sheet(tiles[first : first + _TILES]))
    save(folder / PLACES, json_bytes({"schema": PLACES_SCHEMA, "command": command, "places": rows}, indent=1))
    return len(rows)
