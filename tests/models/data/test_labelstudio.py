"""Test Label Studio's exports as they come: several people, skipped tasks, turned boxes, names of uploaded files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from models.data.errors import UsageError
from models.data.formats import Labelled, labelstudio
from models.data.problems import Problems
from tests.support.annotated import encoded, imported, kinds


def region(label: str = "car", kind: str = "rectanglelabels", **value: Any) -> dict[str, Any]:
    """Return a region as Label Studio exports it: a box of a tenth to a half of a picture of 64x36 px."""
    extent = {"x": 10.0, "y": 10.0, "width": 40.0, "height": 40.0, "rotation": 0, kind: [label]}
    size = {"original_width": 64, "original_height": 36, "image_rotation": 0}
    return {"id": "r1", "type": kind, "from_name": "label", "to_name": "image", "value": extent | value, **size}


def annotation(*regions: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Return an annotation as an export has it."""
    known = {"id": 1, "completed_by": 3, "was_cancelled": False, "ground_truth": False, "lead_time": 4.2}
    return known | {"updated_at": "2026-11-30T06:36:51.925679Z", "result": list(regions)} | more


def task(*annotations: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Return a task as an export has it; predictions are ids there."""
    return {"id": 1, "data": {"picture": "a.jpg"}, "annotations": list(annotations), "predictions": []} | more


def written(folder: Path, *tasks: dict[str, Any]) -> Path:
    """Write an export beside the picture a.jpg. Return the folder."""
    (folder / "a.jpg").write_bytes(encoded(1))
    (folder / "back.json").write_text(json.dumps(tasks))
    return folder


def stated(folder: Path) -> tuple[Labelled, Problems]:
    """Return what an export says of its only picture."""
    problems = Problems()
    (item,) = labelstudio.stated(folder, problems)
    return item, problems


def test_boxes_are_in_percent_and_polygons_become_boxes(tmp_path: Path) -> None:
    shape = region("Van", "polygonlabels", points=[[20, 30], [60, 30], [50, 80]])
    written(tmp_path, task(annotation(region(), shape)))
    (found,), problems = imported("labelstudio", tmp_path)
    assert problems.found == []
    assert found.boxes.tolist() == [pytest.approx([0.1, 0.1, 0.5, 0.5]), pytest.approx([0.2, 0.3, 0.6, 0.8])]
    assert found.classes.tolist() == [0, 0]


def test_a_choice_on_a_region_says_that_it_is_ignored(tmp_path: Path) -> None:
    choice = region() | {"type": "choices", "from_name": "ignored", "value": {"choices": ["ignored"]}}
    taken_back = choice | {"id": "r2", "value": {"choices": []}}
    written(tmp_path, task(annotation(region(), choice, region("bus") | {"id": "r2"}, taken_back)))
    (found,), problems = imported("labelstudio", tmp_path)
    assert problems.found == []
    assert found.ignored.tolist() == [True, False]


def test_a_submitted_annotation_without_regions_says_that_there_are_no_vehicles(tmp_path: Path) -> None:
    (found,), problems = imported("labelstudio", written(tmp_path, task(annotation())))
    assert (len(found.boxes), problems.found) == (0, [])


@pytest.mark.parametrize(
    ("one", "says"),
    [
        (task(annotation(was_cancelled=True)), "it was skipped"),
        (task(predictions=[7]), "nobody has labelled it"),
        (task(drafts=[{"result": [region()]}]), "a draft of it was not submitted"),
    ],
)
def test_a_task_that_nobody_has_finished_is_no_picture_without_vehicles(
    tmp_path: Path, one: dict[str, Any], says: str
) -> None:
    found, problems = imported("labelstudio", written(tmp_path, one))
    assert found == []
    assert kinds(problems) == [("picture without label", None)]
    assert says in problems.found[0].what


def test_predictions_alone_are_labels_at_which_nobody_has_looked(tmp_path: Path) -> None:
    written(tmp_path, task(predictions=[{"model_version": "m", "result": [region()]}]))
    item, _ = stated(tmp_path)
    assert (item.unchecked, len(item.rows)) == (True, 1)
    found, problems = imported("labelstudio", tmp_path)
    assert found == []
    assert kinds(problems) == [("not looked at", None)]


def test_of_two_people_the_ground_truth_counts_else_the_newer_one(tmp_path: Path) -> None:
    old = annotation(
        region("bus"), updated_at="2026-11-29T10:00:00Z", completed_by={"id": 4, "email": "b@city.example"}
    )
    new = annotation(region("car"), region("car"))
    item, problems = stated(written(tmp_path, task(new, old)))
    assert [row.label for row in item.rows] == ["car", "car"]
    assert (item.by, item.at) == ("user 3", "2026-11-30T06:36:51.925679Z")
    assert "user 3 (2 boxes), b@city.example (1 boxes); the first of these is used" in problems.found[0].what
    item, _ = stated(written(tmp_path, task(new, old | {"ground_truth": True})))
    assert ([row.label for row in item.rows], item.by) == (["bus"], "b@city.example")


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (region(rotation=12), "turned"),
        (region() | {"image_rotation": 90}, "turned"),
        (region(rectanglelabels=[]), "no label"),
        (region(width="wide"), "could not convert"),
        (region(x=None), ""),
        (region() | {"type": "brushlabels"}, "no box"),
        ({"type": "rectanglelabels", "id": "x"}, "value"),
    ],
)
def test_a_region_that_is_no_upright_box_is_listed_and_counted(
    tmp_path: Path, wrong: dict[str, Any], says: str
) -> None:
    item, problems = stated(written(tmp_path, task(annotation(wrong, region()))))
    assert (len(item.rows), item.lost) == (1, 1)
    assert kinds(problems) == [("malformed line", None)]
    assert "a.jpg" in problems.found[0].what
    assert says in problems.found[0].what


@pytest.mark.parametrize(
    ("data", "name"),
    [
        ({"image": "/data/upload/1/056dfd17-a%20b.jpg"}, "a b.jpg"),
        ({"image": "/data/local-files/?d=road/a.jpg"}, "road/a.jpg"),
        ({"image": "s3://bucket/road/a.jpg"}, "a.jpg"),
        ({"image": "s3://bucket/road/20261130-a.jpg"}, "20261130-a.jpg"),
        ({"image": "data:image/jpeg;base64,AAAA", "picture": "road/a.jpg"}, "road/a.jpg"),
    ],
)
def test_the_picture_is_found_by_each_kind_of_address(tmp_path: Path, data: dict[str, str], name: str) -> None:
    item, problems = stated(written(tmp_path, task(annotation(), data=data)))
    assert (item.picture.as_posix(), problems.found) == (name, [])


def test_a_damaged_task_costs_no_other_one(tmp_path: Path) -> None:
    bad: list[dict[str, Any]] = [
        {"data": 3},
        {"data": {"image": "data:image/jpeg;base64,AAAA"}},
        {"data": {}, "annotations": [7]},
    ]
    found, problems = imported("labelstudio", written(tmp_path, *bad, task(annotation(region()))))
    assert len(found) == 1
    assert [kind for kind, _ in kinds(problems)] == ["unreadable label"] * len(bad)


def test_the_short_export_and_other_files_are_told(tmp_path: Path) -> None:
    written(tmp_path, {"image": "a.jpg", "id": 1, "label": []})
    with pytest.raises(UsageError, match="choose JSON, not JSON-MIN"):
        imported("labelstudio", tmp_path)
    (tmp_path / "back.json").write_text('{"images": []}')
    with pytest.raises(UsageError, match="holds no tasks"):
        imported("labelstudio", tmp_path)
    (tmp_path / "back.json").write_text("[{")
    _, problems = imported("labelstudio", tmp_path)
    assert ("unreadable label", 1) in kinds(problems)
