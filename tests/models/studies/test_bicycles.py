"""Test the table of what detectors take marked bicycles for."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import pytest

from edge_app.detectors.tflite import TfliteDetector
from models.data.marks import marks
from models.studies import bicycles
from tests.support.annotated import sample
from tests.support.paths import ARTEFACTS

MODEL = ARTEFACTS / "ssdlite_mobilenet_v2_300x300.tflite"


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
