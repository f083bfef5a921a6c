"""Test labels checked by eye: unlabelled vehicles and wrong labels count neither for nor against a detector."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from edge_app.config.model import DetectorConfig
from edge_app.records import FloatArray
from models.evaluation import document, labelled, rows, tables
from models.evaluation.detection import SetResult, picture_set
from models.evaluation.labelled import Picture
from models.evaluation.observations import Observation, observe, open_detector
from models.evaluation.subject import Result, Subject
from tests.support.observations import BOXES, Corners, Detected, observation, picture
from tests.support.paths import ARTEFACTS

A, B, C, NOWHERE = BOXES
SIZE = np.array([512, 288] * 2, np.float32)


def boxes(*corners: Corners) -> FloatArray:
    """Return boxes in px of the input as shares of the picture."""
    return np.array(corners, np.float32).reshape(-1, 4) / SIZE


@pytest.fixture
def marked(monkeypatch: pytest.MonkeyPatch) -> Picture:
    """Return a picture with a car at B, a label on nothing, and an unlabelled car at C."""
    one = replace(
        picture("marked"), boxes=boxes(B, NOWHERE), classes=np.zeros(2, np.int16), ignored=np.zeros(2, np.bool_)
    )
    known = {"unlabelled": {one.sha256: boxes(C)}, "mislabelled": {one.sha256: boxes(NOWHERE).round(4)}}
    monkeypatch.setattr(labelled, "marks", known.__getitem__)
    return one


def test_unlabelled_vehicles_are_ignored_and_wrong_labels_left_out(marked: Picture) -> None:
    found = labelled.checked(marked)
    assert found is not None
    np.testing.assert_allclose(found.boxes, boxes(B, C))
    assert found.classes.tolist() == [labelled.SCORED.index("car"), labelled.NOT_SCORED]
    assert found.ignored.tolist() == [False, True]
    assert len(marked.boxes) == 2


def test_one_kind_of_mark_is_enough_and_without_any_there_is_no_second_label_set(
    marked: Picture, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert labelled.checked(picture("another")) is None
    only = {"unlabelled": {marked.sha256: boxes(C)}, "mislabelled": {}}
    monkeypatch.setattr(labelled, "marks", only.__getitem__)
    found = labelled.checked(marked)
    assert found is not None
    assert found.ignored.tolist() == [False, False, True]


def seen(detections: Sequence[Detected], checked: bool = True) -> Observation:
    """Return the observation of that picture with these detections."""
    one = observation([("car", B), ("car", NOWHERE)], detections)
    return replace(one, checked=observation([("car", B), ("other", C)], detections)) if checked else one


def result(name: str, detections: Sequence[Detected], checked: bool = True) -> Result:
    """Return the result of a model with the same detections in 50 pictures."""
    observations = tuple(seen(detections, checked) for _ in range(50))
    shown = picture_set("here", [picture(f"here__{i:02d}") for i in range(50)], observations)
    return Result(
        Subject(name, Path(name), name, (512, 288), 1, "model"), sets=(SetResult(shown, observations, 0.2, (512, 288)),)
    )


ALL = [("car", 0.9, C), ("car", 0.8, B)]
"""Both cars are detected, the unlabelled one with the higher score."""
LABELLED = [("car", 0.9, NOWHERE), ("car", 0.8, B)]
"""The detections follow the labels, with a car where there is none."""


def test_checked_figures_stand_beside_the_others() -> None:
    found = document.result(result("all", ALL), "command")["sets"]["here"]
    assert found["classes"]["car"]["n"] == 100
    assert found["classes"]["car"]["ap50"] < 0.3
    assert found["checked"]["car"]["n"] == 50
    assert found["checked"]["car"]["ap50"] == pytest.approx(1)
    day = found["checked_slices"]["light:day"]
    assert day["classes"]["car"] == {"n": 50, "ap50": pytest.approx(1)}
    plain = document.result(result("all", ALL, checked=False), "command")["sets"]["here"]
    assert plain["checked"] is None
    assert "checked_marks" not in plain


def test_other_marks_have_another_fingerprint(marked: Picture, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = [marked, picture("another")]
    before = labelled.marks_fingerprint(shown)
    assert before == labelled.marks_fingerprint(shown[::-1])
    more = {"unlabelled": {marked.sha256: boxes(C, A)}, "mislabelled": {}}
    monkeypatch.setattr(labelled, "marks", more.__getitem__)
    assert labelled.marks_fingerprint(shown) != before


def test_the_comparison_holds_both_label_sets() -> None:
    differences = document.comparison(result("all", ALL), result("labelled", LABELLED))["differences"]
    assert differences["all/ap50"]["delta"] < -0.5
    assert differences["checked/ap50"]["delta"] == pytest.approx(0.5, abs=0.01)
    plain = document.comparison(result("all", ALL, checked=False), result("labelled", LABELLED, checked=False))
    assert "checked/ap50" not in plain["differences"]


def test_tables_show_it_where_something_is_marked() -> None:
    console = Console(width=80, record=True, file=io.StringIO())
    several = [result("all", ALL), result("labelled", LABELLED)]
    for table in tables.everything(several):
        console.print(table)
    text = console.export_text()
    assert "checked by eye" in text
    assert [row["checked"] for row in rows.precisions(several)] == [pytest.approx(1), pytest.approx(0.5, abs=0.01)]
    unmarked = [result("all", ALL, checked=False)]
    assert len(list(tables.everything(unmarked))) == len(list(tables.everything([result("all", ALL)]))) - 1
    assert [row["checked"] for row in rows.precisions(unmarked)] == [None]


def test_a_detector_runs_once_for_both_kinds_of_labels(marked: Picture) -> None:
    model = ARTEFACTS / "ssdlite_mobilenet_v2_512x288.tflite"
    detector = open_detector(model, DetectorConfig(), threads=1)
    try:
        one, another = observe([detector], [marked, picture("another")])[0]
    finally:
        detector.close()
    assert another.checked is None
    assert one.checked is not None
    np.testing.assert_array_equal(one.checked.boxes, one.boxes)
    np.testing.assert_allclose(one.checked.truth[1], C, rtol=1e-5)
    assert len(one.truth) == 2
