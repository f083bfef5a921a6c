"""Draw contact sheets: for each kind of error the pictures that hold most of it, cut out around it.

They show footage: they go into the report's folder and nowhere else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_app.records import FloatArray, Image
from models.common import lettering
from models.evaluation import bootstrap
from models.evaluation.detection import SetResult
from models.evaluation.detection_outcomes import BOTH, HIT, MISSED, WRONG_CLASS
from models.evaluation.labelled import SCORED

TILES, COLUMNS = 6, 3
_WIDTH, _HEIGHT, _TITLE = 480, 270, 20
_LEAST: Final = 0.4
"""Share of a picture's width that a tile shows at least: the place must be recognisable."""
_MARGIN: Final = 1.3
_LETTERS: Final = 11
"""Size of letters, px."""
WRONG, MISS, RIGHT, LABEL = (40, 40, 235), (235, 60, 235), (90, 190, 60), (30, 200, 240)
"""BGR of a wrong detection, a missed box, a right detection, and the labelled box that a wrong one belongs to."""


@dataclass(frozen=True, slots=True, eq=False)
class Tile:
    """One picture of a sheet.

    one: the model on the set. row: of the picture in its set.
    marked: indexes of the detections (or, for missed, of the labelled boxes) that the tile shows. weight: its rank.
    """

    one: SetResult
    row: int
    marked: NDArray[np.intp]
    weight: float


def worst(sets: Sequence[SetResult], kind: int, most: int = TILES, about: str = "") -> list[Tile]:
    """Return the pictures with most of an error kind, surest errors first; one for each run of nearly equal frames.

    about: only errors in which this class is found or, with WRONG_CLASS, labelled; "" for all.
    """
    tiles = []
    for one in sets:
        for camera in bootstrap.blocks(one.picture_set.pictures):
            for block in camera:
                candidates = [tile for row in block if (tile := _tile(one, int(row), kind, about)).weight > 0]
                tiles += [max(candidates, key=lambda tile: tile.weight)] if candidates else []
    return sorted(tiles, key=lambda tile: -tile.weight)[:most]


def sheet(tiles: Sequence[Tile], kind: int) -> Image | None:
    """Return the tiles side by side, uint8 (H, W, 3) BGR; None without any."""
    if not tiles:
        return None
    drawn = [_draw(tile, kind) for tile in tiles]
    blank = np.full_like(drawn[0], 255)
    drawn += [blank] * (-len(drawn) % COLUMNS)
    rows = [np.hstack(drawn[i : i + COLUMNS]) for i in range(0, len(drawn), COLUMNS)]
    return np.asarray(np.vstack(rows), np.uint8)


def _tile(one: SetResult, row: int, kind: int, about: str) -> Tile:
    outcomes, observation = one.errors[row], one.used[row]
    if kind == MISSED:
        marked = np.flatnonzero(outcomes.missed)
        return Tile(one, row, marked, float(len(marked)))
    marked = np.flatnonzero(outcomes.kinds == kind)
    if about:
        labelled, wanted = observation.classes[outcomes.partner[marked]], SCORED.index(about)
        marked = marked[(observation.found[marked] == wanted) | (labelled == wanted)]
    return Tile(one, row, marked, float(observation.scores[marked].sum()))


