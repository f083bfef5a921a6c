"""Detection of the drawn vehicles by the delivered detector, without which the street could not be counted."""

from __future__ import annotations

import pytest

from edge_app.detectors.tflite import TfliteDetector
from models.common.schemas import STREET_LIGHTS, DrawnLight
from models.evaluation.drawn_street import ask
from models.registry import policy
from tests.support.paths import ARTEFACTS

MODEL = ARTEFACTS / "ssdlite_mobilenet_v2_512x288.tflite"

pytestmark = pytest.mark.skipif(not MODEL.exists(), reason=f"no {MODEL.name}: build it as models/ says")


@pytest.mark.long
@pytest.mark.parametrize("light", STREET_LIGHTS)
def test_every_vehicle_is_called_what_it_is_near_the_line(light: DrawnLight) -> None:
    bounds = policy.load().street
    assert bounds
    found = ask(TfliteDetector(MODEL, threads=1, score=0.2), light)
    assert found.vehicles >= 8
    assert found.named >= bounds.named * found.vehicles, found
    assert found.right >= bounds.right * found.looks, found
