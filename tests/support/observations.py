"""Make observations and pictures for the tests of models/evaluation."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from edge_app.records import Image
from models.evaluation.labelled import NOT_SCORED, SCORED, Picture
from models.evaluation.observations import Observation

Corners = tuple[float, float, float, float]
Detected = tuple[str, float, Corners]
"""Class, score and box of a detection."""
BOXES: tuple[Corners, ...] = ((0, 0, 10, 10), (100, 0, 140, 40), (200, 0, 300, 100), (400, 200, 440, 240))
"""Small, medium and large; tests put nothing at the last one."""


def observation(truth: Sequence[tuple[str, Corners]], detections: Sequence[Detected] = ()) -> Observation:
    """Return an observation with labels (class, box) and detections, in px of the input.

    Detections are sorted by falling score.
    """
    ordered = sorted(detections, key=lambda row: -row[1])
    classes = np.array([_place(label) for label, _ in truth], np.int16)
    return Observation(
        truth=_boxes([box for _, box in truth]),
        classes=classes,
        ignored=classes == NOT_SCORED,
        boxes=_boxes([box for _, _, box in ordered]),
        scores=np.array([score for _, score, _ in ordered], np.float32),
        found=np.array([_place(label) for label, _, _ in ordered], np.int16),
    )


def picture(name: str, camera: str = "here-01", group: str = "here") -> Picture:
    """Return a grey picture without labels."""
    empty: NDArray[np.int16] = np.empty(0, np.int16)
    return Picture(name, group, camera, name * 2, _grey, _boxes([]), empty, empty.astype(bool))


def _place(label: str) -> int:
    return SCORED.index(label) if label in SCORED else NOT_SCORED


def _grey() -> Image:
    return np.full((36, 64, 3), 128, np.uint8)


def _boxes(rows: Sequence[Corners]) -> NDArray[np.float32]:
    return np.array(rows, np.float32).reshape(-1, 4)


_places = st.sampled_from([*BOXES, (2.0, 0.0, 12.0, 10.0), (104.0, 4.0, 144.0, 44.0)])
scenes = st.builds(
    observation,
    st.lists(
        st.tuples(st.sampled_from(["car", "motorcycle", "other"]), _places), max_size=4, unique_by=lambda row: row[1]
    ),
    st.lists(st.tuples(st.sampled_from(["car", "motorcycle"]), st.floats(0.02, 1), _places), max_size=6),
)
"""Observations with a few labels and detections at places that overlap or do not."""