def _draw(tile: Tile, kind: int) -> Image:
    picture, observation = tile.one.picture_set.pictures[tile.row], tile.one.used[tile.row]
    outcomes = tile.one.errors[tile.row]
    image = picture.load()
    scale = _scale(tile, image)
    meant = (observation.truth if kind == MISSED else observation.boxes)[tile.marked] * scale
    x0, y0, x1, y1 = _window(meant, image.shape[1], image.shape[0])
    cut = cv2.resize(image[y0:y1, x0:x1], (_WIDTH, _HEIGHT), interpolation=cv2.INTER_AREA)
    view: Image = np.asarray(cut, np.uint8)
    zoom, origin = _WIDTH / (x1 - x0), np.array([x0, y0, x0, y0], np.float32)

    def place(box: FloatArray) -> list[int]:
        return [round(float(v)) for v in (box * scale - origin) * zoom]

    for box in observation.boxes[outcomes.kinds == HIT]:
        _box(view, place(box), RIGHT, 1)
    for i in tile.marked:
        if kind != MISSED and outcomes.partner[i] >= 0:
            _box(view, place(observation.truth[outcomes.partner[i]]), LABEL, 1)
    boxes, tone = (observation.truth, MISS) if kind == MISSED else (observation.boxes, WRONG)
    places = [place(boxes[i]) for i in tile.marked]
    for corners in places:
        _box(view, corners, tone, 2)
    _write(view, places, [_caption(tile, kind, int(i)) for i in tile.marked], tone)
    title = np.full((_TITLE, _WIDTH, 3), 245, np.uint8)
    text = f"{len(tile.marked)}x  {picture.camera}  {picture.name}"
    lettering.write(title, lettering.fitted(text, _WIDTH - 8, _LETTERS), (4, 14), _LETTERS, (60, 60, 60))
    framed = np.vstack([title, view])
    framed[:, -1] = framed[-1] = 255
    return np.asarray(framed, np.uint8)


def _scale(tile: Tile, image: Image) -> float:
    """Return the px of the picture for one px of the model's input."""
    width, height = tile.one.input
    return float(max(image.shape[1] / width, image.shape[0] / height))


def _window(boxes: FloatArray, width: int, height: int) -> tuple[int, int, int, int]:
    """Return the part of a picture, in the tile's shape as far as possible, that holds the boxes with a margin."""
    low, high = boxes[:, :2].min(axis=0), boxes[:, 2:].max(axis=0)
    centre, need = (low + high) / 2, (high - low) * _MARGIN
    across = max(float(need[0]), float(need[1]) * _WIDTH / _HEIGHT, _LEAST * width)
    across = min(across, width, height * _WIDTH / _HEIGHT)
    down = across * _HEIGHT / _WIDTH
    x0 = min(max(float(centre[0]) - across / 2, 0), width - across)
    y0 = min(max(float(centre[1]) - down / 2, 0), height - down)
    return round(x0), round(y0), round(x0 + across), round(y0 + down)


def _caption(tile: Tile, kind: int, i: int) -> str:
    """Return the text at a box: "car 86", the score in percent, and, when the class is the error, the right one."""
    observation, outcomes = tile.one.used[tile.row], tile.one.errors[tile.row]
    if kind == MISSED:
        return str(SCORED[observation.classes[i]])
    text = f"{SCORED[observation.found[i]]} {observation.scores[i] * 100:.0f}"
    if kind not in (WRONG_CLASS, BOTH):
        return text
    return f"{text}, labelled {SCORED[observation.classes[outcomes.partner[i]]]}"


def _box(view: Image, corners: Sequence[int], tone: tuple[int, int, int], thick: int) -> None:
    cv2.rectangle(view, tuple(corners[:2]), tuple(corners[2:]), tone, thick, cv2.LINE_AA)


def _write(view: Image, places: Sequence[Sequence[int]], texts: Sequence[str], tone: tuple[int, int, int]) -> None:
    """Write a label at each box, except for those that would lie on another label."""
    taken = np.zeros(view.shape[:2], bool)
    for (x0, y0, _, y1), text in zip(places, texts, strict=True):
        across, down = lettering.extent(text, _LETTERS)
        left = min(max(x0, 0), view.shape[1] - across - 4)
        top = y0 - down - 5 if y0 - down - 5 >= 0 else min(y1, view.shape[0] - down - 5)
        space = np.s_[top : top + down + 5, left : left + across + 4]
        if taken[space].any():
            continue
        taken[space], view[space] = True, tone
        lettering.write(view, text, (left + 2, top + down + 1), _LETTERS, (255, 255, 255))
