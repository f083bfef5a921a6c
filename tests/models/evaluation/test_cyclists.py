"""Test what a detector takes two-wheelers for: labelled and marked bicycles, and motorcycles called bicycles."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from edge_app.config.model import DetectorConfig
from edge_app.records import LABELS, Detections, FloatArray
from models.evaluation import cyclists, document, observations, report, rows, sheets, tables
from models.evaluation.detection import SetResult, picture_set
from models.evaluation.detection_outcomes import WRONG_CLASS
from models.evaluation.labelled import SCORED, Picture
from models.evaluation.observations import observe, open_detector
from models.evaluation.subject import Result, Subject
from tests.support.observations import BOXES, Corners, observation, picture
from tests.support.paths import ARTEFACTS

A, B, C, NOWHERE = BOXES
AT = np.array([[0.1, 0.05, 0.5, 0.45]], np.float32)
NEAR, FAR = [12, 14, 52, 92], [70, 10, 110, 90]


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
    assert list(cyclists.taken_for(found, AT, (100, 200))) == [expected]


def shares(*corners: Corners) -> FloatArray:
    """Return boxes in px of 512x288 as shares of the picture."""
    boxes: FloatArray = np.array(corners, np.float32).reshape(-1, 4)
    return np.asarray(boxes / np.array([512, 288] * 2, np.float32), np.float32)


def labelled(*boxes: tuple[str, Corners], ignored: Sequence[bool] = ()) -> Picture:
    """Return a picture with labels, class and px of 512x288."""
    classes = np.array([SCORED.index(label) for label, _ in boxes], np.int16)
    left_out = np.array(ignored or [False] * len(boxes), np.bool_)
    return replace(picture("one"), boxes=shares(*(box for _, box in boxes)), classes=classes, ignored=left_out)


def test_a_bicycle_that_is_labelled_and_marked_is_one() -> None:
    one = labelled(("bicycle", B), ("motorcycle", C))
    np.testing.assert_allclose(cyclists.bicycles_of(one, shares(B, NOWHERE)), shares(B, NOWHERE))
    assert len(cyclists.bicycles_of(labelled(("bicycle", B), ignored=[True]), shares())) == 0


def test_a_motorcycle_that_is_marked_as_a_bicycle_is_none() -> None:
    one = labelled(("bicycle", A), ("motorcycle", B), ("motorcycle", C), ignored=[False, False, False])
    np.testing.assert_allclose(cyclists.motorcycles_of(one, shares(C)), shares(B))
    np.testing.assert_allclose(cyclists.bicycles_of(one, shares(C)), shares(A, C))


def test_every_labelled_and_marked_two_wheeler_is_asked_about(monkeypatch: pytest.MonkeyPatch) -> None:
    one = labelled(("bicycle", A), ("motorcycle", B), ("motorcycle", C), ("car", NOWHERE))
    monkeypatch.setattr(observations, "marks", lambda _what: {one.sha256: shares(C)})
    detector = open_detector(ARTEFACTS / "ssdlite_mobilenet_v2_512x288.tflite", DetectorConfig(), threads=1)
    try:
        seen = observe([detector], [one])[0][0]
    finally:
        detector.close()
    assert seen.bicycles == ("nothing", "nothing")  # the picture is grey
    assert seen.motorcycles == ("nothing",)


def result(name: str = "made") -> Result:
    """Return a result with 40 bicycles, 30 of them called so, and 20 motorcycles of which 16 are found."""
    taken = ["bicycle"] * 3 + ["motorcycle"]
    riders = ["motorcycle"] * 15 + ["bicycle"] + ["nothing"] * 4
    seen = tuple(
        replace(
            observation([("bicycle", B)], [(taken[i % 4], 0.9, B)]),
            bicycles=(taken[i % 4],),
            motorcycles=(riders[i],) if i < len(riders) else (),
        )
        for i in range(40)
    )
    shown = picture_set("here", [picture(f"here__{i:02d}") for i in range(40)], seen)
    subject = Subject(name, Path(name), name, (512, 288), 1, "model")
    return Result(subject, sets=(SetResult(shown, seen, 0.2, (512, 288)),))


def test_the_result_tells_what_they_are_called() -> None:
    one = document.result(result(), "command")["sets"]["here"]
    called = {"bicycle": 30, "motorcycle": 10, "another": 0, "nothing": 0}
    assert one["bicycles"] == {"n": 40, "not_motorcycle": 0.75, "called": called}
    assert one["motorcycles"]["called"] == {"bicycle": 1, "motorcycle": 15, "another": 0, "nothing": 4}
    assert (one["motorcycles"]["n"], one["motorcycles"]["bicycle_of_found"]) == (20, 1 / 16)


def test_tables_tell_it_beside_average_precision() -> None:
    row = next(rows.cyclists([result()]))
    assert row["shares"] == [0.75, 0.25, 0, 0]
    assert (row["found"], row["called_bicycle"]) == (16, 1 / 16)
    assert row["ap50"] == pytest.approx(0.75, abs=0.01)
    console = Console(width=80, record=True, file=io.StringIO())
    for table in tables.everything([result("made"), result("another")]):
        console.print(table)
    text = console.export_text()
    assert "0.750" in text
    assert "labelled motorcycles that are found" in text
    assert "…" not in text


def test_nothing_is_told_where_no_bicycle_is_known() -> None:
    none = result()
    seen = tuple(replace(one, bicycles=()) for one in none.sets[0].observations)
    without = replace(none, sets=(replace(none.sets[0], observations=seen, _samples={}),))
    assert len(list(tables.everything([without]))) == len(list(tables.everything([none]))) - 1
    found = document.result(without, "command")["sets"]["here"]["bicycles"]
    assert (found["n"], found["not_motorcycle"]) == (0, None)
    assert math.isnan(cyclists.called({}, "bicycle"))
    assert math.isnan(cyclists.called_of_found({"nothing": 3}, "bicycle"))


def test_the_sheet_of_two_wheelers_shows_no_other_confusion() -> None:
    seen = [
        observation([("bicycle", B), ("car", C)], [("motorcycle", 0.9, B), ("truck", 0.9, C)]),
        observation([("motorcycle", B)], [("bicycle", 0.8, B)]),
        observation([("car", B)], [("truck", 0.9, B)]),
    ]
    names = [picture(f"here__{i * 100}", camera=f"here-{i}") for i in range(3)]
    one = SetResult(picture_set("here", names, seen), tuple(seen), 0.2, (512, 288))
    found = sheets.worst([one], WRONG_CLASS, about="bicycle")
    assert sorted((tile.one.picture_set.pictures[tile.row].name, len(tile.marked)) for tile in found) == [
        ("here__0", 1),
        ("here__100", 1),
    ]
    assert len(sheets.worst([one], WRONG_CLASS)) == 3


def test_the_report_tells_it_and_shows_the_worst(tmp_path: Path) -> None:
    page = report.write(tmp_path, [result()], {}, "command", "made").read_text()
    assert "What cyclists are called" in page
    row = "<td>40</td><td>0.750</td><td>0.250</td><td>0.000</td><td>0.000</td>"
    assert row in page
    assert "<td>16</td><td>0.062</td>" in page
    assert "bicycle or not, worst pictures" in page
    assert (tmp_path / "made" / "sheets" / "bicycle-or-not.jpg").exists()
