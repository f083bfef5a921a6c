"""Ask a detector what the vehicles of the rendered street are, by day and at dusk, in both lanes.

The demonstration and many tests count that street. It is no evidence about real roads, and may have been trained with;
but a detector that fails it is shown failing to everyone who tries the program.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from edge_app.detectors.tflite import TfliteDetector
from edge_app.sources.street.street import MIX, Street
from models.common.geometry import iou_matrix
from models.common.schemas import DrawnLight
from models.evaluation.cyclists import strongest

LANES: Final = ((30.0, 0.0), (0.0, 30.0))
"""Vehicles per minute to the right, in the near lane, and to the left, in the far one."""
FRAMES: Final = 450
_EVERY: Final = 3
"""Frames from one look to the next."""
_NEAR_LINE: Final = 200
"""Px between the middle of a vehicle and the line, within which it is asked about."""
_CLEARLY: Final = 0.35
"""Score of a detection that counts: above the one from which the product uses it, for these are easy."""
_SAME: Final = 0.5
"""IoU from which a detection is of the vehicle."""


@dataclass(frozen=True, slots=True)
class Answers:
    """What a detector called the vehicles of one light.

    looks, right: all looks at vehicles near the line, and those that gave the class. vehicles, named: how many there
    were, and of how many most looks gave the class. classes: of the vehicles that came. wrong: "motorcycle called
    bicycle" -> looks.
    """

    looks: int
    right: int
    vehicles: int
    named: int
    classes: tuple[str, ...]
    wrong: Mapping[str, int]


def ask(
    detector: TfliteDetector,
    light: DrawnLight,
    forward: Callable[[], None] = lambda: None,
    lanes: Sequence[tuple[float, float]] = LANES,
) -> Answers:
    """Return what a detector calls the vehicles of the lanes together. forward: called after each frame."""
    votes: dict[tuple[int, int, str], Counter[str]] = {}
    for lane, flow in enumerate(lanes):
        street = Street(light=light, flow=flow, mix=dict.fromkeys(MIX, 1.0), seed=7)
        for index in range(FRAMES):
            frame = street.read(0)
            assert frame is not None  # at pace "fast" there is always one
            forward()
            middle = street.line.start[0] * frame.image.shape[1]
            near = [row for row in street.boxes() if abs((row[2][0] + row[2][2]) / 2 - middle) < _NEAR_LINE]
            if index % _EVERY == 0 and near:
                found = detector.detect(frame.image)
                fits = iou_matrix(found.boxes, np.array([box for _, _, box in near], np.float32)) > _SAME
                called = strongest(found, fits & (found.scores >= _CLEARLY)[:, None])
                for (number, label, _), what in zip(near, called, strict=True):
                    votes.setdefault((lane, number, label), Counter())[what] += 1
    return _answers({(lane, number): (label, vote) for (lane, number, label), vote in votes.items()})


def _answers(votes: Mapping[tuple[int, int], tuple[str, Counter[str]]]) -> Answers:
    wrong = Counter[str]()
    for label, vote in votes.values():
        wrong.update({f"{label} called {what}": n for what, n in vote.items() if what != label})
    looks = sum(vote.total() for _, vote in votes.values())
    named = sum(vote.most_common(1)[0][0] == label for label, vote in votes.values())
    classes = tuple(sorted({label for label, _ in votes.values()}))
    return Answers(looks, looks - wrong.total(), len(votes), named, classes, dict(wrong))
