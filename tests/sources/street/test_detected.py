"""The detector that ships must know the drawn vehicles for what they are: the street has no other way to be counted."""

from __future__ import annotations

from collections import Counter
from functools import lru_cache
from typing import Literal

import pytest

from edge_app.detectors.tflite import TfliteDetector
from edge_app.records import LABELS, Detections
from edge_app.sources.street.street import Street
from tests.sources.street.test_street import read
from tests.support.paths import ARTEFACTS

MODEL = ARTEFACTS / "ssdlite_mobilenet_v2_512x288.tflite"
EVEN = {"car": 1.0, "motorcycle": 1.0, "bus": 1.0, "truck": 1.0}
Box = tuple[float, float, float, float]

pytestmark = pytest.mark.skipif(not MODEL.exists(), reason=f"no {MODEL.name}: build it as models/ says")


@lru_cache(1)
def detector() -> TfliteDetector:
    return TfliteDetector(MODEL, threads=1, score=0.35)


@pytest.mark.parametrize("flow", [(30.0, 0.0), (0.0, 30.0)], ids=["near lane", "far lane"])
@pytest.mark.parametrize("light", ["day", "dusk"])
def test_every_class_is_detected_near_the_line(light: Literal["day", "dusk"], flow: tuple[float, float]) -> None:
    street, looks = Street(light=light, flow=flow, mix=EVEN, seed=7), dict[int, Counter[str]]()
    labels = dict[int, str]()
    for index in range(450):
        frame = read(street)
        near = [(n, label, box) for n, label, box in street.boxes() if abs((box[0] + box[2]) / 2 - 640) < 200]
        if index % 3 == 0 and near:
            found = detector().detect(frame.image)
            for number, label, box in near:
                labels[number] = label
                looks.setdefault(number, Counter())[named(found, box)] += 1
    assert set(labels.values()) == EVEN.keys()
    assert {n: vote.most_common(1)[0][0] for n, vote in looks.items()} == labels
    right = sum(vote[labels[number]] for number, vote in looks.items())
    assert right >= 0.9 * sum(vote.total() for vote in looks.values())


def named(found: Detections, box: Box) -> str:
    """The label of the strongest detection that fits the box, or "nothing"."""
    for row in range(len(found)):
        if overlap(tuple(found.boxes[row].tolist()), box) > 0.5:
            return LABELS[found.classes[row]]
    return "nothing"


def overlap(a: tuple[float, ...], b: Box) -> float:
    """Intersection over union."""
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    common = max(0.0, width) * max(0.0, height)
    return common / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - common)
