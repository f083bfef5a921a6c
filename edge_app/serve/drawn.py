"""Draw boxes on a picture with the overlay of the preview: class, and number in the order of the answer."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus

import numpy as np

from edge_app.drawing.jpeg import jpeg
from edge_app.drawing.overlay import Trails, draw
from edge_app.errors import StoreError
from edge_app.http.problems import RefusalError
from edge_app.records import LABELS, Image, Tracks
from edge_app.serve.answers import Box


def drawn(image: Image, boxes: Sequence[Box]) -> bytes:
    """Return a picture, uint8 (H, W, 3) BGR, with its boxes as JPEG; the first box has number 1.

    Raises RefusalError: when it cannot be encoded, as where a side is longer than a JPEG's may be.
    """
    try:
        return jpeg(draw(image, _tracks(boxes), (), {}, Trails()))
    except StoreError as error:
        raise RefusalError(HTTPStatus.UNPROCESSABLE_ENTITY, f"{error}: ask for JSON, or scale it down") from error


def _tracks(boxes: Sequence[Box]) -> Tracks:
    """Return the boxes as the overlay takes them: tracks that were seen in this picture."""
    n = len(boxes)
    corners = np.array([box.px for box in boxes], np.float32).reshape(n, 4)
    centroids = ((corners[:, :2] + corners[:, 2:]) / 2).astype(np.float32)
    zeros = np.zeros(n)
    return Tracks(
        ids=np.arange(1, n + 1, dtype=np.int64),
        boxes=corners,
        centroids=centroids,
        velocities=np.zeros((n, 2), np.float32),
        classes=np.array([LABELS.index(box.label) for box in boxes], np.int16),
        scores=np.array([box.score for box in boxes], np.float32),
        seen=np.ones(n, np.bool_),
        origins=centroids,
        born=zeros,
        first_seen=zeros,
    )
