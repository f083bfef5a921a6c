"""Which crossings are doubtful: by the score, and by the vote over the class."""

from __future__ import annotations

import numpy as np
import pytest

from edge_app.counting.doubt import is_doubtful
from edge_app.counting.tracker import Tracker
from edge_app.records import LABELS, Detections, Tracks


@pytest.mark.parametrize(
    ("score", "margin", "doubtful"), [(0.5, 0.7, False), (0.49, 1.0, True), (0.9, 0.69, True), (0.3, 0.1, True)]
)
def test_a_low_score_or_a_split_vote_is_doubtful(score: float, margin: float, doubtful: bool) -> None:
    assert is_doubtful(score, margin) == doubtful


def drive(tracker: Tracker, labels: list[str]) -> Tracks:
    """Return the tracks after one vehicle has driven through a frame for each class that was detected of it."""
    for n, label in enumerate(labels):
        box = np.array([[100 + 12 * n, 100, 180 + 12 * n, 160]], np.float32)
        kinds = np.array([LABELS.index(label)], np.int16)
        tracks = tracker.update(Detections(box, np.array([0.8], np.float32), kinds), n / 15)
    return tracks


def test_the_margin_is_the_lead_of_the_class_over_the_next_one() -> None:
    tracker = Tracker()
    (number,) = drive(tracker, ["car"] * 8).ids.tolist()
    assert tracker.margin(number) == pytest.approx(1.0)
    split = Tracker()
    (number,) = drive(split, ["car", "truck"] * 2 + ["car"] * 4).ids.tolist()
    assert split.margin(number) == pytest.approx(0.5, abs=0.02)
    assert split.margin(number + 1) == 1.0  # nothing is known of it
