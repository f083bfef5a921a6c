"""Test the pictures for TensorBoard: labels on the left, detections on the right, and which colour is what."""

from __future__ import annotations

import numpy as np

from edge_app.records import Image
from models.data.samples import CLASSES
from models.evaluation.observations import Observation
from models.training.showing import LOWEST, side_by_side

WIDTH, HEIGHT = 320, 192


def seen(scores: tuple[float, ...] = (0.9, 0.2)) -> Observation:
    """Return a car and an ignored truck that are labelled, and a bus that was found at two places."""
    return Observation(
        truth=np.array([[10, 40, 60, 80], [100, 40, 150, 80]], np.float32),
        classes=np.array([CLASSES.index("car"), CLASSES.index("truck")], np.int16),
        ignored=np.array([False, True]),
        boxes=np.array([[200, 100, 260, 150], [20, 120, 70, 160]], np.float32),
        scores=np.array(scores, np.float32),
        found=np.array([CLASSES.index("bus")] * 2, np.int16),
    )


def colour(canvas: Image, x: int, y: int) -> tuple[int, ...]:
    """Return the colour in RGB at a place of the picture itself, below the strip with the heading."""
    return tuple(int(value) for value in canvas[18 + y, x])


def test_labels_and_detections_stand_beside_each_other() -> None:
    canvas = side_by_side(np.zeros((HEIGHT, WIDTH, 3), np.uint8), seen())
    assert canvas.shape == (HEIGHT + 36, 2 * WIDTH + 4, 3)
    right = WIDTH + 4
    car, ignored, bus = colour(canvas, 10, 60), colour(canvas, 100, 60), colour(canvas, right + 200, 125)
    assert len({car, ignored, bus, (0, 0, 0)}) == 4
    assert ignored[0] == ignored[1] == ignored[2]
    assert colour(canvas, right + 10, 60) == colour(canvas, 200, 125) == (0, 0, 0)
    assert colour(canvas, right + 20, 140) == (0, 0, 0), f"a score below {LOWEST} is not drawn"


def test_the_legend_has_every_colour_that_is_drawn() -> None:
    canvas = side_by_side(np.zeros((HEIGHT, WIDTH, 3), np.uint8), seen((0.9, 0.8)))
    legend = {tuple(int(value) for value in pixel) for pixel in canvas[-18:].reshape(-1, 3)}
    assert {colour(canvas, 10, 60), colour(canvas, 100, 60), colour(canvas, WIDTH + 204, 125)} <= legend


def test_without_labels_and_detections_there_is_a_picture() -> None:
    empty = np.zeros((0, 4), np.float32)
    none = Observation(empty, np.zeros(0, np.int16), np.zeros(0, bool), empty, empty[:, 0], np.zeros(0, np.int16))
    assert side_by_side(np.full((HEIGHT, WIDTH, 3), 255, np.uint8), none).any()
