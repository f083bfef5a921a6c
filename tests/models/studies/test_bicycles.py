"""Test what a detector takes marked bicycles for."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from edge_app.detectors.tflite import TfliteDetector
from edge_app.records import LABELS, Detections
from models.data.marks import marks
from models.evaluation import cyclists
from models.studies import bicycles
from tests.support.annotated import sample
from tests.support.paths import ARTEFACTS

AT = np.array([[0.1, 0.05, 0.5, 0.45]], np.float32)
NEAR, FAR = [12, 14, 52, 92], [70, 10, 110, 90]
MODEL = ARTEFACTS / "ssdlite_mobilenet_v2_300x300.tflite"


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        ([("motorcycle", 0.9, NEAR), ("bicycle", 0.5, NEAR)], "motorcycle"),
        ([("motorcycle", 0.4, NEAR), ("bicycle", 0.5, NEAR)], "bicycle"),
        ([("motorcycle", 0.9, FAR), ("bicycle", 0.5, NEAR)], "bicycle"),
        ([("car", 0.9, NEAR)], "another"),
        ([("motorcycle", 0.9, FAR)], "nothing"),
        ([("motorcycle", 0.19, NEAR)], "nothing"),
        ([], "nothing"),
    ],
)
def test_the_strongest_detection_decides(seen: list[tuple[str, float, list[float]]], expected: str) -> None:
    found = Detections(
        np.array([box for _, _, box in seen], np.float32).reshape(-1, 4),
        np.array([score for _, score, _ in seen], np.float32),
        np.array([LABELS.index(label) for label, _, _ in seen], np.int16),
    )
    assert list(cyclists.bicycle_labels(found, AT, (100, 200))) == [expected]


def test_only_marked_pictures_are_classified(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    marked = tmp_path / "marks.json"
    monkeypatch.setattr(bicycles, "marks", partial(marks, path=marked))
    one, other = sample(seed=1), sample(seed=2)
    marked.write_text(json.dumps({"bicycles": {one.sha256: [[0.6, 0.1, 0.7, 0.3], [0.8, 0.1, 0.9, 0.3]]}}))
    detector = TfliteDetector(MODEL)
    assert list(bicycles.classified(detector, [other, one])) == ["nothing", "nothing"]
    detector.close()


def test_a_missing_split_is_reported_in_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    gone = tmp_path / "none.json"
    monkeypatch.setattr("sys.argv", ["bicycles", str(MODEL), "--shards", str(tmp_path), "--split", str(gone)])
    assert bicycles.main() == 1
    assert str(gone) in capsys.readouterr().err
