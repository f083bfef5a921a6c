"""Detection of the drawn vehicles by the delivered detector, without which the street could not be counted."""

from __future__ import annotations

from collections import Counter
from functools import lru_cache
from typing import Literal

import pytest

from edge_app.detectors.tflite import TfliteDetector
from edge_app.records import LABELS, Detections
from edge_app.sources.street.street import Street
from tests.support.boxes import iou
from tests.support.paths import ARTEFACTS
from tests.support.reading import read_frame

MODEL = ARTEFACTS / "ssdlite_mobilenet_v2_512x288.tflite"
EVEN = {"car": 1.0, "motorcycle": 1.0, "bus": 1.0, "truck": 1.0}
Box = tuple[float, float, float, float]

pytestmark = pytest.mark.skipif(not MODEL.exists(), reason=f"no {MODEL.name}: build it as models/ says")


@lru_cache(1)
def detector() -> TfliteDetector:
    return TfliteDetector(MODEL, threads=1, score=0.35)


@pytest.mark.long
@pytest.mark.parametrize("flow", [(30.0, 0.0), (0.0, 30.0)], ids=["near lane", "far lane"])
@pytest.mark.parametrize("light", ["day", "dusk"])
def test_every_class_is_detected_near_the_line(light: Literal["day", "dusk"], flow: tuple[float, float]) -> None:
    street, votes = Street(light=light, flow=flow, mix=EVEN, seed=7), dict[int, Counter[str]]()
    labels = dict[int, str]()
    for index in range(450):
        frame = read_frame(street)
        near = [(n, label, box) for n, label, box in street.boxes() if abs((box[0] + box[2]) / 2 - 640) < 200]
        if index % 3 == 0 and near:
            detections = detector().detect(frame.image)
            for number, label, box in near:
                labels[number] = label
                votes.setdefault(number, Counter())[label_at(detections, box)] += 1
    assert set(labels.values()) == EVEN.keys()
    assert {n: vote.most_common(1)[0][0] for n, vote in votes.items()} == labels
    right = sum(vote[labels[number]] for number, vote in votes.items())
    assert right >= 0.9 * sum(vote.total() for vote in votes.values())


def label_at(detections: Detections, box: Box) -> str:
    """Return the label of the strongest detection that fits the box, or "nothing"."""
    for row in range(len(detections)):
        if iou(detections.boxes[row].tolist(), box) > 0.5:
            return LABELS[detections.classes[row]]
    return "nothing"
