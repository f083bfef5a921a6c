"""Detection of the drawn vehicles by the delivered detector, without which the street could not be counted."""

from __future__ import annotations

import pytest

from edge_app.detectors.tflite import TfliteDetector
from edge_app.sources.street.street import MIX
from models.common.schemas import STREET_LIGHTS, DrawnLight
from models.evaluation.drawn_street import LANES, ask
from tests.support.paths import ARTEFACTS

MODEL = ARTEFACTS / "ssdlite_mobilenet_v2_512x288.tflite"

pytestmark = pytest.mark.skipif(not MODEL.exists(), reason=f"no {MODEL.name}: build it as models/ says")


@pytest.mark.long
@pytest.mark.parametrize("lane", LANES, ids=["near lane", "far lane"])
@pytest.mark.parametrize("light", STREET_LIGHTS)
def test_every_class_is_detected_near_the_line(light: DrawnLight, lane: tuple[float, float]) -> None:
    found = ask(TfliteDetector(MODEL, threads=1, score=0.35), light, lanes=[lane])
    assert set(found.classes) == MIX.keys()
    assert found.named == found.vehicles, found.wrong
    assert found.right >= 0.9 * found.looks, found.wrong
