"""Test that what detectors see beyond the labels is shown once, and what a person picks becomes a mark."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_app.records import Image
from models.data import commands, marks
from models.evaluation import places
from models.evaluation.__main__ import main
from models.evaluation.detection import SetResult, picture_set
from tests.support.observations import BOXES, Detected, observation, picture

A, B, C, NOWHERE = BOXES


def road() -> Image:
    """Return a picture twice as large as the input."""
    return np.full((576, 1024, 3), 90, np.uint8)


def seen(*pictures: Sequence[Detected], checked: bool = True) -> list[SetResult]:
    """Return a set in which each picture has a car at B, and C marked by eye, and these detections."""
    found = [observation([("car", B)], detections) for detections in pictures]
    if checked:
        marked = [observation([("car", B), ("other", C)], detections) for detections in pictures]
        found = [replace(one, checked=by_eye) for one, by_eye in zip(found, marked, strict=True)]
    shown = [replace(picture(f"here__{i}"), load=road) for i in range(len(pictures))]
    return [SetResult(picture_set("here", shown, found), tuple(found), 0.2, (512, 288))]


def test_a_place_is_what_no_label_and_no_mark_has_and_is_shown_once() -> None:
    one = seen([("car", 0.9, B), ("car", 0.8, C), ("motorcycle", 0.5, NOWHERE)])
    other = seen([("car", 0.7, NOWHERE), ("car", 0.1, A)])
    (found,) = [place for place, _ in places.unlabelled([one, other], 0.2)]
    assert found.label == "car"
    assert found.score == pytest.approx(0.7)
    np.testing.assert_allclose(found.box, np.array(NOWHERE) / np.array([512, 288] * 2), atol=1e-4)
    assert len(list(places.unlabelled([seen([("car", 0.8, C)], checked=False)], 0.2))) == 1
    assert not list(places.unlabelled([one, other], 0.95))


def test_sheets_are_numbered_and_the_list_has_every_place(tmp_path: Path) -> None:
    sets = seen(*[[("car", 0.6, NOWHERE), ("car", 0.5, A)]] * 16)
    assert places.write(tmp_path, [sets], 0.2, "command") == 32
    listed = json.loads((tmp_path / marks.PLACES).read_text())
    assert [row["number"] for row in listed["places"]] == list(range(1, 33))
    sheets = sorted(tmp_path.glob("*.jpg"))
    assert [sheet.name for sheet in sheets] == ["places-01.jpg", "places-02.jpg"]
    shown = cv2.imread(str(sheets[0]))
    assert shown is not None
    assert (shown[..., 2].astype(int) - shown[..., 1] > 60).sum() > 30 * 100, "a red frame on each tile"


def test_a_person_marks_by_number(tmp_path: Path) -> None:
    sets = seen([("car", 0.6, NOWHERE), ("car", 0.5, A)], [("car", 0.7, NOWHERE)])
    places.write(tmp_path / "seen", [sets], 0.2, "command")
    own = tmp_path / "marks.json"
    own.write_text(marks.MARKED.read_text("utf-8"), "utf-8")
    assert marks.add(tmp_path / "seen", [1, 3], "unlabelled", own) == 2
    assert marks.add(tmp_path / "seen", [1, 2], "unlabelled", own) == 1
    before, after = (json.loads(file.read_text("utf-8")) for file in (marks.MARKED, own))
    first, second = (one.sha256 for one in sets[0].picture_set.pictures)
    assert len(after["unlabelled"][first]) == 2
    assert len(after["unlabelled"][second]) == 1
    for sha256 in (first, second):
        after["unlabelled"].pop(sha256, None)
    assert after == before


def test_the_committed_file_is_written_as_it_is_read() -> None:
    content = json.loads(marks.MARKED.read_text("utf-8"))
    assert marks._written(content) == marks.MARKED.read_bytes()


@pytest.mark.parametrize("words", [("9",), ("3-1",), ("one",)])
def test_numbers_that_are_none_are_refused(
    words: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    places.write(tmp_path, [seen([("car", 0.6, NOWHERE)])], 0.2, "command")
    try:
        code = commands.main(["mark", str(tmp_path), *words])
    except SystemExit as ended:
        code = int(ended.code or 0)
    assert code == 2
    assert words[0] in capsys.readouterr().err


def test_a_list_without_places_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    places.write(tmp_path, [seen([])], 0.2, "command")
    assert commands.main(["mark", str(tmp_path), "1"]) == 2
    assert "it has none" in capsys.readouterr().err


def test_a_folder_without_places_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert commands.main(["mark", str(tmp_path), "1"]) == 1
    assert "no list of places" in capsys.readouterr().err


@pytest.mark.parametrize("score", ["0", "1.5", "x"])
def test_a_score_outside_of_its_range_is_refused(score: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["MODEL.tflite", "--places", "here", "--least", score])
    assert "--least" in capsys.readouterr().err
